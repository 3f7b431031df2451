import CVectorKernel
import Foundation

/// What a checkpoint has to make durable: fixed when its new log began.
struct CheckpointPlan: Sendable {
    var folder: String
    var generation: Int
    var columns: [VectorColumn]
    var files: [SegmentFile]
    var view: SegmentView
    var end: SegmentEnd
    var live: Bitmap
    var sequence: UInt64
    var firstLog: Int
    var previous: Manifest
}

/// The long part of checkpoints and compactions. Slots below `plan.end` never change, so writers go on meanwhile.
enum CollectionCheckpoint {
    /// More than this share of dead slots, and at least so many, makes a compaction worth its copying.
    static let deadShare = 0.2
    static let deadMinimum = 1000

    static func save(_ plan: CheckpointPlan) throws -> Manifest {
        var manifest = plan.previous
        for file in plan.files { try file.file.synchronise() }
        if plan.end.slots > manifest.end.slots {
            manifest.extents.append(try extent(of: plan.files, from: manifest.end, to: plan.end))
        }
        manifest.end = plan.end
        return try save(manifest, plan, live: plan.live)
    }

    private static func extent(of files: [SegmentFile], from start: SegmentEnd, to end: SegmentEnd) throws
        -> Manifest.Extent
    {
        var checksums: [String: UInt32] = [:]
        for file in files { checksums[file.suffix] = try file.checksum(file.range(from: start, to: end)) }
        return Manifest.Extent(start: start, end: end, checksums: checksums)
    }

    /// Copies what is live into a new generation. Answers where each slot went.
    static func compact(_ plan: CheckpointPlan) throws -> (manifest: Manifest, segment: Segment, moved: [UInt32]) {
        let generation = plan.generation + 1
        let segment = try Segment(folder: plan.folder, generation: generation, columns: plan.columns, create: true)
        var moved = [UInt32](repeating: .max, count: plan.end.slots)
        var run: [NewSlot] = []
        var next: UInt32 = 0
        func flush() throws {
            try segment.reserve(room(for: run, columns: plan.columns))
            _ = try segment.append(run)
            run.removeAll(keepingCapacity: true)
        }
        try plan.live.forEachSlot { slot in
            moved[slot] = next
            next += 1
            run.append(copy(slot, of: plan.view, columns: plan.columns))
            if run.count == 1024 { try flush() }
        }
        try flush()
        for file in segment.files { try file.file.synchronise() }
        try StoreFile.synchroniseFolder(plan.folder)

        var manifest = plan.previous
        manifest.generation = generation
        manifest.end = segment.end
        manifest.extents =
            segment.count > 0 ? [try extent(of: segment.files, from: SegmentEnd(), to: segment.end)] : []
        return (try save(manifest, plan, live: Bitmap(count: segment.count, filled: true)), segment, moved)
    }

    static func copy(_ slot: Int, of view: SegmentView, columns: [VectorColumn]) -> NewSlot {
        let record = view.slot(slot)
        let width = columns.reduce(0) { max($0, $1.position + 1) }
        var vectors = [NewSlot.VectorSource](repeating: .absent, count: width)
        for column in columns where record.vectors >> UInt64(column.position) & 1 == 1 {
            vectors[column.position] = .copy(of: view, slot: slot)
        }
        return NewSlot(
            id: PointID(record), version: record.version, vectors: vectors, payload: .copy(of: view, slot: slot))
    }

    /// What copies of slots take.
    static func room(for copies: [NewSlot], columns: [VectorColumn]) -> SegmentEnd {
        var room = SegmentEnd(slots: copies.count)
        for copy in copies {
            if case .copy(let view, let old) = copy.payload { room.payload += view.payload(of: old).count }
            for column in columns where column.kind == .sparse && column.position < copy.vectors.count {
                guard case .copy(let view, let old) = copy.vectors[column.position] else { continue }
                let row = view.sparseRow(column.position, of: old)
                room.sparse[column.position, default: 0] += SparseColumn.rowBytes(Int(row.count))
            }
        }
        return room
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
