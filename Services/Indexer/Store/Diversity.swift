import CVectorKernel

/// Maximal marginal relevance: again and again the candidate that is near the query, and unlike those chosen before it.
/// Source: `_mmr` of the client's in-memory engine, which follows Qdrant's order of ties.
struct Diversity {
    /// Source: `Mmr` of `qdrant-openapi.json`.
    static let maximumCandidates = 16_384

    var diversity: Float
    /// How like each other two candidates are, and how near one is to the query: larger is more.
    var similarity: (_ candidate: Int, _ other: Int) -> Float
    var relevance: [Float]

    /// The chosen ones in their order.
    func order(_ count: Int) -> [Int] {
        var left = Array(relevance.indices)
        var nearest = [Float](repeating: -.infinity, count: relevance.count)
        var order: [Int] = []
        while order.count < count, !left.isEmpty {
            var best = 0
            var bestWorth = -Float.infinity
            for (place, candidate) in left.enumerated() {
                let worth =
                    order.isEmpty
                    ? relevance[candidate] : (1 - diversity) * relevance[candidate] - diversity * nearest[candidate]
                if worth >= bestWorth { (best, bestWorth) = (place, worth) }
            }
            let chosen = left[best]
            left.swapAt(best, left.count - 1)
            left.removeLast()
            order.append(chosen)
            for candidate in left { nearest[candidate] = max(nearest[candidate], similarity(candidate, chosen)) }
        }
        return order
    }
}

extension SparseVector {
    func dot(_ other: SparseVector) -> Float {
        var sum: Float = 0
        var (left, right) = (0, 0)
        while left < indices.count, right < other.indices.count {
            if indices[left] == other.indices[right] {
                sum += values[left] * other.values[right]
                left += 1
                right += 1
            } else if indices[left] < other.indices[right] {
                left += 1
            } else {
                right += 1
            }
        }
        return sum
    }
}
