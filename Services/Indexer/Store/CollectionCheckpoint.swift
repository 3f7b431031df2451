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
    /// One more than the highest position of a vector.
    var positions: Int
    var live: Bitmap
    var sequence: UInt64
    var firstLog: Int
    /// Its number; no two attempts have the same one.
    var checkpoint: Int
    var previous: Manifest
}

/// A new generation of a segment in the making: what was live when its slots were copied. Its owner is the compactor, until the
/// collection's writer adopts it.
struct Compaction: Sendable {
    var segment: Segment
    /// Of what the plan covers; not saved yet.
    var manifest: Manifest
    /// Shows what was copied.
    fileprivate(set) var snapshot: Snapshot
    fileprivate(set) var slots: [PointID: UInt32] = [:]
    /// Where each old slot went; `UInt32.max`: nowhere.
    private(set) var moved: [UInt32] = []
    private var copied = Bitmap(count: 0)
    /// What of the segment has been brought to the disk.
    private var writtenOut = SegmentEnd()

    fileprivate init(segment: Segment, manifest: Manifest, positions: Int) {
        self.segment = segment
        self.manifest = manifest
        snapshot = Snapshot(vectors: positions)
    }

    /// Copies the slots from the last one copied up to `count` that are in `live`.
    mutating func copy(from view: SegmentView, live: Bitmap, upTo count: Int) throws {
        copied.grow(to: max(count, copied.count))
        var run: [(old: Int, slot: NewSlot)] = []
        for old in moved.count..<max(count, moved.count) {
            guard live[old] else {
                moved.append(.max)
                continue
            }
            moved.append(UInt32(segment.count + run.count))
            run.append((old, CollectionCheckpoint.copy(old, of: view, columns: segment.columns)))
            guard run.count == 1024 else { continue }
            try append(&run)
            try writeOut()
        }
        try append(&run)  // what is short is copied on the writer's time: no disk is waited for
    }

    private mutating func append(_ run: inout [(old: Int, slot: NewSlot)]) throws {
        let copies = run.map(\.slot)
        try segment.reserve(CollectionCheckpoint.room(for: copies, columns: segment.columns))
        let first = try segment.append(copies)
        snapshot.grow(to: segment.count, segment.view)
        for (index, (old, slot)) in run.enumerated() {
            copied[old] = true
            slots[slot.id] = UInt32(first + index)
            snapshot.show(first + index, vectors: segment.view.slot(first + index).vectors)
        }
        run.removeAll(keepingCapacity: true)
    }

    private mutating func writeOut() throws {
        let files = segment.files.map { ($0.file, $0.range(from: writtenOut, to: segment.end)) }
        guard files.reduce(0, { $0 + $1.1.count }) >= StoreFile.writeOutBytes else { return }
        for (file, range) in files { try file.writeOut(range) }
        writtenOut = segment.end
    }

    /// Takes away what has died since it was copied. `live` is what lives now, of a writer that does not go on meanwhile.
    mutating func bury(notIn live: Bitmap, of view: SegmentView) {
        var dead = copied
        var now = live
        now.grow(to: dead.count)
        dead.subtract(now)
        dead.forEachSlot { old in
            let new = moved[old]
            snapshot.clear(Int(new))
            // The point may have a newer slot.
            let id = PointID(view.slot(old))
            if slots[id] == new { slots[id] = nil }
        }
    }
}

/// The long part of checkpoints and compactions. Slots below `plan.end` never change, so writers go on meanwhile.
enum CollectionCheckpoint {
    /// More than this share of dead slots, and at least so many, makes a compaction worth its copying.
    static let deadShare = 0.2
    static let deadMinimum = 1000
    /// What a compaction leaves free on the disk.
    private static let spareBytes = 64 << 20
    /// A compaction is adopted by the writer when no more slots than this were written since its last copying.
    static let shortTail = 1024

    /// The plan's files are durable.
    static func save(_ plan: CheckpointPlan) throws -> Manifest {
        var manifest = plan.previous
        if plan.end.slots > manifest.end.slots {
            let last = manifest.extents.last.flatMap { isOpen($0, for: plan.files, at: manifest.end) ? $0 : nil }
            if last != nil { manifest.extents.removeLast() }
            manifest.extents.append(try extent(of: plan.files, from: manifest.end, to: plan.end, behind: last))
        }
        manifest.end = plan.end
        return try save(manifest, plan, live: plan.live)
    }

    /// Extents are made longer up to so many slots, so that their number does not grow with that of the checkpoints.
    private static let extentSlots = 1 << 16

    private static func isOpen(_ extent: Manifest.Extent, for files: [SegmentFile], at end: SegmentEnd) -> Bool {
        extent.end == end && extent.end.slots - extent.start.slots < extentSlots
            && Set(extent.checksums.keys) == Set(files.map(\.suffix))
    }

    /// `last`: one that ends at `start` and becomes part of the answer.
    private static func extent(
        of files: [SegmentFile], from start: SegmentEnd, to end: SegmentEnd, behind last: Manifest.Extent? = nil
    ) throws -> Manifest.Extent {
        var checksums: [String: UInt32] = [:]
        for file in files {
            checksums[file.suffix] = try file.checksum(
                file.range(from: start, to: end), after: last?.checksums[file.suffix] ?? 0)
        }
        return Manifest.Extent(start: last?.start ?? start, end: end, checksums: checksums)
    }

    /// Copies what is live into a new generation; nothing is left of it when that fails. Throws: `diskFull` before anything is
    /// written, where the copy would take the room that writers need.
    static func compact(_ plan: CheckpointPlan) throws -> Compaction {
        let bytes = plan.files.reduce(0) { $0 + $1.range(from: SegmentEnd(), to: plan.end).count }
        let needed = bytes / max(1, plan.end.slots) * plan.live.population
        guard try StoreFile.freeBytes(of: plan.folder) > needed + needed / 8 + spareBytes else {
            throw StoreError.diskFull(path: plan.folder)
        }
        let generation = plan.generation + 1
        let segment = try Segment(folder: plan.folder, generation: generation, columns: plan.columns, create: true)
        do {
            var compaction = Compaction(segment: segment, manifest: plan.previous, positions: plan.positions)
            try compaction.copy(from: plan.view, live: plan.live, upTo: plan.end.slots)
            for file in segment.files { try file.file.synchronise() }
            try StoreFile.synchroniseFolder(plan.folder)
            compaction.manifest.generation = generation
            compaction.manifest.end = segment.end
            compaction.manifest.extents =
                segment.count > 0 ? [try extent(of: segment.files, from: SegmentEnd(), to: segment.end)] : []
            return compaction
        } catch {
            segment.delete()
            throw error
        }
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

    static func save(_ manifest: Manifest, _ plan: CheckpointPlan, live: Bitmap) throws -> Manifest {
        var manifest = manifest
        manifest.sequence = plan.sequence
        manifest.firstLog = plan.firstLog
        manifest.checkpoint = plan.checkpoint
        let bytes = live.words.withUnsafeBytes { Array($0) }
        manifest.liveChecksum = bytes.withUnsafeBytes { vector_crc32c(0, $0.baseAddress, $0.count) }
        try StoreFile.replace("\(plan.folder)/\(manifest.liveFileName)", with: bytes)
        try manifest.save(in: plan.folder)
        return manifest
    }
}
