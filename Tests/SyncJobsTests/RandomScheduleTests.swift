import Foundation
import Postgres
import ServiceRuntime
import SyncJobs
import Synchronization
import Testing
import WireProtocol

/// Random schedules of fulls, incrementals, webhooks, cancels, resumes, takeovers, failures, crashes before commit, lost lists and
/// lost deliveries over a changing source, into one version of a collection or, while its model is changed, two. Then one clean full
/// sync must leave each version equal to the source, and every number right.
///
/// `SYNC_SCHEDULES` (default 150) and `SYNC_SEED` (the first seed) choose them; a failure names its seed.
@Suite struct RandomScheduleTests {
    @Test func everyScheduleEndsWithTheStoreEqualToTheSource() async throws {
        let environment = ProcessInfo.processInfo.environment
        let count = environment["SYNC_SCHEDULES"].flatMap { Int($0) } ?? 150
        let first = environment["SYNC_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0..<1 << 40)
        print("random schedules: SYNC_SEED=\(first) SYNC_SCHEDULES=\(count)")
        let next = Counter()
        let tally = Counter()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 1...4 {
                group.addTask {
                    let suite = try await SyncFixture()
                    while case let index = next.increment(), index <= count {
                        let seed = first + UInt64(index - 1)
                        var world = World(seed: seed, jobs: suite.jobs, pool: suite.pool)
                        do {
                            try await world.run()
                        } catch {
                            Issue.record("seed \(seed): \(error)")
                            return
                        }
                        tally.increment(by: world.steps)
                    }
                }
            }
            try await group.waitForAll()
        }
        print("random schedules: \(count) schedules, \(tally.value) steps")
    }
}

final class Counter: Sendable {
    private let state = Mutex(0)
    var value: Int { state.withLock { $0 } }
    @discardableResult func increment(by amount: Int = 1) -> Int {
        state.withLock { value in
            value += amount
            return value
        }
    }
}

private struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
    mutating func chance(_ share: Double) -> Bool { Double.random(in: 0..<1, using: &self) < share }
}

private struct Row: Equatable {
    var text: String
    var payload: String
    /// The source's clock when it was written.
    var changedAt: Int
}

private struct Crash: Error {}
private struct Divergence: Error, CustomStringConvertible { var description: String }

/// One harvester at work, a step at a time: between any two of them anything may happen.
private struct Harvester {
    enum Step { case begin, draw, read(Int64), commit(RecordPage), check, plan, over }
    var job: SyncJob
    var step = Step.begin
    var cursors: [SyncCursor] = []
    var watermark = 0
}

private struct World {
    private static let keys = ["k0", "k1"]
    let jobs: SyncJobStore
    let seed: UInt64
    var random: SplitMix
    let store = FakeStore()
    let datasource = UUID().uuidString.lowercased()
    var source: [String: Row] = [:]
    var clock = 0
    var harvesters: [Harvester] = []
    /// The lists: nothing leaves them here, so that every delivery may come again, and late.
    var queue: [QueuedBatch] = []
    var known: [SyncJob] = []
    /// The physical collections that every sync goes into; the first is searched.
    var versions = ["schedules@1"]
    private var number = 1
    var calm = false
    var steps = 0
    private let pool: PostgresPool
    /// By collection and key.
    private var applied: [[String]: Int64] = [:]

    init(seed: UInt64, jobs: SyncJobStore, pool: PostgresPool) {
        self.seed = seed
        self.pool = pool
        self.jobs = jobs
        random = SplitMix(state: seed)
    }

    mutating func run() async throws {
        for _ in 0..<Int.random(in: 30...120, using: &random) {
            try await disturb()
            if random.chance(0.4) { try await checkKnowledge() }
        }
        try await settle(limit: 600)
        calm = true
        let last = try await start(.full)
        try await settle(limit: 200)
        let expected = source.mapValues { point($0.text, $0.payload) }
        for version in versions {
            guard let job = last.first(where: { $0.collection == version }),
                let finished = try await jobs.job(id: job.id), finished.status == .completed
            else { throw Divergence(description: "the clean full sync into \(version) did not complete") }
            guard store.points(in: version) == expected else {
                throw Divergence(description: "source \(source) \(version) \(store.points(in: version))")
            }
            let again = try await unchangedAfterwards(in: version)
            guard again else { throw Divergence(description: "a second look into \(version) finds changes") }
        }
        try await checkKnowledge()
        for job in known {
            guard let job = try await jobs.job(id: job.id), !job.status.isActive else {
                throw Divergence(description: "job left active")
            }
            if job.status == .completed, job.totalRecords != job.ok + job.skipped + job.failed {
                throw Divergence(description: "numbers of \(job)")
            }
        }
    }

