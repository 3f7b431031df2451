import Foundation
import ServiceRuntime
import WireProtocol

/// The one writer of a collection: request by request into the log, then into the segment, then visible.
actor CollectionWriter {
    private nonisolated let executor: BlockingExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let name: String
    private let folder: String
    private var vectorNames: [String?]
    private let index: PointIndex
    private let syncer: LogSyncer
    var segment: Segment
    var log: WriteAheadLog
    var manifest: Manifest
    private var sequence: UInt64
    private var failure: StoreError?
    private var lastCheckpoint = ContinuousClock.now
    private(set) var repair: OpenedCollection.Repair?
    private var checkpoints: Int
    /// Segments that the manifest on disk may still name, although newer ones are in use.
    private var retired: [Segment] = []

    init(
        name: String, folder: String, configuration: CollectionConfiguration, index: PointIndex, syncer: LogSyncer,
        executor: BlockingExecutor, opened: OpenedCollection
    ) {
        self.name = name
        self.folder = folder
        vectorNames = configuration.vectorNames
        self.index = index
        self.syncer = syncer
        self.executor = executor
        segment = opened.segment
        log = opened.log
        manifest = opened.manifest
        sequence = opened.sequence
        repair = opened.repair
        checkpoints = opened.manifest.checkpoint
    }

    /// Throws: `diskFull`, `wrongInput` and `pointNotFound` with nothing changed.
    func apply(_ update: PointsUpdate, wait: Bool) async throws -> WriteOutcome {
        let (outcome, log) = try applyNow(update)
        if wait { try await syncer.synchronise(log) } else { syncer.synchroniseLater(log) }
        return outcome
    }

    private func applyNow(_ update: PointsUpdate) throws -> (WriteOutcome, WriteAheadLog) {
        try checkUsable()
        var points = PendingPoints(index)
        if case .batch(let updates) = update { return (try applyBatch(Self.flat(updates), &points), log) }
        let changes = try UpdateResolver(segment: segment, vectorNames: vectorNames).changes(of: update, &points)
        if changes.isEmpty { return (WriteOutcome(sequence: sequence), log) }
        try PointApplier.reserve(changes, in: segment, points: points)
        try log.append(LogRecord.encode(sequence: sequence + 1, durable: log.durable, changes: changes))
        sequence += 1
        let missing = try place(changes, sequence: sequence, &points)
        points.publish(segment, sequence: sequence)
        return (WriteOutcome(sequence: sequence, missing: missing), log)
    }

    /// What fails here, although room was reserved, is the disk itself: a slot may be half written, and what the log has may not be
    /// visible. The next start makes it right.
    private func place(_ changes: [PointChange], sequence: UInt64, _ points: inout PendingPoints) throws -> [Int] {
        do {
            return try PointApplier.apply(changes, sequence: sequence, to: segment, points: &points)
        } catch {
            failure = .inputOutput("\(error)")
            throw error
        }
    }

    /// Each update sees what those before it did, so slots are written first, the log after them, and only then they are shown. Slots
    /// of a batch that fails stay behind, dead, until a compaction.
    private func applyBatch(_ updates: [PointsUpdate], _ points: inout PendingPoints) throws -> WriteOutcome {
        var all: [PointChange] = []
        do {
            for update in updates {
                let changes = try UpdateResolver(segment: segment, vectorNames: vectorNames).changes(
                    of: update, &points)
                try PointApplier.reserve(changes, in: segment, points: points)
                _ = try place(changes, sequence: sequence + 1, &points)
                all += changes
            }
            if all.isEmpty { return WriteOutcome(sequence: sequence) }
            try log.append(LogRecord.encode(sequence: sequence + 1, durable: log.durable, changes: all))
        } catch {
            index.publish([], view: segment.view, count: segment.count, sequence: sequence)  // counted as dead
            throw error
        }
        sequence += 1
        points.publish(segment, sequence: sequence)
        return WriteOutcome(sequence: sequence)
    }

    private static func flat(_ updates: [PointsUpdate]) -> [PointsUpdate] {
        updates.flatMap { update in
            if case .batch(let inner) = update { flat(inner) } else { [update] }
        }
    }

    private func checkUsable() throws {
        if let failure = failure ?? log.failure {
            throw StoreError.unusable(collection: name, reason: failure.description)
        }
    }

    // MARK: - Vectors that come and go

    /// `change` answers what the collection is made of from now on: it is asked here, where no other change comes between. `save` makes
    /// that durable; what it throws leaves everything as it was.
    func change(
        _ change: @Sendable () throws -> CollectionConfiguration,
        save: @Sendable (CollectionConfiguration) throws -> Void
    ) throws {
        try checkUsable()
        let configuration = try change()
        let added = configuration.columns.filter { !segment.columns.contains($0) }
        let removed = segment.columns.filter { !configuration.columns.contains($0) }
        do {
            for column in added { try segment.add(column) }
            try save(configuration)
        } catch {
            for column in added where segment.columns.contains(column) { segment.remove(column) }
            throw error
        }
        for column in removed { segment.remove(column) }
        vectorNames = configuration.vectorNames
        index.setVectors(segment.view, positions: configuration.positions)
    }

    // MARK: - Checkpoint and compaction (`CollectionCheckpoint` does the long part, elsewhere)

    var logBytes: Int { log.length }
    var diskBytes: Int { log.length + segment.diskBytes }
    var memoryBytes: Int { segment.memoryBytes }
    var payloadBytes: Int { segment.payloadStorage }

    /// Whether there is anything that a checkpoint would make shorter or safer.
    var needsCheckpoint: Bool { log.length > 0 || repair != nil || !retired.isEmpty }
    func isCheckpointDue(logBytes: Int, interval: Duration) -> Bool {
        repair == .checkpoint || !retired.isEmpty || log.length >= logBytes
            || (log.length > 0 && ContinuousClock.now - lastCheckpoint >= interval)
    }

    /// `next` is for the requests to come; the checkpoint covers all before it.
    func beginCheckpoint(_ next: WriteAheadLog) throws -> CheckpointPlan {
        try checkUsable()
        try log.synchronise()  // a tail can be torn in the last log only; the caller has synchronised most of it
        log = next
        checkpoints += 1
        var live = index.snapshot.live
        live.grow(to: segment.count)  // slots of a batch that failed are behind what is shown
        return CheckpointPlan(
            folder: folder, generation: segment.generation, columns: segment.columns, files: segment.files,
            view: segment.view, end: segment.end, positions: index.snapshot.present.count, live: live,
            sequence: sequence, firstLog: log.number, checkpoint: checkpoints, previous: manifest)
    }

    /// The manifest is on disk. Answers the files that it makes superfluous: their removal may take a while.
    func endCheckpoint(_ saved: Manifest) -> [String] {
        let old = manifest
        manifest = saved
        lastCheckpoint = .now
        repair = nil
        let files = retired.flatMap(\.files).map(\.file.path)
        retired = []
        return files + (old.firstLog..<saved.firstLog).map { WriteAheadLog.path($0, in: folder) }
            + (old.checkpoint..<saved.checkpoint).map { "\(folder)/\(Manifest.liveFileName($0))" }
    }

    /// Brings the compacted segment up to date and uses it from now on. Until its manifest is saved the next start takes the old
    /// segment, with all the logs.
    func adopt(_ compaction: Compaction) throws {
        var compaction = compaction
        let compacted = compaction.segment
        // Vectors that came or went meanwhile.
        for column in compacted.columns where !segment.columns.contains(column) { compacted.remove(column) }
        for column in segment.columns where !compacted.columns.contains(column) { try compacted.add(column) }
        let now = index.snapshot
        try compaction.copy(from: now.view, live: now.live, upTo: now.count)
        compaction.bury(notIn: now.live, of: now.view)
        index.adopt(compaction, positions: now.present.count)
        retired.append(segment)
        segment = compacted
        manifest = compaction.manifest
    }

    func synchronise() throws { try log.synchronise() }

    /// The segment could not be made durable. A second try would succeed over nothing: the page cache may have dropped what it could
    /// not write. The log has it all, for the next start.
    func fail(_ error: any Error) { failure = failure ?? .inputOutput("\(error)") }

    /// False once its files were deleted under it: then it takes no more writes.
    func isOnDisk() -> Bool {
        if !log.isUnlinked, access("\(folder)/\(Manifest.fileName)", F_OK) == 0 { return true }
        failure = failure ?? .inputOutput("\(folder) was deleted while it was in use")
        return false
    }
}
