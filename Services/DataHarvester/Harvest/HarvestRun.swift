import Datasources
import Resilience
import ServiceRuntime
import SyncJobs
import WireProtocol
import WorkQueue

/// One harvester's work on one job, from its checkpoint to the end of the source.
///
/// The next page is read and the pages behind it are made into records while one is committed; commits are in the source's order.
struct HarvestRun: Sendable {
    struct Settings: Sendable {
        var pageRows = 1000
        /// Pages read and not yet committed.
        var pagesInFlight = 3
        /// The same where a data-processor works on them.
        var pagesInProcessing = 6
        var heartbeat: Duration = .seconds(2)
        /// After a request to stop, a page that is being read or committed may take so long.
        var stopLimit: Duration = .seconds(4)
        var massDeleteShare = 0.2
        var sourceRetries = Backoff(base: .milliseconds(500), cap: .seconds(10), attempts: 6)
    }
    let state: HarvestState
    let connector: any Connector
    let maker: RecordMaker
    let jobs: SyncJobStore
    let queue: WorkQueue
    let settings: Settings
    let failpoints: Failpoints
    let metrics: Metrics
    let trace: TraceContext
    /// False when the message may be somebody else's by now.
    let stillHolds: @Sendable () -> Bool
    let shutdown: Shutdown
    let log: Log

    var job: SyncJob { state.job }