    /// One thing happens.
    private mutating func disturb() async throws {
        steps += 1
        switch Double.random(in: 0..<1, using: &random) {
        case ..<0.15:
            let key = Self.keys.randomElement(using: &random)!
            clock += 1
            source[key] =
                random.chance(0.3)
                ? nil
                : Row(text: random.chance(0.5) ? "A" : "B", payload: random.chance(0.5) ? "x" : "y", changedAt: clock)
        case ..<0.24: _ = try await start(.webhook)
        case ..<0.25: try await changeModel()
        case ..<0.28: _ = try await start(random.chance(0.7) ? .full : .incremental)
        case ..<0.62: try await advance()
        case ..<0.90: try await deliver()
        case ..<0.92:
            if let job = known.randomElement(using: &random) {
                _ = try await ignoringStatus {
                    try await random.chance(0.5) ? jobs.cancel(id: job.id) : jobs.fail(id: job.id, reason: "random")
                }
            }
        case ..<0.94: try await resume()
        case ..<0.96:  // Redis is wiped, or some of it was lost
            queue = random.chance(0.5) ? [] : queue.filter { _ in random.chance(0.5) }
            try await pushWaiting()
        case ..<0.97:  // a harvester dies, or is given a second message of its epoch
            if let index = harvesters.indices.randomElement(using: &random) {
                if random.chance(0.5) {
                    harvesters.remove(at: index)
                } else {
                    harvesters.append(Harvester(job: harvesters[index].job))
                }
            }
        case ..<0.98:
            if let batch = queue.randomElement(using: &random) {
                if case .split = try await jobs.countLostDelivery(batch.message.batchID) { try await pushWaiting() }
            }
        default: for id in try await jobs.finishable() { _ = try await jobs.reconcile(id: id) }
        }
    }

    private mutating func settle(limit: Int) async throws {
        for _ in 0..<limit {
            var active: [SyncJob] = []
            for job in known { if let job = try await jobs.job(id: job.id), job.status.isActive { active.append(job) } }
            if active.isEmpty && harvesters.isEmpty { return }
            for job in active where !harvesters.contains(where: { $0.job.id == job.id && $0.job.epoch == job.epoch }) {
                let cursors = try await jobs.cursors(jobID: job.id)
                if cursors.isEmpty || cursors.contains(where: { !$0.exhausted })
                    || (job.type == .full && !job.deletesPlanned)
                {
                    harvesters.append(Harvester(job: job))
                }
            }
            try await pushWaiting()
            for _ in 0..<8 { random.chance(0.5) ? try await advance() : try await deliver() }
            for job in active { _ = try await jobs.finish(job.id) }
            steps += 8
        }
        throw Divergence(description: "no end")
    }

    // MARK: - Jobs

    /// A job for each version; none where one is active already.
    private mutating func start(_ type: SyncJob.Kind) async throws -> [SyncJob] {
        let codes =
            type == .webhook
            ? Array(Self.keys.shuffled(using: &random).prefix(Int.random(in: 1...2, using: &random))) : nil
        let options = SyncOptions(batchSize: random.chance(0.5) ? 1 : 50, codes: codes)
        var started: [SyncJob] = []
        for version in versions {
            do {
                let job = try await jobs.create(
                    datasourceID: datasource, collection: version, space: space, type: type, options: options)
                known.append(job)
                harvesters.append(Harvester(job: job))
                started.append(job)
            } catch SyncJobsError.alreadyActive(let active) {
                if random.chance(0.3) { _ = try await ignoringStatus { try await jobs.cancel(id: active.id) } }
            }
        }
        return started
    }

