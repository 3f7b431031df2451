import Foundation
import ServiceRuntime
import WireProtocol

/// The one writer of a collection: request by request into the log, then into the segment, then visible.
actor CollectionWriter {
    private nonisolated let executor: BlockingExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let name: String
    private let folder: String
    private let configuration: CollectionConfiguration
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
        self.configuration = configuration
        self.index = index
        self.syncer = syncer
        self.executor = executor
        segment = opened.segment
        log = opened.log
        manifest = opened.manifest
        sequence = opened.sequence
        repair = opened.repair
    }

    /// Throws: `diskFull` and `wrongInput` with nothing changed.
    func apply(_ update: PointsUpdate, wait: Bool) async throws -> WriteOutcome {
        let (outcome, log) = try applyNow(update)
        if wait { try await syncer.synchronise(log) } else { syncer.synchroniseLater(log) }
        return outcome
    }

    private func applyNow(_ update: PointsUpdate) throws -> (WriteOutcome, WriteAheadLog) {
        if let failure = failure ?? log.failure {
            throw StoreError.unusable(collection: name, reason: failure.description)
        }
        let changes =
            switch update {
            case .changes(let changes, nil, .upsert): changes
            case .selected(let selection, let change): try resolve(selection, change)
            case .changes:
                throw StoreError.wrongInput("conditional upserts are not supported by the embedded store yet")
            case .batch: throw StoreError.wrongInput("batches are not supported by the embedded store yet")
            }
        if changes.isEmpty { return (WriteOutcome(sequence: sequence), log) }
        try PointApplier.reserve(changes, in: segment, index: index)
        try log.append(LogRecord.encode(sequence: sequence + 1, durable: log.durable, changes: changes))
        sequence += 1
        do {
            let missing = try PointApplier.apply(changes, sequence: sequence, to: segment, index: index)
            return (WriteOutcome(sequence: sequence, missing: missing), log)
        } catch {
            failure = .inputOutput("\(error)")  // logged, but not visible: the next start applies it
            throw error
        }
    }

    private func resolve(_ selection: PointSelection, _ change: SelectedChange) throws -> [PointChange] {
        let ids: [PointID]
        let snapshot: Snapshot
        let slots: [Int]
        switch selection {
        case .ids(let wanted):
            let (moment, found) = index.snapshot(locating: wanted)
            snapshot = moment
            ids = wanted.filter { found[$0] != nil }
            slots = ids.compactMap { found[$0] }
        case .filter(let filter):
            let (moment, located) = index.snapshot(locating: filter.ids)
            snapshot = moment
            let matches = try FilterEvaluation(snapshot: snapshot, located: located).matches(filter)
            var found: [Int] = []
            matches.forEachSlot { found.append($0) }
            slots = found
            ids = slots.map { PointID(snapshot.view.slot($0)) }
        }
        return try zip(ids, slots).map { id, slot in
            switch change {
            case .delete: return PointChange(id: id, effect: .delete)
            case .clearPayload: return PointChange(id: id, effect: .payload(Array("{}".utf8)))
            case .overwritePayload(let payload, nil):
                return PointChange(id: id, effect: .payload(JSONValue.object(payload).serializedBytes))
            case .overwritePayload, .setPayload(_, .some):
                throw StoreError.wrongInput("key: is not supported by the embedded store yet")
            case .deleteVectors:
                throw StoreError.wrongInput("deletion of vectors is not supported by the embedded store yet")
            case .setPayload(let members, nil):
                var payload = try Payload.parse(snapshot.view.payload(of: slot))
                for member in members.members { payload[member.name] = member.value }
                return PointChange(id: id, effect: .payload(JSONValue.object(payload).serializedBytes))
            case .deletePayloadKeys(let paths):
                let payload = try Payload.parse(snapshot.view.payload(of: slot))
                return PointChange(
                    id: id, effect: .payload(JSONValue.object(Payload.excluding(paths, from: payload)).serializedBytes))
            }
        }
    }

    // MARK: - Checkpoint and compaction (`CollectionCheckpoint` does the long part, elsewhere)

    var logBytes: Int { log.length }
    var timeSinceCheckpoint: Duration { ContinuousClock.now - lastCheckpoint }
    var diskBytes: Int { log.length + segment.payloadEnd + segment.count * segment.sizes.reduce(48) { $0 + $1 * 4 } }

    /// A new log for the requests to come; the checkpoint covers all before it. `nil` when there is nothing to do.
    func beginCheckpoint(compacting: Bool) throws -> CheckpointPlan? {
        guard log.length > 0 || compacting || repair != nil else { return nil }
        if let failure = failure ?? log.failure {
            throw StoreError.unusable(collection: name, reason: failure.description)
        }
        try log.synchronise()  // a tail can be torn in the last log only
        log = try WriteAheadLog(log.number + 1, in: folder)
        return CheckpointPlan(
            folder: folder, segment: segment, count: segment.count, payloadEnd: segment.payloadEnd,
            live: index.snapshot.live, sequence: sequence, firstLog: log.number, previous: manifest)
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
        let (old, slots) = index.contents()
        var tail: [NewSlot] = []
        var moved = moved
        var payloadBytes = 0
        for slot in moved.count..<segment.count {
            moved.append(old.live[slot] ? UInt32(compacted.count + tail.count) : .max)
            guard old.live[slot] else { continue }
            tail.append(CollectionCheckpoint.copy(slot, of: old.view, vectors: configuration.vectors.count))
            payloadBytes += old.view.payload(of: slot).count
        }
        try compacted.reserve(slots: tail.count, payloadBytes: payloadBytes)
        _ = try compacted.append(tail)

        var snapshot = Snapshot(vectors: configuration.vectors.count)
        snapshot.view = compacted.view
        snapshot.count = compacted.count
        snapshot.sequence = old.sequence
        snapshot.live = Bitmap(count: compacted.count)
        snapshot.present = snapshot.present.map { _ in Bitmap(count: compacted.count) }
        old.live.forEachSlot { snapshot.show(Int(moved[$0]), vectors: old.view.slot($0).vectors) }
        index.replace(snapshot, slots: slots.mapValues { moved[Int($0)] })
        let paths = segment.paths
        segment = compacted
        endCheckpoint(saved)
        for path in paths { unlink(path) }
    }

    func synchronise() throws { try log.synchronise() }

    /// False once its files were deleted under it: then it takes no more writes.
    func isOnDisk() -> Bool {
        if !log.isUnlinked, access("\(folder)/\(Manifest.fileName)", F_OK) == 0 { return true }
        failure = failure ?? .inputOutput("\(folder) was deleted while it was in use")
        return false
    }
}

