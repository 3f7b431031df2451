import CVectorKernel
import FastJSON
import Foundation

/// One generation of a collection's points: `seg-G-V.vec` (Float32 rows of the V-th vector) or `seg-G-V.sparse` (`SparseColumn`),
/// `seg-G.slots` (one `vector_slot` each) and `seg-G.pay` (payload bytes). Slots are only ever appended; a changed point gets a new
/// slot, a compaction a new generation.
// Changed by one owner at a time: the opener or compactor, then the collection's writer. Readers have a `SegmentView`.
final class Segment: @unchecked Sendable {
    static let payloadChunk = 64 << 20
    /// Appended rows go to the files in runs of so many.
    private static let run = 1024

    let generation: Int
    private let folder: String
    private enum Store {
        case dense(StoreFile, size: Int)
        case sparse(SparseColumn)
    }
    /// By position.
    private var stores: [Store?] = []
    private let slotFile: StoreFile
    private let payloadFile: StoreFile
    private(set) var view = SegmentView()
    private(set) var end = SegmentEnd()
    private var reserved = SegmentEnd()
    /// Of all slots' payloads, dead ones included, in whole blocks. Units: bytes.
    private(set) var payloadStorage = 0
    private static func blocks(_ length: Int) -> Int { (length + 127) / 128 * 128 }

    var count: Int { end.slots }
    var columns: [VectorColumn] { view.columns }
    /// One more than the highest position that it has.
    var positions: Int { stores.count }

    static func names(generation: Int, columns: [VectorColumn]) -> [String] {
        ["seg-\(generation).slots", "seg-\(generation).pay"] + columns.map { name(generation, $0) }
    }
    private static func name(_ generation: Int, _ column: VectorColumn) -> String {
        "seg-\(generation)-\(column.suffix)"
    }

    init(folder: String, generation: Int, columns: [VectorColumn], create: Bool) throws {
        self.folder = folder
        self.generation = generation
        slotFile = try StoreFile("\(folder)/seg-\(generation).slots", create: create)
        payloadFile = try StoreFile("\(folder)/seg-\(generation).pay", create: create)
        if create { for file in [slotFile, payloadFile] { try file.truncate(to: 0) } }
        for column in columns { try open(column, create: create) }
    }

    private func open(_ column: VectorColumn, create: Bool) throws {
        let path = "\(folder)/\(Self.name(generation, column))"
        // A vector that was added when the process ended: the collection has it, its file is not there yet.
        let file = try StoreFile(path, create: create || access(path, F_OK) != 0)
        if create { try file.truncate(to: 0) }
        while stores.count <= column.position { stores.append(nil) }
        switch column.kind {
        case .dense(let size): stores[column.position] = .dense(file, size: size)
        case .sparse: stores[column.position] = .sparse(SparseColumn(file))
        }
        view.columns.append(column)
        view.columns.sort { $0.position < $1.position }
    }

    var files: [SegmentFile] {
        [
            SegmentFile(suffix: "slots", kind: .slots, file: slotFile),
            SegmentFile(suffix: "pay", kind: .payload, file: payloadFile),
        ]
            + columns.compactMap { column in
                switch stores[column.position] {
                case .dense(let file, let size)?:
                    SegmentFile(suffix: column.suffix, kind: .dense(size: size), file: file)
                case .sparse(let store)?:
                    SegmentFile(suffix: column.suffix, kind: .sparse(position: column.position), file: store.file)
                case nil: nil
                }
            }
    }

    // MARK: - Vectors that come and go

    /// Slots before this one do not have it.
    func add(_ column: VectorColumn) throws {
        try open(column, create: true)
        reserved.sparse[column.position] = 0
        if case .dense(let file, let size)? = stores[column.position] {
            try file.truncate(to: count * size * 4)  // a hole
            if reserved.slots > count {
                try file.reserve(from: count * size * 4, count: (reserved.slots - count) * size * 4)
            }
        }
        for index in view.blocks.indices {
            let memory = try blockColumn(column, block: index)
            view.blocks[index] = view.blocks[index].replacing(column.position, with: memory)
        }
    }
    func remove(_ column: VectorColumn) {
        stores[column.position] = nil
        end.sparse[column.position] = nil
        view.columns.removeAll { $0 == column }
        for index in view.blocks.indices {
            view.blocks[index] = view.blocks[index].replacing(column.position, with: nil)
        }
        unlink("\(folder)/\(Self.name(generation, column))")
    }

    // MARK: - Opening

