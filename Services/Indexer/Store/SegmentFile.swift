import CVectorKernel

/// How far a segment's files are filled.
struct SegmentEnd: Sendable, Equatable {
    var slots = 0
    /// Units: bytes.
    var payload = 0
    /// By position. Units: bytes.
    var sparse: [Int: Int] = [:]
}

/// One of a segment's files: what a checkpoint makes durable and checks.
struct SegmentFile: Sendable {
    enum Kind: Sendable { case slots, payload, dense(size: Int), sparse(position: Int) }
    /// Its name behind the segment's: "slots", "pay", "0.vec", "1.sparse".
    var suffix: String
    var kind: Kind
    var file: StoreFile

    /// The bytes from one end to another.
    func range(from start: SegmentEnd, to end: SegmentEnd) -> Range<Int> {
        switch kind {
        case .slots:
            (start.slots * MemoryLayout<vector_slot>.stride)..<(end.slots * MemoryLayout<vector_slot>.stride)
        case .payload: start.payload..<end.payload
        case .dense(let size): (start.slots * size * 4)..<(end.slots * size * 4)
        case .sparse(let position):
            min(start.sparse[position] ?? 0, end.sparse[position] ?? 0)..<(end.sparse[position] ?? 0)
        }
    }

    /// Throws: `damaged`.
    func check(_ extent: Manifest.Extent) throws(StoreError) {
        let range = range(from: extent.start, to: extent.end)
        let found: UInt32
        do { found = try checksum(range) } catch let error as StoreError { throw error } catch {
            throw .inputOutput("\(error)")
        }
        if found == extent.checksums[suffix] { return }
        throw .damaged(
            file: file.path, offset: range.lowerBound,
            reason: "the checksum of slots \(extent.start.slots) to \(extent.end.slots) does not match")
    }

    /// `crc`: of what stands before the range.
    func checksum(_ range: Range<Int>, after crc: UInt32 = 0) throws -> UInt32 {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var crc = crc
        for start in stride(from: range.lowerBound, to: range.upperBound, by: buffer.count) {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, range.upperBound - start)])
            try file.read(into: part, at: start)
            crc = vector_crc32c(crc, part.baseAddress, part.count)
        }
        return crc
    }
}