    /// A new version is begun, switched to (they change places), or given up with all that is known of it.
    private mutating func changeModel() async throws {
        guard versions.count > 1 else {
            number += 1
            versions.append("schedules@\(number)")
            _ = try await start(.full)
            return
        }
        if random.chance(0.6) { return versions.reverse() }
        let given = versions.removeLast()
        try await jobs.cancelJobs(in: given, reason: "given up")
        try await jobs.forgetCollection(physical: given)
        store.remove(collection: given)
        applied = applied.filter { $0.key[0] != given }
    }

    private mutating func resume() async throws {
        guard let picked = known.randomElement(using: &random), versions.contains(picked.collection),
            let job = try await jobs.job(id: picked.id)
        else { return }
        do {
            let epoch = random.chance(0.5) ? job.epoch : nil
            guard let resumed = try await ignoringStatus({ try await jobs.resume(id: job.id, epoch: epoch) }) else {
                return
            }
            harvesters.append(Harvester(job: resumed))
            try await pushWaiting()
        } catch SyncJobsError.alreadyActive {}
    }

    private func ignoringStatus(_ body: () async throws -> SyncJob) async throws -> SyncJob? {
        do {
            return try await body()
        } catch SyncJobsError.wrongStatus {
            return nil
        } catch SyncJobsError.replaced {
            return nil
        }
    }

    private mutating func pushWaiting() async throws {
        let waiting = try await jobs.unpushed(olderThan: .zero, notIn: [], limit: 10_000)
        // A body may be here already, of this epoch or another: both must be harmless.
        queue += waiting.filter { batch in
            !queue.contains { $0.message.batchID == batch.message.batchID && $0.message.epoch == batch.message.epoch }
        }
        try await jobs.markPushed(waiting.map(\.message.batchID))
    }

    // MARK: - The indexer

    private mutating func deliver() async throws {
        guard !queue.isEmpty else { return }
        let claim = (0..<Int.random(in: 1...3, using: &random)).map { _ in queue.randomElement(using: &random)! }
        let crashes = !calm && random.chance(0.3)
        var batches = try claim.map { try $0.embedded() }
        for batch in batches.indices {
            for index in batches[batch].records.indices
            where !calm && batches[batch].header.operation == .upsert && random.chance(0.03) {
                batches[batch].records[index].failure = .init(type: "embedding_rejected", message: "random")
            }
        }
        do {
            let applied = try await jobs.apply(batches) { [store] changes in
                let outcome = store.write(changes)
                if crashes { throw Crash() }
                return outcome
            }
            queue += applied.replanned
            // Acknowledged, mostly; a lost acknowledgement brings it again.
            let ended = Set(applied.done + applied.refused + applied.finishedBefore)
            if random.chance(0.8) { queue.removeAll { ended.contains($0.message.batchID) && claim.contains($0) } }
        } catch is Crash {}
    }

    // MARK: - The harvester

    private mutating func advance() async throws {
        guard let index = harvesters.indices.randomElement(using: &random) else { return }
        var harvester = harvesters[index]
        do {
            try await advance(&harvester)
        } catch SyncJobsError.replaced {
            harvester.step = .over
        }
        if case .over = harvester.step { harvesters.remove(at: index) } else { harvesters[index] = harvester }
    }

    private mutating func advance(_ harvester: inout Harvester) async throws {
        let job = harvester.job
        switch harvester.step {
        case .begin:
            guard let state = try await jobs.begin(jobID: job.id, epoch: job.epoch) else {
                harvester.step = .over
                return
            }
            harvester.job = state.job
            harvester.cursors = state.cursors
            harvester.watermark = state.previousWatermark.flatMap { Int($0) } ?? 0
            if job.type != .webhook { _ = try await jobs.fixWatermark("\(clock)", jobID: job.id, epoch: job.epoch) }
            harvester.step = .draw
        case .draw:
            if harvester.cursors.allSatisfy({ $0.exhausted }) {
                harvester.step = job.type == .full && !harvester.job.deletesPlanned ? .check : .over
            } else {
                harvester.step = .read(try await jobs.nextReadSequence())
            }
        case .read(let sequence):
            harvester.step = .commit(try await page(harvester, sequence))
        case .commit(let page):
            queue += try await jobs.commit(page, of: harvester.job).batches
            let position = harvester.cursors.firstIndex { $0.shard == page.shard }!
            harvester.cursors[position].after = page.next
            harvester.cursors[position].exhausted = page.isLast
            harvester.step = .draw
        case .check:
            if harvester.cursors.contains(where: { $0.shard == SyncCursor.deletions }) {
                harvester.step = .plan
            } else {
                try await jobs.open([SyncCursor(shard: SyncCursor.deletions)], jobID: job.id, epoch: job.epoch)
                harvester.cursors = try await jobs.cursors(jobID: job.id)
                harvester.step = .draw
            }
        case .plan:
            try await jobs.deletesPlanned(harvester.job)
            harvester.step = .over
        case .over: break
        }
    }

