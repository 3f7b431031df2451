import CVectorKernel

/// One exact search by several vectors at once: every point of the mask is compared with each of them.
struct ExampleScan: Sendable {
    let snapshot: Snapshot
    /// What may be found: live, has the vector, passes the filter.
    let mask: Bitmap
    let scoring: ExampleScoring

    private typealias Similarities = (_ row: Int, _ into: UnsafeMutableBufferPointer<Float>) -> Void

    /// The `wanted` best, best first; of equals the smaller id first.
    func best(
        _ wanted: Int, like examples: [[Float]], _ vector: CollectionConfiguration.Vector, pool: ScanPool
    ) async -> [vector_candidate] {
        await best(wanted, examples.count, pool) { block in
            let rows = snapshot.view.blocks[block].dense(vector.position).floats
            return { row, similarities in
                for (index, example) in examples.enumerated() {
                    similarities[index] = vector_score(
                        vector.distance.metric, example, rows + row * vector.size, vector.size)
                }
            }
        }
    }

    /// Of a sparse vector; what shares no term with an example is not like it at all: 0.
    func best(
        _ wanted: Int, like examples: [SparseScan.Lists], pool: ScanPool
    ) async -> [vector_candidate] {
        await best(wanted, examples.count, pool) { block in
            let first = block * Block.slots
            let scores = examples.map { lists in
                var scores = [Float](repeating: 0, count: Block.slots)
                sparse_scores(
                    lists.postings, lists.weights, lists.postings.count, UInt32(first),
                    UInt32(min(first + Block.slots, snapshot.count)), &scores)
                return scores
            }
            return { row, similarities in
                for index in scores.indices { similarities[index] = scores[index][row] }
            }
        }
    }

    private func best(
        _ wanted: Int, _ count: Int, _ pool: ScanPool, _ open: @escaping @Sendable (_ block: Int) -> Similarities
    ) async -> [vector_candidate] {
        let blocks = (snapshot.count + Block.slots - 1) / Block.slots
        guard wanted > 0, blocks > 0 else { return [] }
        let parts = await pool.map(pool.slices(of: blocks)) { part in
            var best = BestPoints(wanted, of: snapshot)
            withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { similarities in
                for block in part {
                    let compare = open(block)
                    mask.forEachSlot(in: block * Block.slots..<min((block + 1) * Block.slots, snapshot.count)) { slot in
                        compare(slot & (Block.slots - 1), similarities)
                        best.offer(scoring.score(UnsafeBufferPointer(similarities)), UInt32(slot))
                    }
                }
            }
            return best.sorted()
        }
        return BestPoints.merged(parts, wanted, of: snapshot)
    }
}
