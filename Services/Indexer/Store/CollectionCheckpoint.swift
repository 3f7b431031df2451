import CVectorKernel
import Foundation

/// What a checkpoint has to make durable: fixed when its new log began.
struct CheckpointPlan: Sendable {
    var folder: String
    var segment: Segment
    var count: Int
    var payloadEnd: Int
    var live: Bitmap
    var sequence: UInt64
    var firstLog: Int
    var previous: Manifest
}

/// The long part of checkpoints and compactions. Slots below `plan.count` never change, so writers go on meanwhile.
enum CollectionCheckpoint {
    /// More than this share of dead slots, and at least so many, makes a compaction worth its copying.
    static let deadShare = 0.2
    static let deadMinimum = 1000

    static func save(_ plan: CheckpointPlan) throws -> Manifest {
        try plan.segment.synchronise()
        var manifest = plan.previous
        let extent = Manifest.Extent(
            slots: manifest.slots..<plan.count, payload: manifest.payloadEnd..<plan.payloadEnd,
            checksums: try plan.segment.checksum(
                slots: manifest.slots..<plan.count, payload: manifest.payloadEnd..<plan.payloadEnd))
        if plan.count > manifest.slots { manifest.extents.append(extent) }
        manifest.slots = plan.count
        manifest.payloadEnd = plan.payloadEnd
        return try save(manifest, plan, live: plan.live)
    }

    /// Copies what is live into a new generation. Answers where each slot went.
    static func compact(_ plan: CheckpointPlan) throws -> (manifest: Manifest, segment: Segment, moved: [UInt32]) {
        let generation = plan.segment.generation + 1
        let segment = try Segment(folder: plan.folder, generation: generation, sizes: plan.segment.sizes, create: true)
        let view = plan.segment.view
        var moved = [UInt32](repeating: .max, count: plan.count)
        var run: [NewSlot] = []
        var next: UInt32 = 0
        func flush() throws {
            try segment.reserve(
                slots: run.count,
                payloadBytes: run.reduce(0) { total, slot in
                    guard case .copy(let view, let old) = slot.payload else { return total }
                    return total + view.payload(of: old).count
                })
            _ = try segment.append(run)
            run.removeAll(keepingCapacity: true)
        }
        try plan.live.forEachSlot { slot in
            moved[slot] = next
            next += 1
            run.append(copy(slot, of: view, vectors: segment.sizes.count))
            if run.count == 1024 { try flush() }
        }
        try flush()
        try segment.synchronise()
        try StoreFile.synchroniseFolder(plan.folder)

        var manifest = plan.previous
        manifest.generation = generation
        manifest.slots = segment.count
        manifest.payloadEnd = segment.payloadEnd
        let all = Manifest.Extent(
            slots: 0..<segment.count, payload: 0..<segment.payloadEnd,
            checksums: try segment.checksum(slots: 0..<segment.count, payload: 0..<segment.payloadEnd))
        manifest.extents = segment.count > 0 ? [all] : []
        return (try save(manifest, plan, live: Bitmap(count: segment.count, filled: true)), segment, moved)
    }

    static func copy(_ slot: Int, of view: SegmentView, vectors: Int) -> NewSlot {
        let record = view.slot(slot)
        return NewSlot(
            id: PointID(record), version: record.version,
            vectors: (0..<vectors).map {
                record.vectors >> UInt64($0) & 1 == 1 ? .copy(of: view, slot: slot) : .absent
            },
            payload: .copy(of: view, slot: slot))
    }

    private static func save(_ manifest: Manifest, _ plan: CheckpointPlan, live: Bitmap) throws -> Manifest {
        var manifest = manifest
        manifest.sequence = plan.sequence
        manifest.firstLog = plan.firstLog
        manifest.checkpoint += 1
        let bytes = live.words.withUnsafeBytes { Array($0) }
        manifest.liveChecksum = bytes.withUnsafeBytes { vector_crc32c(0, $0.baseAddress, $0.count) }
        try StoreFile.replace("\(plan.folder)/\(manifest.liveFileName)", with: bytes)
        try manifest.save(in: plan.folder)
        return manifest
    }
}
