import CVectorKernel
import Foundation

/// 16,384 slots in memory: views of the files, and the one-byte codes made from them.
// A slot is written before the count that shows it is published, and never again.
final class Block: @unchecked Sendable {
    static let shift = 14
    static let slots = 1 << shift

    struct Vectors {
        let source: StoreFile
        /// Where the block's rows begin in `source`.
        let offset: Int
        let file: MappedMemory
        let codes: MappedMemory
        let scales: MappedMemory
        var floats: UnsafePointer<Float> { UnsafePointer(file.bytes.baseAddress!.assumingMemoryBound(to: Float.self)) }
        var code: UnsafeMutablePointer<UInt8> { codes.bytes.baseAddress!.assumingMemoryBound(to: UInt8.self) }
        var scale: UnsafeMutablePointer<Float> { scales.bytes.baseAddress!.assumingMemoryBound(to: Float.self) }
    }
    let vectors: [Vectors]
    private let slotMemory: MappedMemory
    var slots: UnsafePointer<vector_slot> {
        UnsafePointer(slotMemory.bytes.baseAddress!.assumingMemoryBound(to: vector_slot.self))
    }

    init(vectors: [Vectors], slotMemory: MappedMemory) {
        self.vectors = vectors
        self.slotMemory = slotMemory
    }
}

/// A slot to append: new content, or another slot's.
struct NewSlot {
    enum VectorSource {
        case absent
        case values([Float])
        case copy(of: SegmentView, slot: Int)
    }
    enum PayloadSource {
        case bytes([UInt8])
        case copy(of: SegmentView, slot: Int)
    }
    var id: PointID
    var version: UInt64
    /// One for each vector of the collection.
    var vectors: [VectorSource]
    var payload: PayloadSource
}

/// What can be read of a segment up to some count.
struct SegmentView: Sendable {
    var blocks: [Block] = []
    var payloads: [MappedMemory] = []

    func slot(_ index: Int) -> vector_slot { blocks[index >> Block.shift].slots[index & (Block.slots - 1)] }
    func floats(_ vector: Int, of slot: Int, size: Int) -> UnsafePointer<Float> {
        blocks[slot >> Block.shift].vectors[vector].floats + (slot & (Block.slots - 1)) * size
    }
    /// Copies a row out of its file. Where single rows are looked at all over the file, looking through the mapping would make all
    /// of it this process' memory: the kernel maps 64 KB around each.
    func readFloats(_ vector: Int, of slot: Int, into row: UnsafeMutableBufferPointer<Float>) throws {
        let block = blocks[slot >> Block.shift].vectors[vector]
        try block.source.read(
            into: UnsafeMutableRawBufferPointer(row), at: block.offset + (slot & (Block.slots - 1)) * row.count * 4)
    }
    func payload(of slot: Int) -> UnsafeRawBufferPointer {
        let record = self.slot(slot)
        if record.payload_length == 0 { return UnsafeRawBufferPointer(start: nil, count: 0) }
        let chunk = payloads[Int(record.payload_offset) / Segment.payloadChunk]
        let start = Int(record.payload_offset) % Segment.payloadChunk
        return UnsafeRawBufferPointer(rebasing: chunk.bytes[start..<(start + Int(record.payload_length))])
    }
}

/// One generation of a collection's points: `seg-G-V.vec` (Float32 rows of the V-th vector), `seg-G.slots` (one `vector_slot`
/// each) and `seg-G.pay` (payload bytes). Slots are only ever appended; a changed point gets a new slot, a compaction a new generation.
// Changed by one owner at a time: the opener or compactor, then the collection's writer. Readers have a `SegmentView`.
final class Segment: @unchecked Sendable {
    static let payloadChunk = 64 << 20
    /// Appended rows go to the files in runs of so many.
    private static let run = 1024

    let generation: Int
    let sizes: [Int]
    private let vectorFiles: [StoreFile]
    private let slotFile: StoreFile
    private let payloadFile: StoreFile
    private(set) var view = SegmentView()
    private(set) var count = 0
    private(set) var payloadEnd = 0
    private var reservedSlots = 0
    private var reservedPayload = 0