    /// One read of the source, as it is now.
    private mutating func page(_ harvester: Harvester, _ sequence: Int64) async throws -> RecordPage {
        let cursor = harvester.cursors.first { !$0.exhausted }!
        if cursor.shard == SyncCursor.deletions {
            let keys = try await jobs.deletionCandidates(harvester.job, after: cursor.after, limit: 2)
            return RecordPage(
                shard: cursor.shard, readSequence: sequence, previous: cursor.after, next: keys.last ?? cursor.after,
                isLast: keys.count < 2, records: rows(keys), absent: keys.filter { source[$0] == nil })
        }
        if let codes = harvester.job.options.codes {
            return RecordPage(
                readSequence: sequence, previous: nil, next: nil, isLast: true, records: rows(codes),
                absent: codes.filter { source[$0] == nil })
        }
        let size = Int.random(in: 1...2, using: &random)
        let left = Self.keys.filter { key in cursor.after.map { key > $0 } ?? true }
        let part = Array(left.prefix(size))
        let wanted =
            harvester.job.type == .incremental
            ? part.filter { source[$0].map { $0.changedAt > harvester.watermark } ?? false } : part
        return RecordPage(
            readSequence: sequence, previous: cursor.after, next: part.last ?? cursor.after, isLast: left.count <= size,
            records: rows(wanted))
    }

    private mutating func rows(_ keys: [String]) -> [ProcessedRecord] {
        keys.compactMap { key in
            guard let row = source[key] else { return nil }
            var result = record(key, row.text, row.payload)
            if !calm && random.chance(0.05) { result.failure = .init(type: "row_malformed", message: "random") }
            return result
        }
    }

    /// At any moment: a known hash is the hash of what the store holds, and a record's version never goes back.
    private mutating func checkKnowledge() async throws {
        let rows = try await pool.query(
            "SELECT key, content_hash, applied_seq, collection_id FROM record_states WHERE datasource_id = $1",
            [.uuid(datasource)])
        var now: [[String]: Int64] = [:]
        for row in rows {
            let key = [row.text(3)!, row.text(0)!]
            now[key] = row.int(2)!
            // 0: its tombstone was removed, and it is new.
            guard now[key]! >= applied[key] ?? 0 || now[key] == 0 else {
                throw Divergence(description: "\(key) went from version \(applied[key]!) back to \(now[key]!)")
            }
            guard let hash = row.bytes(1) else { continue }
            let parts = String(decoding: hash, as: UTF8.self).split(separator: "/").map(String.init)
            guard store.points(in: key[0])[key[1]] == point(parts[0], parts[1]) else {
                throw Divergence(description: "the hash of \(key) is not of what is stored")
            }
        }
        applied = now
    }

    /// The hashes tell the truth: nothing would be done for the source as it is.
    private mutating func unchangedAfterwards(in version: String) async throws -> Bool {
        let job = try await jobs.create(
            datasourceID: datasource, collection: version, space: space, type: .webhook,
            options: SyncOptions(dryRun: true))
        guard let state = try await jobs.begin(jobID: job.id, epoch: 1) else { return false }
        let page = RecordPage(
            readSequence: try await jobs.nextReadSequence(), previous: nil, next: nil, isLast: true,
            records: rows(Self.keys))
        let result = try await jobs.commit(page, of: state.job)
        _ = try await jobs.finish(job.id)
        return result.unchanged == source.count
    }
}