    /// Returns when all is read, deleted and planned.
    /// Throws: `SyncJobsError.replaced`, `LeaseLost`, `CancellationError` when a stop is requested, what the source or the processor says.
    func run() async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await harvest()
                return true
            }
            group.addTask {
                while true {
                    try await Task.sleep(for: settings.heartbeat)
                    guard try await jobs.heartbeat(jobID: job.id, epoch: job.epoch) else {
                        throw SyncJobsError.replaced(jobID: job.id)
                    }
                }
            }
            group.addTask {
                await shutdown.wait()
                try await Task.sleep(for: settings.stopLimit)
                throw CancellationError()
            }
            defer { group.cancelAll() }
            _ = try await group.next()
        }
    }

    private func harvest() async throws {
        let cursor = state.cursors.first { $0.shard == 0 }
        if let cursor, cursor.after != nil, !cursor.exhausted {
            log.info("harvest.resumed", ["read_before": .integer(job.read)])
        }
        if cursor?.exhausted != true {
            switch job.type {
            case .webhook: try await readCodes(after: cursor?.after)
            case .full, .incremental: try await readSource(after: cursor?.after)
            }
            log.info("harvest.exhausted")
        }
        if job.type == .full, !job.options.dryRun, !job.deletesPlanned { try await planDeletes() }
    }

    // MARK: The source

    private func readSource(after start: String?) async throws {
        var window: ChangeWindow?
        if let clock = try await retryingSource({ try await connector.clock() }) {
            let bound = try await jobs.fixWatermark(clock, jobID: job.id, epoch: job.epoch)
            if job.type == .incremental { window = ChangeWindow(since: state.previousWatermark, until: bound) }
        }
        let isFirst = start == nil
        try await withThrowingTaskGroup(of: Void.self) { [window] group in
            if isFirst, job.type == .full { group.addTask { await estimate() } }
            try await readPages(after: start, window: window)
            group.cancelAll()
        }
    }

    /// How many rows there will be is only for those who watch: reading goes on without it.
    private func estimate() async {
        do {
            let count = try await connector.count()
            _ = try await jobs.estimate(Int64(count.rows), jobID: job.id, epoch: job.epoch)
        } catch _ where Task.isCancelled {  // all is read before the source has counted
        } catch {
            log.warning("source.not_counted", ["error": .string("\(error)")])
        }
    }

    private struct ReadPage: Sendable {
        var number: Int
        var previous: String?
        var page: SourcePage
        var sequence: Int64
        var milliseconds: Int
        var retries: Int
    }
    private enum Step: Sendable {
        case read(ReadPage)
        case made(number: Int, RecordPage)
        case committed
    }

    private func readPages(after start: String?, window: ChangeWindow?) async throws {
        let depth = maker.isProcessing ? settings.pagesInProcessing : settings.pagesInFlight
        var line = PageLine(depth: depth, start: start)
        try await withThrowingTaskGroup(of: Step.self) { group in
            func advance() {
                if let (number, cursor) = line.nextToRead() {
                    group.addTask { .read(try await read(number, after: cursor, window: window)) }
                }
                if let page = line.nextToCommit() {
                    group.addTask {
                        try await commit(page)
                        return .committed
                    }
                }
            }
            advance()
            while let step = try await group.next() {
                if shutdown.isRequested { throw CancellationError() }
                switch step {
                case .read(let read):
                    line.read(next: read.page.next, isLast: read.page.isExhausted)
                    group.addTask { .made(number: read.number, try await make(read)) }
                case .made(let number, let page): line.made(number, page)
                case .committed: line.committed()
                }
                advance()
            }
        }
    }

    private func read(_ number: Int, after cursor: String?, window: ChangeWindow?) async throws -> ReadPage {
        let clock = ContinuousClock.now
        let (read, retries) = try await retryingSourceCounted {
            // Before each read: a version read later has a higher number.
            let sequence = try await jobs.nextReadSequence()
            return (sequence, try await connector.readPage(after: cursor, limit: settings.pageRows, window: window))
        }
        failpoints.reach("harvester.after-read")
        for note in read.1.notes { log.info("source.note", ["note": .string(note)]) }
        let elapsed = ContinuousClock.now - clock
        metrics.observe("suite_harvest_read_seconds", elapsed / .seconds(1), help: "Time to read one page of a source")
        return ReadPage(
            number: number, previous: cursor, page: read.1, sequence: read.0,
            milliseconds: Int(elapsed / .milliseconds(1)),
            retries: retries)
    }

    private func make(_ read: ReadPage) async throws -> RecordPage {
        let made = try await maker.make(read.page, trace: trace.child())
        // A full sync finds at its end, by key, what has vanished; until then it may be on another page.
        let absent = job.type == .full ? [] : try await absent(made, missing: [])
        return RecordPage(
            readSequence: read.sequence, previous: read.previous, next: read.page.next ?? read.previous,
            isLast: read.page.isExhausted, records: made.records,
            absent: absent, readMilliseconds: read.milliseconds,
            processMilliseconds: made.processMilliseconds, retries: read.retries, traceparent: trace.traceparent)
    }

    // MARK: Keys

    /// A webhook's or a retry's keys. The cursor counts those that are done.
    private func readCodes(after start: String?) async throws {
        let codes = job.options.codes ?? []
        var done = start.flatMap { Int($0) } ?? 0
        var previous = start
        repeat {
            let part = Array(codes.dropFirst(done).prefix(settings.pageRows))
            done += part.count
            let next = "\(done)"
            try await commitKeys(
                part, shard: 0, previous: previous, next: next, isLast: done >= codes.count, deletes: true)
            previous = next
        } while done < codes.count
    }

    /// Reads `keys` again: what the source has becomes records, the rest is absent.
    func commitKeys(_ keys: [String], shard: Int, previous: String?, next: String?, isLast: Bool, deletes: Bool)
        async throws
    {
        if shutdown.isRequested { throw CancellationError() }
        let clock = ContinuousClock.now
        let wanted = Array(Set(keys.map(maker.sourceKey))).sorted()
        let (read, retries) = try await retryingSourceCounted { () -> (Int64, SourcePage) in
            let sequence = try await jobs.nextReadSequence()
            return (sequence, wanted.isEmpty ? SourcePage() : try await connector.readByKeys(wanted))
        }
        let milliseconds = Int((ContinuousClock.now - clock) / .milliseconds(1))
        let made = try await maker.make(read.1, trace: trace.child())
        let present = Set(made.records.map(\.key))
        let isAsked = Set(keys)
        // Of a row that makes several records, a pass over keys asks for some; a webhook names the row itself.
        let records = shard == 0 ? made.records : made.records.filter { isAsked.contains($0.key) }
        let sources = Set(present.map(maker.sourceKey))
        var missing = keys.filter { !present.contains($0) }
        if shard == 0 { missing = try await absent(made, missing: keys.filter { !sources.contains($0) }) }
        try await commit(
            RecordPage(
                shard: shard, readSequence: read.0, previous: previous, next: next, isLast: isLast, records: records,
                absent: deletes ? missing : [], readMilliseconds: milliseconds,
                processMilliseconds: made.processMilliseconds,
                retries: retries, traceparent: trace.traceparent))
    }

    /// What the source no longer has of what was read: keys that vanished, and the tails of rows that make fewer records now.
    private func absent(_ made: RecordMaker.Made, missing: [String]) async throws -> [String] {
        let vanished = made.vanished + missing
        guard maker.isChunking else { return vanished }
        let produced = Set(made.records.map(\.key))
        let rows = Set(vanished).union(made.records.filter { $0.failure == nil }.map { maker.sourceKey($0.key) })
        return try await jobs.chunkKeys(of: rows.sorted(), job).filter { !produced.contains($0) }
    }

    // MARK: Committing

    func commit(_ page: RecordPage) async throws {
        let batches = page.records.count / max(1, job.options.batchSize) + 2
        if !job.options.dryRun {
            try await queue.waitForRoom(in: .embed, for: batches, until: shutdown)
            try await queue.waitForRoom(in: .index, for: 1, until: shutdown)
        }
        guard stillHolds() else { throw LeaseLost() }
        failpoints.reach("harvester.before-commit")
        let committed = try await jobs.commit(page, of: job)
        failpoints.reach("harvester.after-commit")
        await push(committed.batches)
        failpoints.reach("harvester.after-push")
        metrics.add("suite_harvest_pages_total", help: "Pages of sources committed")
        metrics.add(
            "suite_harvest_records_total", Double(page.records.count), help: "Records read from sources and committed")
        log.debug(
            "page.committed",
            [
                "shard": JSONValue(page.shard), "records": JSONValue(page.records.count),
                "upserts": JSONValue(committed.upserts),
                "payload_only": JSONValue(committed.payloadOnly), "unchanged": JSONValue(committed.unchanged),
                "failed": JSONValue(committed.failed), "deletes": JSONValue(committed.deletes),
            ])
    }

    /// What cannot be pushed now the supervisor pushes: PostgreSQL knows it.
    private func push(_ batches: [QueuedBatch]) async {
        do {
            for (kind, list) in [(WorkMessage.Kind.embed, QueueName.embed), (.index, .index)] {
                let items = batches.filter { $0.message.kind == kind }.map {
                    (message: $0.message, body: Optional($0.body))
                }
                try await queue.push(items, to: list)
            }
        } catch {
            log.warning("batches.not_pushed", ["batches": JSONValue(batches.count), "error": .string("\(error)")])
        }
    }

    // MARK: Retries

    private func retryingSource<Value: Sendable>(_ operation: () async throws -> Value) async throws -> Value {
        try await retryingSourceCounted(operation).0
    }

    private func retryingSourceCounted<Value: Sendable>(_ operation: () async throws -> Value) async throws -> (
        Value, Int
    ) {
        var retries = -1
        let value = try await retrying(
            settings.sourceRetries, isRetryable: { ($0 as? SourceError)?.isRetryable ?? false }
        ) {
            retries += 1
            if retries > 0 { log.warning("source.retried", ["attempt": JSONValue(retries + 1)]) }
            return try await operation()
        }
        return (value, retries)
    }
}

/// The message may be somebody else's by now.
struct LeaseLost: Error {}

/// Which pages are being read, made and committed: a bounded line, read and committed in order.
struct PageLine {
    private let depth: Int
    private var cursor: String?
    private var numberToRead = 0
    private var numberToCommit = 0
    private var isReading = false
    private var isExhausted = false
    private var isCommitting = false
    private var ready: [Int: RecordPage] = [:]

    init(depth: Int, start: String?) {
        self.depth = max(2, depth)
        cursor = start
    }

    mutating func nextToRead() -> (number: Int, cursor: String?)? {
        guard !isReading, !isExhausted, numberToRead - numberToCommit < depth else { return nil }
        isReading = true
        return (numberToRead, cursor)
    }
    mutating func read(next: String?, isLast: Bool) {
        isReading = false
        numberToRead += 1
        cursor = next ?? cursor
        isExhausted = isLast
    }
    mutating func made(_ number: Int, _ page: RecordPage) { ready[number] = page }
    mutating func nextToCommit() -> RecordPage? {
        guard !isCommitting, let page = ready.removeValue(forKey: numberToCommit) else { return nil }
        isCommitting = true
        return page
    }
    mutating func committed() {
        isCommitting = false
        numberToCommit += 1
    }
}