    static func names(generation: Int, vectors: Int) -> [String] {
        ["seg-\(generation).slots", "seg-\(generation).pay"] + (0..<vectors).map { "seg-\(generation)-\($0).vec" }
    }

    init(folder: String, generation: Int, sizes: [Int], create: Bool) throws {
        self.generation = generation
        self.sizes = sizes
        let names = Self.names(generation: generation, vectors: sizes.count).map { "\(folder)/\($0)" }
        slotFile = try StoreFile(names[0], create: create)
        payloadFile = try StoreFile(names[1], create: create)
        vectorFiles = try names.dropFirst(2).map { try StoreFile($0, create: create) }
        if create { for file in files { try file.truncate(to: 0) } }
    }

    private var files: [StoreFile] { [slotFile, payloadFile] + vectorFiles }

    /// Takes over what a checkpoint recorded and makes the codes again from the vectors.
    func load(count: Int, payloadEnd: Int) throws {
        try addBlocks(for: count)
        try addChunks(for: payloadEnd)
        for (vector, size) in sizes.enumerated() where count > 0 {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.run * size * 4, alignment: 64)
            defer { buffer.deallocate() }
            for start in stride(from: 0, to: count, by: Self.run) {
                let rows = min(Self.run, count - start)
                let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(rows * size * 4)])
                try vectorFiles[vector].read(into: bytes, at: start * size * 4)
                quantise(vector, UnsafePointer(bytes.bindMemory(to: Float.self).baseAddress!), rows: rows, from: start)
            }
        }
        self.count = count
        self.payloadEnd = payloadEnd
        reservedSlots = count
        reservedPayload = payloadEnd
    }

    /// Makes room for an append on disk, so that the append itself cannot fail for lack of it.
    func reserve(slots: Int, payloadBytes: Int) throws {
        let needed = count + slots
        if needed > reservedSlots {
            let goal = max(needed, reservedSlots + min(max(reservedSlots / 8, 256), Block.slots))
            for (file, size) in zip(vectorFiles, sizes) {
                try file.reserve(from: reservedSlots * size * 4, count: (goal - reservedSlots) * size * 4)
            }
            let width = MemoryLayout<vector_slot>.stride
            try slotFile.reserve(from: reservedSlots * width, count: (goal - reservedSlots) * width)
            reservedSlots = goal
        }
        // What is skipped at a chunk's end is shorter than the payload that did not fit there.
        let payloadNeeded = payloadEnd + payloadBytes * 2
        if payloadNeeded > reservedPayload {
            let goal = max(payloadNeeded, reservedPayload + min(max(reservedPayload / 8, 64 << 10), Self.payloadChunk))
            try payloadFile.reserve(from: reservedPayload, count: goal - reservedPayload)
            reservedPayload = goal
        }
        try addBlocks(for: needed)
        try addChunks(for: payloadNeeded)
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
        for (vector, size) in sizes.enumerated() {
            var rows = [Float](repeating: 0, count: slots.count * size)
            try rows.withUnsafeMutableBufferPointer { rows in
                for (row, slot) in slots.enumerated() {
                    let target = rows.baseAddress! + row * size
                    switch slot.vectors[vector] {
                    case .absent: continue
                    case .values(let values):
                        values.withUnsafeBufferPointer { target.update(from: $0.baseAddress!, count: size) }
                    case .copy(let view, let old):
                        target.update(from: view.floats(vector, of: old, size: size), count: size)
                    }
                    records[row].vectors |= 1 << UInt64(vector)
                }
                try vectorFiles[vector].write(UnsafeRawBufferPointer(rows), at: count * size * 4)
                quantise(vector, rows.baseAddress!, rows: slots.count, from: count)
            }
        }
        try records.withUnsafeBytes { try slotFile.write($0, at: count * MemoryLayout<vector_slot>.stride) }
        count += slots.count
    }

    private func appendPayloads(_ slots: ArraySlice<NewSlot>) throws -> [vector_slot] {
        var records: [vector_slot] = []
        records.reserveCapacity(slots.count)
        var pending: [UInt8] = []
        var pendingStart = payloadEnd
        func flush() throws {
            if !pending.isEmpty { try pending.withUnsafeBytes { try payloadFile.write($0, at: pendingStart) } }
            pending.removeAll(keepingCapacity: true)
            pendingStart = payloadEnd
        }
        for slot in slots {
            var record = slot.id.slot
            record.version = slot.version
            let length =
                switch slot.payload {
                case .bytes(let bytes): bytes.count
                case .copy(let view, let old): view.payload(of: old).count
                }
            if payloadEnd % Self.payloadChunk + length > Self.payloadChunk {
                try flush()
                payloadEnd = (payloadEnd / Self.payloadChunk + 1) * Self.payloadChunk
                pendingStart = payloadEnd
            }
            switch slot.payload {
            case .bytes(let bytes): bytes.withUnsafeBytes { pending.append(contentsOf: $0) }
            case .copy(let view, let old): pending.append(contentsOf: view.payload(of: old))
            }
            record.payload_offset = UInt64(payloadEnd)
            record.payload_length = UInt32(length)
            payloadEnd += length
            records.append(record)
        }
        try flush()
        return records
    }

    private func quantise(_ vector: Int, _ floats: UnsafePointer<Float>, rows: Int, from first: Int) {
        let size = sizes[vector]
        let stride = vector_code_stride(size)
        var done = 0
        while done < rows {
            let row = (first + done) & (Block.slots - 1)
            let part = min(rows - done, Block.slots - row)
            let block = view.blocks[(first + done) >> Block.shift].vectors[vector]
            vector_quantise_rows(
                floats + done * size, size, part, block.code + row * stride, block.scale + row)
            done += part
        }
    }

    private func addBlocks(for slots: Int) throws {
        while view.blocks.count * Block.slots < slots {
            let first = view.blocks.count * Block.slots
            let vectors = try zip(vectorFiles, sizes).map { file, size in
                Block.Vectors(
                    source: file, offset: first * size * 4,
                    file: try file.map(at: first * size * 4, count: Block.slots * size * 4),
                    codes: try MappedMemory(anonymous: Block.slots * vector_code_stride(size)),
                    scales: try MappedMemory(anonymous: Block.slots * 4))
            }
            let width = MemoryLayout<vector_slot>.stride
            view.blocks.append(
                Block(vectors: vectors, slotMemory: try slotFile.map(at: first * width, count: Block.slots * width)))
        }
    }
    private func addChunks(for bytes: Int) throws {
        while view.payloads.count * Self.payloadChunk < bytes {
            view.payloads.append(
                try payloadFile.map(at: view.payloads.count * Self.payloadChunk, count: Self.payloadChunk))
        }
    }

    /// Durable afterwards: everything appended before.
    func synchronise() throws { for file in files { try file.synchronise() } }

    /// The part of each file that a checkpoint adds, for its checksums.
    func checksum(slots: Range<Int>, payload: Range<Int>) throws -> [UInt32] {
        let width = MemoryLayout<vector_slot>.stride
        let parts =
            [(slotFile, (slots.lowerBound * width)..<(slots.upperBound * width)), (payloadFile, payload)]
            + zip(vectorFiles, sizes).map { ($0, (slots.lowerBound * $1 * 4)..<(slots.upperBound * $1 * 4)) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        return try parts.map { file, range in
            var crc: UInt32 = 0
            for start in stride(from: range.lowerBound, to: range.upperBound, by: buffer.count) {
                let part = UnsafeMutableRawBufferPointer(
                    rebasing: buffer[..<min(buffer.count, range.upperBound - start)])
                try file.read(into: part, at: start)
                crc = vector_crc32c(crc, part.baseAddress, part.count)
            }
            return crc
        }
    }
    var paths: [String] { files.map(\.path) }
}
