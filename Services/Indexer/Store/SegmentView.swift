import CVectorKernel

/// What can be read of a segment up to some count.
struct SegmentView: Sendable {
    /// By position.
    var columns: [VectorColumn] = []
    var blocks: [Block] = []
    var payloads: [MappedMemory] = []

    func has(_ position: Int) -> Bool { columns.contains { $0.position == position } }
    func slot(_ index: Int) -> vector_slot { blocks[index >> Block.shift].slots[index & (Block.slots - 1)] }
    func floats(_ position: Int, of slot: Int, size: Int) -> UnsafePointer<Float> {
        blocks[slot >> Block.shift].dense(position).floats + (slot & (Block.slots - 1)) * size
    }
    /// Copies a row out of its file. Where single rows are looked at all over the file, looking through the mapping would make all
    /// of it this process' memory: the kernel maps 64 KB around each.
    func readFloats(_ position: Int, of slot: Int, into row: UnsafeMutableBufferPointer<Float>) throws {
        let vectors = blocks[slot >> Block.shift].dense(position)
        try vectors.source.read(
            into: UnsafeMutableRawBufferPointer(row), at: vectors.offset + (slot & (Block.slots - 1)) * row.count * 4)
    }
    func sparseRow(_ position: Int, of slot: Int) -> SparseColumn.Row {
        blocks[slot >> Block.shift].sparse(position).rows[slot & (Block.slots - 1)]
    }
    func sparse(_ position: Int, of slot: Int) throws -> SparseVector {
        try blocks[slot >> Block.shift].sparse(position).source.read(sparseRow(position, of: slot))
    }
    /// The vector of a slot that has it.
    func values(_ column: VectorColumn, of slot: Int) throws -> VectorValues {
        switch column.kind {
        case .dense(let size):
            .dense(Array(UnsafeBufferPointer(start: floats(column.position, of: slot, size: size), count: size)))
        case .sparse: .sparse(try sparse(column.position, of: slot))
        }
    }
    func payload(of slot: Int) -> UnsafeRawBufferPointer {
        let record = self.slot(slot)
        if record.payload_length == 0 { return UnsafeRawBufferPointer(start: nil, count: 0) }
        let chunk = payloads[Int(record.payload_offset) / Segment.payloadChunk]
        let start = Int(record.payload_offset) % Segment.payloadChunk
        return UnsafeRawBufferPointer(rebasing: chunk.bytes[start..<(start + Int(record.payload_length))])
    }
}
