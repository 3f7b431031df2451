import CVectorKernel
import Synchronization

/// The sparse vectors of one name in a segment: rows in `seg-G-V.sparse`, one after the other, and in memory the inverted index over
/// them.
///
/// Row: `slot u32, count u32, indices u32[count], weights f32[count]`.
final class SparseColumn: Sendable {
    /// Where a slot's row is. Zero where it has none.
    struct Row {
        var offset: UInt64 = 0
        var count: UInt32 = 0
    }
    static let rowHeader = 8
    static func rowBytes(_ count: Int) -> Int { rowHeader + count * 8 }

    let file: StoreFile
    // Read outside of the lock too, but only postings that were there before: see `CVectorKernel.h`.
    private final class Handle: @unchecked Sendable {
        let index = sparse_index_create()
        deinit { sparse_index_free(index) }
    }
    private let index = Mutex(Handle())

    init(_ file: StoreFile) { self.file = file }

    /// Only the segment's one owner adds, slots ascending.
    func add(_ slot: Int, _ indices: UnsafePointer<UInt32>, _ weights: UnsafePointer<Float>, count: Int) {
        index.withLock { sparse_index_add($0.index, UInt32(slot), indices, weights, count) }
    }

    /// Valid as long as this column is.
    func postings(of terms: [UInt32]) -> [sparse_postings] {
        index.withLock { handle in terms.map { sparse_index_find(handle.index, $0) } }
    }

    /// Units: bytes in memory.
    var bytes: Int { index.withLock { sparse_index_bytes($0.index) } }

    func read(_ row: Row) throws -> SparseVector {
        let count = Int(row.count)
        let indices = try [UInt32](unsafeUninitializedCapacity: count) { buffer, initialized in
            let part = UnsafeMutableBufferPointer(rebasing: buffer[..<count])
            try file.read(into: UnsafeMutableRawBufferPointer(part), at: Int(row.offset) + Self.rowHeader)
            initialized = count
        }
        let values = try [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            let part = UnsafeMutableBufferPointer(rebasing: buffer[..<count])
            try file.read(into: UnsafeMutableRawBufferPointer(part), at: Int(row.offset) + Self.rowHeader + count * 4)
            initialized = count
        }
        return SparseVector(indices: indices, values: values)
    }

    /// Calls `found` for each row of the file's first `end` bytes. Throws: `damaged` where the bytes are no rows.
    func forEachRow(
        until end: Int,
        _ found: (_ slot: Int, _ offset: Int, _ indices: UnsafePointer<UInt32>, _ count: Int) throws -> Void
    ) throws {
        if end == 0 { return }
        let memory = try file.map(at: 0, count: end)
        var offset = 0
        while offset < end {
            guard end - offset >= Self.rowHeader else { throw damage(at: offset) }
            let slot = memory.bytes.load(fromByteOffset: offset, as: UInt32.self)
            let count = Int(memory.bytes.load(fromByteOffset: offset + 4, as: UInt32.self))
            guard end - offset >= Self.rowBytes(count) else { throw damage(at: offset) }
            let row = UnsafeRawPointer(memory.bytes.baseAddress!) + offset + Self.rowHeader
            try found(Int(slot), offset, row.assumingMemoryBound(to: UInt32.self), count)
            offset += Self.rowBytes(count)
        }
    }
    private func damage(at offset: Int) -> StoreError {
        .damaged(file: file.path, offset: offset, reason: "a row is cut off")
    }
}