    /// Takes over what a checkpoint recorded and makes the codes and the inverted indexes again from the vectors.
    func load(_ saved: SegmentEnd, skippingDamage: Bool = false) throws {
        try addBlocks(for: saved.slots)
        try addChunks(for: saved.payload)
        for (position, store) in stores.enumerated() where saved.slots > 0 {
            switch store {
            case .dense(let file, let size)?: try loadCodes(position, file, size: size, count: saved.slots)
            case .sparse(let column)?:
                do {
                    try loadRows(position, column, until: saved.sparse[position] ?? 0, saved.slots)
                } catch StoreError.damaged where skippingDamage {}  // what follows has no rows
            case nil: continue
            }
        }
        payloadStorage = (0..<saved.slots).reduce(0) { $0 + Self.blocks(Int(view.slot($1).payload_length)) }
        end = saved
        reserved = saved
    }

    private func loadCodes(_ position: Int, _ file: StoreFile, size: Int, count: Int) throws {
        let length = count * size * 4
        // Only a vector that was added after the last checkpoint can have a short file: its checksums cover what they cover.
        if try file.size < length { try file.truncate(to: length) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.run * size * 4, alignment: 64)
        defer { buffer.deallocate() }
        for start in stride(from: 0, to: count, by: Self.run) {
            let rows = min(Self.run, count - start)
            let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(rows * size * 4)])
            try file.read(into: bytes, at: start * size * 4)
            quantise(
                position, size, UnsafePointer(bytes.bindMemory(to: Float.self).baseAddress!), rows: rows, from: start)
        }
    }

    private func loadRows(_ position: Int, _ column: SparseColumn, until end: Int, _ slots: Int) throws {
        try column.forEachRow(until: end) { slot, offset, indices, count in
            guard slot < slots else {
                throw StoreError.damaged(file: column.file.path, offset: offset, reason: "a row of slot \(slot)")
            }
            show(column, position, slot: slot, offset: offset, indices, count)
        }
    }

    /// The row is in the file at `offset`; weights follow the indices.
    private func show(
        _ column: SparseColumn, _ position: Int, slot: Int, offset: Int, _ indices: UnsafePointer<UInt32>, _ count: Int
    ) {
        view.blocks[slot >> Block.shift].sparse(position).rows[slot & (Block.slots - 1)] = SparseColumn.Row(
            offset: UInt64(offset), count: UInt32(count))
        (indices + count).withMemoryRebound(to: Float.self, capacity: count) { weights in
            column.add(slot, indices, weights, count: count)
        }
    }

    // MARK: - After damage that was accepted

    /// Files that were cut off are as long again as they have to be: nobody may look behind the end of a mapped file.
    func fillUp(to end: SegmentEnd) throws {
        for file in files {
            let length = file.range(from: SegmentEnd(), to: end).upperBound
            if try file.file.size < length { try file.file.truncate(to: length) }
        }
    }

    /// Leaves in `live` what can be read: slots that make sense, one for each point, with a payload that is an object and numbers that
    /// are finite. A row whose numbers changed to others cannot be told.
    func salvage(_ live: inout Bitmap, writtenUpTo sequence: UInt64) {
        var newest: [PointID: (slot: Int, version: UInt64)] = [:]
        let candidates = live
        candidates.forEachSlot { slot in
            let record = view.slot(slot)
            guard (1...max(1, sequence)).contains(record.version), isReadable(slot, record) else {
                live[slot] = false
                return
            }
            let id = PointID(record)
            if let other = newest[id] {
                live[other.version > record.version ? slot : other.slot] = false
                if other.version > record.version { return }
            }
            newest[id] = (slot, record.version)
        }
    }

    private func isReadable(_ slot: Int, _ record: vector_slot) -> Bool {
        let (start, length) = (Int(clamping: record.payload_offset), Int(record.payload_length))
        guard record.id_kind == 1 || (record.id_kind == 0 && record.id_high == 0), start <= end.payload,
            length <= end.payload - start,
            start % Self.payloadChunk + length <= Self.payloadChunk,
            length == 0 || (try? JSONReader.parse(view.payload(of: slot)))?.object != nil
        else { return false }
        for (position, store) in stores.enumerated() where record.vectors >> UInt64(position) & 1 == 1 {
            guard case .dense(_, let size)? = store else { continue }
            if vector_is_finite(view.floats(position, of: slot, size: size), size) == 0 { return false }
        }
        return true
    }

    // MARK: - Appending

    /// Makes room for an append on disk, so that the append itself cannot fail for lack of it.
    func reserve(_ room: SegmentEnd) throws {
        let needed = count + room.slots
        if needed > reserved.slots {
            let goal = max(needed, reserved.slots + min(max(reserved.slots / 8, 256), Block.slots))
            for case .dense(let file, let size)? in stores {
                try file.reserve(from: reserved.slots * size * 4, count: (goal - reserved.slots) * size * 4)
            }
            let width = MemoryLayout<vector_slot>.stride
            try slotFile.reserve(from: reserved.slots * width, count: (goal - reserved.slots) * width)
            reserved.slots = goal
        }
        // What is skipped at a chunk's end is shorter than the payload that did not fit there.
        let payloadNeeded = end.payload + room.payload * 2
        if payloadNeeded > reserved.payload {
            try Self.grow(payloadFile, &reserved.payload, to: payloadNeeded)
        }
        for (position, bytes) in room.sparse {
            guard position < stores.count, case .sparse(let column)? = stores[position] else { continue }
            let goal = (end.sparse[position] ?? 0) + bytes
            if goal > reserved.sparse[position] ?? 0 {
                try Self.grow(column.file, &reserved.sparse[position, default: 0], to: goal)
            }
        }
        try addBlocks(for: needed)
        try addChunks(for: payloadNeeded)
    }
    private static func grow(_ file: StoreFile, _ reserved: inout Int, to needed: Int) throws {
        let goal = max(needed, reserved + min(max(reserved / 8, 64 << 10), payloadChunk))
        try file.reserve(from: reserved, count: goal - reserved)
        reserved = goal
    }

    /// Appends behind what is published. Answers the first of the new slots.
    func append(_ slots: [NewSlot]) throws -> Int {
        let first = count
        for start in stride(from: 0, to: slots.count, by: Self.run) {
            try appendRun(slots[start..<min(start + Self.run, slots.count)])
        }
        return first
    }

    private func appendRun(_ slots: ArraySlice<NewSlot>) throws {
        var records = try appendPayloads(slots)
        for (position, store) in stores.enumerated() {
            switch store {
            case .dense(let file, let size)?: try appendRows(position, file, size: size, slots, &records)
            case .sparse(let column)?: try appendRows(position, column, slots, &records)
            case nil: continue
            }
        }
        try records.withUnsafeBytes { try slotFile.write($0, at: count * MemoryLayout<vector_slot>.stride) }
        end.slots += slots.count
    }

    private func appendRows(
        _ position: Int, _ file: StoreFile, size: Int, _ slots: ArraySlice<NewSlot>, _ records: inout [vector_slot]
    ) throws {
        var rows = [Float](repeating: 0, count: slots.count * size)
        try rows.withUnsafeMutableBufferPointer { rows in
            for (row, slot) in slots.enumerated() {
                let target = rows.baseAddress! + row * size
                switch slot.vectors[position] {
                case .absent: continue
                case .values(.dense(let values)):
                    values.withUnsafeBufferPointer { target.update(from: $0.baseAddress!, count: size) }
                case .values(.sparse): preconditionFailure("a sparse vector where a dense one belongs")
                case .copy(let view, let old):
                    target.update(from: view.floats(position, of: old, size: size), count: size)
                }
                records[row].vectors |= 1 << UInt64(position)
            }
            try file.write(UnsafeRawBufferPointer(rows), at: count * size * 4)
            quantise(position, size, rows.baseAddress!, rows: slots.count, from: count)
        }
    }

    private func appendRows(
        _ position: Int, _ column: SparseColumn, _ slots: ArraySlice<NewSlot>, _ records: inout [vector_slot]
    ) throws {
        let base = end.sparse[position] ?? 0
        var bytes: [UInt8] = []
        var starts: [(row: Int, offset: Int)] = []
        for (row, slot) in slots.enumerated() {
            let vector: SparseVector
            switch slot.vectors[position] {
            case .absent: continue
            case .values(.sparse(let values)): vector = values
            case .values(.dense): preconditionFailure("a dense vector where a sparse one belongs")
            case .copy(let view, let old): vector = try view.sparse(position, of: old)
            }
            starts.append((row, bytes.count))
            for number in [UInt32(count + row), UInt32(vector.indices.count)] {
                withUnsafeBytes(of: number) { bytes.append(contentsOf: $0) }
            }
            vector.indices.withUnsafeBytes { bytes.append(contentsOf: $0) }
            vector.values.withUnsafeBytes { bytes.append(contentsOf: $0) }
            records[row].vectors |= 1 << UInt64(position)
        }
        if bytes.isEmpty { return }
        try bytes.withUnsafeBytes { bytes in
            try column.file.write(bytes, at: base)
            for (row, offset) in starts {
                let indices = (bytes.baseAddress! + offset + SparseColumn.rowHeader).assumingMemoryBound(
                    to: UInt32.self)
                let terms = bytes.load(fromByteOffset: offset + 4, as: UInt32.self)
                show(column, position, slot: count + row, offset: base + offset, indices, Int(terms))
            }
        }
        end.sparse[position] = base + bytes.count
    }

    private func appendPayloads(_ slots: ArraySlice<NewSlot>) throws -> [vector_slot] {
        var records: [vector_slot] = []
        records.reserveCapacity(slots.count)
        var pending: [UInt8] = []
        var pendingStart = end.payload
        func flush() throws {
            if !pending.isEmpty { try pending.withUnsafeBytes { try payloadFile.write($0, at: pendingStart) } }
            pending.removeAll(keepingCapacity: true)
            pendingStart = end.payload
        }
        for slot in slots {
            var record = slot.id.slot
            record.version = slot.version
            let length =
                switch slot.payload {
                case .bytes(let bytes): bytes.count
                case .copy(let view, let old): view.payload(of: old).count
                }
            if end.payload % Self.payloadChunk + length > Self.payloadChunk {
                try flush()
                end.payload = (end.payload / Self.payloadChunk + 1) * Self.payloadChunk
                pendingStart = end.payload
            }
            switch slot.payload {
            case .bytes(let bytes): bytes.withUnsafeBytes { pending.append(contentsOf: $0) }
            case .copy(let view, let old): pending.append(contentsOf: view.payload(of: old))
            }
            record.payload_offset = UInt64(end.payload)
            record.payload_length = UInt32(length)
            end.payload += length
            payloadStorage += Self.blocks(length)
            records.append(record)
        }
        try flush()
        return records
    }

    private func quantise(_ position: Int, _ size: Int, _ floats: UnsafePointer<Float>, rows: Int, from first: Int) {
        let stride = vector_code_stride(size)
        var done = 0
        while done < rows {
            let row = (first + done) & (Block.slots - 1)
            let part = min(rows - done, Block.slots - row)
            let block = view.blocks[(first + done) >> Block.shift].dense(position)
            vector_quantise_rows(
                floats + done * size, size, part, block.code + row * stride, block.scale + row)
            done += part
        }
    }

    private func addBlocks(for slots: Int) throws {
        while view.blocks.count * Block.slots < slots {
            let block = view.blocks.count
            var parts = [Block.Column?](repeating: nil, count: stores.count)
            for column in columns { parts[column.position] = try blockColumn(column, block: block) }
            let width = Block.slots * MemoryLayout<vector_slot>.stride
            view.blocks.append(
                Block(columns: parts, slotMemory: try slotFile.map(at: block * width, count: width)))
        }
    }
    private func blockColumn(_ column: VectorColumn, block: Int) throws -> Block.Column {
        switch stores[column.position] {
        case .dense(let file, let size)?:
            let bytes = Block.slots * size * 4
            return .dense(
                Block.Vectors(
                    source: file, offset: block * bytes, file: try file.map(at: block * bytes, count: bytes),
                    codes: try MappedMemory(anonymous: Block.slots * vector_code_stride(size)),
                    scales: try MappedMemory(anonymous: Block.slots * 4)))
        case .sparse(let sparse)?:
            let bytes = Block.slots * MemoryLayout<SparseColumn.Row>.stride
            return .sparse(Block.SparseRows(source: sparse, memory: try MappedMemory(anonymous: bytes)))
        case nil: preconditionFailure("vector \(column.position) has no file")
        }
    }
    private func addChunks(for bytes: Int) throws {
        while view.payloads.count * Self.payloadChunk < bytes {
            view.payloads.append(
                try payloadFile.map(at: view.payloads.count * Self.payloadChunk, count: Self.payloadChunk))
        }
    }

    /// Units: bytes in memory, about.
    var memoryBytes: Int {
        stores.reduce(count * 48) { total, store in
            switch store {
            case .dense(_, let size)?: total + count * (vector_code_stride(size) + 4)
            case .sparse(let column)?: total + column.bytes + count * MemoryLayout<SparseColumn.Row>.stride
            case nil: total
            }
        }
    }
    /// Units: bytes on disk, what is only reserved left out.
    var diskBytes: Int {
        files.reduce(0) { $0 + $1.range(from: SegmentEnd(), to: end).count }
    }
    /// Takes its files away. Who still reads them is not disturbed.
    func delete() { for file in files { unlink(file.file.path) } }
}
