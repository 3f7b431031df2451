import CVectorKernel

/// 16,384 slots in memory: views of the files, and what is made from them: one-byte codes, places of sparse rows.
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
    struct SparseRows {
        let source: SparseColumn
        let memory: MappedMemory
        var rows: UnsafeMutablePointer<SparseColumn.Row> {
            memory.bytes.baseAddress!.assumingMemoryBound(to: SparseColumn.Row.self)
        }
    }
    enum Column {
        case dense(Vectors)
        case sparse(SparseRows)
    }
    /// By position; `nil` where the collection has no such vector any more.
    let columns: [Column?]
    private let slotMemory: MappedMemory
    var slots: UnsafePointer<vector_slot> {
        UnsafePointer(slotMemory.bytes.baseAddress!.assumingMemoryBound(to: vector_slot.self))
    }

    init(columns: [Column?], slotMemory: MappedMemory) {
        self.columns = columns
        self.slotMemory = slotMemory
    }
    /// The same slots with another vector, or with one vector less. Who still reads this block is not disturbed.
    func replacing(_ position: Int, with column: Column?) -> Block {
        var columns = columns
        while columns.count <= position { columns.append(nil) }
        columns[position] = column
        return Block(columns: columns, slotMemory: slotMemory)
    }

    func dense(_ position: Int) -> Vectors {
        guard position < columns.count, case .dense(let vectors)? = columns[position] else {
            preconditionFailure("vector \(position) is not a dense vector of this segment")
        }
        return vectors
    }
    func sparse(_ position: Int) -> SparseRows {
        guard position < columns.count, case .sparse(let rows)? = columns[position] else {
            preconditionFailure("vector \(position) is not a sparse vector of this segment")
        }
        return rows
    }
}
