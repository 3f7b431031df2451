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
        do {
            let missing = try PointApplier.apply(changes, sequence: sequence, to: segment, points: &points)
            points.publish(segment, sequence: sequence)
            return (WriteOutcome(sequence: sequence, missing: missing), log)
        } catch {
            failure = .inputOutput("\(error)")  // logged, but not visible: the next start applies it
            throw error
        }
    }

    /// Each update sees what those before it did, so slots are written first, the log after them, and only then they are shown. Slots
    /// of a batch that fails stay behind, dead, until a compaction.
    private func applyBatch(_ updates: [PointsUpdate], _ points: inout PendingPoints) throws -> WriteOutcome {
        var all: [PointChange] = []
        for update in updates {
            let changes = try UpdateResolver(segment: segment, vectorNames: vectorNames).changes(of: update, &points)
            try PointApplier.reserve(changes, in: segment, points: points)
            _ = try PointApplier.apply(changes, sequence: sequence + 1, to: segment, points: &points)
            all += changes
        }
        if all.isEmpty { return WriteOutcome(sequence: sequence) }
        try log.append(LogRecord.encode(sequence: sequence + 1, durable: log.durable, changes: all))
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

    /// `save` makes the change durable; what it throws leaves everything as it was.
    func change(to configuration: CollectionConfiguration, save: @Sendable () throws -> Void) throws {
        try checkUsable()
        let added = configuration.columns.filter { !segment.columns.contains($0) }
        let removed = segment.columns.filter { !configuration.columns.contains($0) }
        for column in added { try segment.add(column) }
        do { try save() } catch {
            for column in added { segment.remove(column) }
            throw error
        }
        for column in removed { segment.remove(column) }
        vectorNames = configuration.vectorNames
        index.setVectors(segment.view, positions: configuration.positions)
    }

    // MARK: - Checkpoint and compaction (`CollectionCheckpoint` does the long part, elsewhere)

    var logBytes: Int { log.length }
    var timeSinceCheckpoint: Duration { ContinuousClock.now - lastCheckpoint }
    var diskBytes: Int { log.length + segment.diskBytes }
    var memoryBytes: Int { segment.memoryBytes }

    /// A new log for the requests to come; the checkpoint covers all before it. `nil` when there is nothing to do.
    func beginCheckpoint(compacting: Bool) throws -> CheckpointPlan? {
        guard log.length > 0 || compacting || repair != nil else { return nil }
        try checkUsable()
        try log.synchronise()  // a tail can be torn in the last log only
        log = try WriteAheadLog(log.number + 1, in: folder)
        var live = index.snapshot.live
        live.grow(to: segment.count)  // slots of a batch that failed are behind what is shown
        return CheckpointPlan(
            folder: folder, generation: segment.generation, columns: segment.columns, files: segment.files,
            view: segment.view, end: segment.end, live: live, sequence: sequence, firstLog: log.number,
            previous: manifest)
    }

    func endCheckpoint(_ saved: Manifest) {
        let old = manifest
        manifest = saved
        lastCheckpoint = .now
        repair = nil
        for number in old.firstLog..<saved.firstLog { unlink(WriteAheadLog.path(number, in: folder)) }
        if old.liveFileName != saved.liveFileName { unlink("\(folder)/\(old.liveFileName)") }
    }

    /// Brings the compacted segment up to date and shows it. `moved[s]` is where slot s went (`UInt32.max`: nowhere).
    func endCompaction(_ saved: Manifest, into compacted: Segment, moved: [UInt32]) throws {
        // Vectors that came or went meanwhile.
        for column in compacted.columns where !segment.columns.contains(column) { compacted.remove(column) }
        for column in segment.columns where !compacted.columns.contains(column) { try compacted.add(column) }
        let (old, slots) = index.contents()
        var tail: [NewSlot] = []
        var moved = moved
        for slot in moved.count..<max(moved.count, old.count) {
            moved.append(old.live[slot] ? UInt32(compacted.count + tail.count) : .max)
            guard old.live[slot] else { continue }
            tail.append(CollectionCheckpoint.copy(slot, of: old.view, columns: compacted.columns))
        }
        try compacted.reserve(CollectionCheckpoint.room(for: tail, columns: compacted.columns))
        _ = try compacted.append(tail)

        var snapshot = Snapshot(vectors: old.present.count)
        snapshot.grow(to: compacted.count, compacted.view)
        snapshot.sequence = old.sequence
        old.live.forEachSlot { snapshot.show(Int(moved[$0]), vectors: old.view.slot($0).vectors) }
        index.replace(snapshot, slots: slots.mapValues { moved[Int($0)] })
        let replaced = segment
        segment = compacted
        endCheckpoint(saved)
        replaced.delete()
    }

    func synchronise() throws { try log.synchronise() }

    /// False once its files were deleted under it: then it takes no more writes.
    func isOnDisk() -> Bool {
        if !log.isUnlinked, access("\(folder)/\(Manifest.fileName)", F_OK) == 0 { return true }
        failure = failure ?? .inputOutput("\(folder) was deleted while it was in use")
        return false
    }
}
