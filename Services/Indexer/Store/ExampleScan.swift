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
        await best(wanted, examples.count, Block.slots, pool) { part in
            let rows = snapshot.view.blocks[part.lowerBound >> Block.shift].dense(vector.position).floats
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
        var rows = Block.slots
        while rows > 64, rows * examples.count > Self.similaritiesAtOnce { rows /= 2 }
        return await best(wanted, examples.count, rows, pool) { part in
            let scores = examples.map { lists in
                var scores = [Float](repeating: 0, count: part.count)
                sparse_scores(
                    lists.postings, lists.weights, lists.postings.count, UInt32(part.lowerBound),
                    UInt32(part.upperBound), &scores)
                return scores
            }
            return { row, similarities in
                for index in scores.indices { similarities[index] = scores[index][row] }
            }
        }
    }

    /// Of sparse vectors a thread holds so many, however many examples there are.
    private static let similaritiesAtOnce = 4 << 20

    /// `rows`: so many slots at a time are asked of `open`; a power of two, at most a block.
    private func best(
        _ wanted: Int, _ count: Int, _ rows: Int, _ pool: ScanPool,
        _ open: @escaping @Sendable (_ slots: Range<Int>) -> Similarities
    ) async -> [vector_candidate] {
        let pieces = (snapshot.count + rows - 1) / rows
        guard wanted > 0, pieces > 0 else { return [] }
        let parts = await pool.map(pool.slices(of: pieces)) { part in
            var best = BestPoints(wanted, of: snapshot)
            withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { similarities in
                for piece in part {
                    let slots = piece * rows..<min((piece + 1) * rows, snapshot.count)
                    let compare = open(slots)
                    mask.forEachSlot(in: slots) { slot in
                        compare(slot - slots.lowerBound, similarities)
                        best.offer(scoring.score(UnsafeBufferPointer(similarities)), UInt32(slot))
                    }
                }
            }
            return best.sorted()
        }
        return BestPoints.merged(parts, wanted, of: snapshot)
    }
}