/// Turns changes into slots: the same way for a request and for a record read back at start.
enum PointApplier {
    static func reserve(_ changes: [PointChange], in segment: Segment, index: PointIndex) throws {
        var slots = 0
        var payloadBytes = 0
        for change in changes {
            switch change.effect {
            case .upsert(_, let payload), .payload(let payload):
                slots += 1
                payloadBytes += payload.count
            case .vectors, .dropVectors:
                slots += 1
                let slot = index.slots(of: [change.id]).first.flatMap { $0 }
                payloadBytes += slot.map { Int(segment.view.slot($0).payload_length) } ?? 0
            case .delete: break
            }
        }
        try segment.reserve(slots: slots, payloadBytes: payloadBytes)
    }

    /// Answers the positions of the changes whose point does not exist although they need one.
    static func apply(
        _ changes: [PointChange], sequence: UInt64, to segment: Segment, index: PointIndex
    ) throws -> [Int] {
        var missing: [Int] = []
        var start = 0
        while start < changes.count {  // a point that comes twice is looked up again after its first change
            var seen = Set<PointID>(minimumCapacity: changes.count - start)
            var end = start
            while end < changes.count, seen.insert(changes[end].id).inserted { end += 1 }
            try applyRun(changes[start..<end], sequence: sequence, to: segment, index: index, missing: &missing)
            start = end
        }
        return missing
    }

    private static func applyRun(
        _ changes: ArraySlice<PointChange>, sequence: UInt64, to segment: Segment, index: PointIndex,
        missing: inout [Int]
    ) throws {
        let old = index.slots(of: changes.map(\.id))
        let view = segment.view
        var slots: [NewSlot] = []
        var placements: [PointIndex.Placement] = []
        slots.reserveCapacity(changes.count)
        placements.reserveCapacity(changes.count)
        for (position, oldSlot) in zip(changes.indices, old) {
            let change = changes[position]
            var slot = NewSlot(
                id: change.id, version: sequence, vectors: Array(repeating: .absent, count: segment.sizes.count),
                payload: .bytes([]))
            if let oldSlot {
                slot.payload = .copy(of: view, slot: oldSlot)
                let mask = view.slot(oldSlot).vectors
                for vector in segment.sizes.indices where mask >> UInt64(vector) & 1 == 1 {
                    slot.vectors[vector] = .copy(of: view, slot: oldSlot)
                }
            }
            switch change.effect {
            case .delete:
                if oldSlot != nil { placements.append(PointIndex.Placement(id: change.id, slot: nil)) }
                continue
            case .upsert(let vectors, let payload):
                slot.vectors = Array(repeating: .absent, count: segment.sizes.count)
                for vector in vectors { slot.vectors[vector.position] = vector.source }
                slot.payload = .bytes(payload)
            case _ where oldSlot == nil:
                missing.append(position)
                continue
            case .payload(let payload): slot.payload = .bytes(payload)
            case .vectors(let vectors):
                for vector in vectors { slot.vectors[vector.position] = vector.source }
            case .dropVectors(let mask):
                for vector in segment.sizes.indices where mask >> UInt64(vector) & 1 == 1 {
                    slot.vectors[vector] = .absent
                }
            }
            var mask: UInt64 = 0
            for (vector, source) in slot.vectors.enumerated() {
                if case .absent = source { continue }
                mask |= 1 << UInt64(vector)
            }
            placements.append(PointIndex.Placement(id: change.id, slot: segment.count + slots.count, vectors: mask))
            slots.append(slot)
        }
        _ = try segment.append(slots)
        index.publish(placements, view: segment.view, count: segment.count, sequence: sequence)
    }
}

extension PlacedVector {
    fileprivate var source: NewSlot.VectorSource {
        switch values {
        case .dense(let values): .values(values)
        case .sparse: preconditionFailure("no collection has sparse vectors")
        }
    }
}
