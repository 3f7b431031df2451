import CVectorKernel
import Foundation

/// One exact search in the inverted index of a sparse vector: the points that share a term with the query, by the dot product.
struct SparseScan: Sendable {
    let snapshot: Snapshot
    /// What may be found.
    let mask: Bitmap
    let vector: CollectionConfiguration.SparseVectorParameters
    /// Whose terms are counted where `vector.idf`.
    let corpus: Bitmap

    /// A query as the index sees it.
    // Read only. The column is in the snapshot's blocks as long as this is.
    struct Lists: @unchecked Sendable {
        var postings: [sparse_postings]
        var weights: [Float]
    }

    func lists(of query: SparseVector) -> Lists {
        guard let block = snapshot.view.blocks.first else { return Lists(postings: [], weights: []) }
        let column = block.sparse(vector.position).source
        var lists = Lists(postings: column.postings(of: query.indices), weights: query.values)
        if vector.idf { weigh(&lists) }
        return lists
    }
    /// Fewer postings than this are gone through before another thread has woken up.
    var parallelPostings = 1 << 20

    /// The `wanted` best, best first; of equals the smaller id first.
    func best(_ wanted: Int, near query: SparseVector, pool: ScanPool) async -> [vector_candidate] {
        guard wanted > 0 else { return [] }
        let lists = lists(of: query)
        let total = lists.postings.reduce(0) { $0 + Int($1.count) }
        if total == 0 { return [] }
        let blocks = (snapshot.count + Block.slots - 1) / Block.slots
        let parts = total >= parallelPostings ? pool.slices(of: blocks) : [0..<blocks]
        let found = await pool.map(parts) { part in scan(lists, part, capacity: wanted) }
        return BestPoints.merged(found, wanted, of: snapshot)
    }

    private func scan(_ lists: Lists, _ blocks: Range<Int>, capacity: Int) -> [vector_candidate] {
        var best = BestPoints(capacity, of: snapshot)
        let end = min(blocks.upperBound * Block.slots, snapshot.count)
        best.withHeap { heap in
            sparse_scan(
                lists.postings, lists.weights, lists.postings.count, mask.words,
                UInt32(blocks.lowerBound * Block.slots), UInt32(end), heap)
        }
        return best.sorted()
    }

    /// Multiplies the query's weights by ln((N - n + 0.5) / (n + 0.5) + 1): N points have the vector, n of them the term.
    private func weigh(_ lists: inout Lists) {
        let points = Float(corpus.population)
        let all = snapshot.count == corpus.population
        for index in lists.postings.indices {
            let slots = UInt32(snapshot.count)
            let having = Float(
                all
                    ? sparse_count(lists.postings[index], nil, slots)
                    : sparse_count(lists.postings[index], corpus.words, slots))
            lists.weights[index] *= log((points - having + 0.5) / (having + 0.5) + 1)
        }
    }
}
