import CVectorKernel

/// One exact top-k search over a moment of a collection.
struct VectorScan: Sendable {
    let snapshot: Snapshot
    /// What may be found: live, has the vector, passes the filter.
    let mask: Bitmap
    let vector: CollectionConfiguration.Vector
    private var size: Int { vector.size }
    private var distance: Distance { vector.distance }

    // The kernel's query is read-only once made.
    private final class Query: @unchecked Sendable {
        let handle: OpaquePointer
        init(_ values: [Float]) { handle = vector_query_create(values, values.count) }
        deinit { vector_query_free(handle) }
    }
    /// Below so many bytes to look at, waking other threads costs more than it brings.
    private static let parallelBytes = 8 << 20
    /// How many candidates the codes propose. Their scores are off by about 1 % of the scores' deviation, so that what belongs to the
    /// best k is among the best 1.12 k with four deviations of certainty where scores are normally distributed; a few are cheap.
    static func candidates(for wanted: Int) -> Int { max(50, min(wanted * 5, wanted + wanted / 2 + 500)) }
    /// Fewer rows than this are read before another thread has woken up.
    private static let parallelRows = 256
    /// So few bytes are as soon looked at as candidates are read one by one.
    private static let smallBytes = 2 << 20
    /// Padded codes of narrow vectors are as long as the numbers.
    private var codesSaveNothing: Bool {
        size * 4 <= vector_code_stride(size) || snapshot.count * size * 4 <= Self.smallBytes
    }

    /// The `wanted` best, best first, with float32 scores; of equals the smaller id first.
    func best(_ wanted: Int, near target: [Float], exact: Bool, pool: ScanPool) async throws -> [vector_candidate] {
        guard wanted > 0, !snapshot.view.blocks.isEmpty else { return [] }
        if exact || distance.metric != VECTOR_DOT || codesSaveNothing {
            let found = await scan(capacity: wanted, bytesPerRow: size * 4, pool: pool) {
                block, mask, rows, first, heap in
                vector_scan_floats(distance.metric, target, size, block.floats, mask, rows, first, heap)
            }
            return Array(found.prefix(wanted))
        }
        let query = Query(target)
        let candidates = await scan(capacity: Self.candidates(for: wanted), bytesPerRow: size, pool: pool) {
            block, mask, rows, first, heap in
            vector_scan_codes(query.handle, block.code, block.scale, mask, rows, first, heap)
        }
        let parts = candidates.count < Self.parallelRows ? [0..<candidates.count] : pool.slices(of: candidates.count)
        let found = await pool.map(parts) { part in
            Result { try rescored(candidates[part], near: target, wanted) }
        }
        return BestPoints.merged(try found.map { try $0.get() }, wanted, of: snapshot)
    }

    private func rescored(
        _ candidates: ArraySlice<vector_candidate>, near target: [Float], _ wanted: Int
    ) throws -> [vector_candidate] {
        var best = BestPoints(wanted, of: snapshot)
        let row = UnsafeMutableBufferPointer<Float>.allocate(capacity: size)
        defer { row.deallocate() }
        for candidate in candidates {
            try snapshot.view.readFloats(vector.position, of: Int(candidate.slot), into: row)
            best.offer(vector_dot(target, row.baseAddress, size), candidate.slot)
        }
        return best.sorted()
    }

    private typealias ScanBlock =
        @Sendable (Block.Vectors, UnsafePointer<UInt64>, UInt32, UInt32, UnsafeMutablePointer<vector_heap>) -> Void

    private func scan(
        capacity: Int, bytesPerRow: Int, pool: ScanPool, _ scanBlock: @escaping ScanBlock
    ) async -> [vector_candidate] {
        let blocks = snapshot.view.blocks.count
        let isBig = mask.population * bytesPerRow >= Self.parallelBytes
        let parts = await pool.map(isBig ? pool.slices(of: blocks) : [0..<blocks]) { part in
            self.scan(part, capacity: capacity, scanBlock)
        }
        return BestPoints.merged(parts, capacity, of: snapshot)
    }

    private func scan(_ blocks: Range<Int>, capacity: Int, _ scanBlock: ScanBlock) -> [vector_candidate] {
        var best = BestPoints(capacity, of: snapshot)
        mask.words.withUnsafeBufferPointer { words in
            for index in blocks {
                let first = index * Block.slots
                let rows = min(Block.slots, snapshot.count - first)
                guard rows > 0, let base = words.baseAddress else { break }
                best.withHeap { heap in
                    scanBlock(
                        snapshot.view.blocks[index].dense(vector.position), base + first / 64, UInt32(rows),
                        UInt32(first), heap)
                }
            }
        }
        return best.sorted()
    }
}
