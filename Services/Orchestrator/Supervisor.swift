import Postgres
import ServiceRuntime
import SyncJobs
import Synchronization
import WireProtocol
import WorkQueue

/// Keeps every job moving or ends it: gives back what dead consumers held, pushes again what PostgreSQL has as queued and no list
/// has, ends what is complete, fails what stands still. Any replica may be the one that does it, one at a time.
final class Supervisor: Service {
    struct Timing: Sendable {
        var tick: Duration = .seconds(1)
        /// How long a pushed batch may be in no list before it is pushed again: its consumer is between two commands.
        var pushAge: Duration = .seconds(15)
        /// A list is read whole for a sweep: not each second.
        var sweepEvery = 5
        var progressTimeout: Duration = .seconds(7200)
        var retention: Duration = .seconds(90 * 86400)
        /// Ticks between two removals of old jobs.
        var removalEvery = 3600
    }

    private let pool: PostgresPool
    private let jobs: SyncJobStore
    private let queue: WorkQueue
    private let collections: CollectionService
    private let timing: Timing
    private let failpoints: Failpoints
    private let metrics: Metrics
    private let log: Log
    private let wakeUp = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    private let ticks = Mutex(0)
    /// Epochs by job that Redis has.
    private let told = Mutex<[String: Int]>([:])
    private static let pushAtOnce = 100

    init(
        pool: PostgresPool, jobs: SyncJobStore, queue: WorkQueue, collections: CollectionService, timing: Timing,
        failpoints: Failpoints, metrics: Metrics, log: Log
    ) {
        self.pool = pool
        self.jobs = jobs
        self.queue = queue
        self.collections = collections
        self.timing = timing
        self.failpoints = failpoints
        self.metrics = metrics
        self.log = log
    }

    /// Has the next round begin at once: something was just resumed.
    func wake() { wakeUp.continuation.yield() }

    func run(until shutdown: Shutdown) async throws {
        shutdown.onRequest { [continuation = wakeUp.continuation] in continuation.finish() }
        let ticker = Task { [timing, continuation = wakeUp.continuation] in
            while !Task.isCancelled {
                continuation.yield()
                try await Task.sleep(for: timing.tick)
            }
        }
        defer { ticker.cancel() }
        for await _ in wakeUp.stream {
            do {
                try await superviseIfAlone()
            } catch {
                // Redis or PostgreSQL is away; everything that was not done is found again by the next round.
                log.warning("supervisor.round_failed", ["error": .string("\(error)")])
            }
        }
    }

    /// One round, unless another replica is in the middle of one.
    func superviseIfAlone() async throws {
        _ = try await pool.transaction { transaction in
            let rows = try await transaction.query(
                "SELECT pg_try_advisory_xact_lock(hashtextextended('suite.supervisor', 0))")
            guard rows.first?.bool(0) == true else { return false }
            try await supervise()
            return true
        }
    }

    private func supervise() async throws {
        let tick = ticks.withLock { ticks in
            ticks += 1
            return ticks
        }
        try await countLostDeliveries()
        let wasEmptied = try await redisWasEmptied()
        if wasEmptied || tick % timing.sweepEvery == 1 {
            try await pushAgain(olderThan: wasEmptied ? .zero : timing.pushAge)
        }
        try await endJobs()
        try await tellWorkers()
        if tick % timing.removalEvery == 1 { try await removeOldJobs() }
    }

    /// A message that kills its consumers comes to an end: PostgreSQL counts each lost delivery.
    private func countLostDeliveries() async throws {
        let lost = try await queue.reap()
        if !lost.isEmpty { failpoints.reach("orchestrator.after-reap") }
        for delivery in lost where delivery.message.batchID != 0 {
            let outcome = try await jobs.countLostDelivery(delivery.message.batchID)
            if case .counted = outcome {} else { try await queue.remove(delivery.message, from: delivery.queue) }
            log.warning(
                "delivery.lost",
                [
                    "job_id": .string(delivery.message.jobID), "batch_id": .integer(delivery.message.batchID),
                    "outcome": .string("\(outcome)"),
                ])
        }
    }

    /// Redis carries a key that only this puts there; where it is gone, so are the lists.
    private func redisWasEmptied() async throws -> Bool {
        let isNew = try await queue.markGeneration()
        if isNew { log.warning("queue.emptied", ["consequence": "all open work is pushed again"]) }
        return isNew
    }

    private func pushAgain(olderThan age: Duration) async throws {
        let harvested = try await queue.queuedJobIDs(in: .harvest)
        for message in try await jobs.jobsToHarvest(silentFor: age) where !harvested.contains(message.jobID) {
            try await queue.push([(message, nil)], to: .harvest)
            log.info("job.pushed_again", ["job_id": .string(message.jobID), "epoch": JSONValue(message.epoch)])
        }
        let listed = try await queue.queuedBatchIDs()
        var pushed = Set<Int64>()
        while true {
            let lost = try await jobs.unpushed(olderThan: age, notIn: listed.union(pushed), limit: Self.pushAtOnce)
            for name in [QueueName.embed, .index] {
                let items = lost.filter { $0.message.kind.rawValue == name.stage }
                if items.isEmpty { continue }
                guard try await queue.hasRoom(in: name, for: items.count) else { return }
                try await queue.push(items.map { ($0.message, $0.body) }, to: name)
                try await jobs.markPushed(items.map(\.message.batchID))
                pushed.formUnion(items.map(\.message.batchID))
                log.info("batches.pushed_again", ["batches": JSONValue(items.count), "queue": .string(name.stage)])
            }
            if lost.count < Self.pushAtOnce { return }
        }
    }

    private func endJobs() async throws {
        for id in try await jobs.finishable() {
            let ended = try await jobs.reconcile(id: id)
            guard !ended.status.isActive else { continue }
            count(ended)
            if ended.status == .completed, !ended.options.dryRun {
                try await collections.markSynced(physicalName: ended.collection)
            }
        }
        for job in try await jobs.stalled(for: timing.progressTimeout) {
            let minutes = timing.progressTimeout.components.seconds / 60
            count(
                try await jobs.fail(
                    id: job.id, epoch: job.epoch,
                    reason: "no progress for \(minutes) minutes: mend the cause and resume the job"))
            log.error("job.stalled", ["job_id": .string(job.id)])
        }
    }

    /// A job that has just failed or was cancelled, by whomever: the embedder stops before it pays for more of it.
    private func tellWorkers() async throws {
        let ended = try await jobs.endedEpochs(within: .seconds(30))
        let news = told.withLock { told in
            let news = ended.filter { told[$0.key] != $0.value }
            told = ended
            return news
        }
        for (job, epoch) in news { await queue.raiseEpoch(ofJob: job, to: epoch) }
    }

    private func count(_ job: SyncJob) {
        metrics.add(
            "suite_jobs_total", help: "Sync jobs that ended.",
            ["kind": job.type.rawValue, "outcome": job.status.rawValue])
    }

    private func removeOldJobs() async throws {
        let removed = try await jobs.removeJobs(endedBefore: timing.retention)
        if removed > 0 { log.info("jobs.removed", ["jobs": JSONValue(removed)]) }
    }
}
