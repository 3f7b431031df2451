extension Fusion {
    /// Best first; of equals the one that came first, list by list. Source: `qdrant_client/hybrid/fusion.py`.
    func fused(_ lists: [[CollectionQuery.Hit]]) -> [CollectionQuery.Hit] {
        var scored: [CollectionQuery.Hit] = []
        var places: [Int: Int] = [:]
        for (number, list) in lists.enumerated() {
            for (hit, score) in zip(list, scores(of: list, number: number)) {
                if let place = places[hit.slot] {
                    scored[place].score += score
                } else {
                    places[hit.slot] = scored.count
                    scored.append(CollectionQuery.Hit(slot: hit.slot, score: score))
                }
            }
        }
        return scored.bestFirst()
    }

    private func scores(of list: [CollectionQuery.Hit], number: Int) -> [Float] {
        switch self {
        case .rrf(let k, let weights):
            let weight = weights.map { number < $0.count ? $0[number] : 1 } ?? 1
            return list.indices.map { weight > 0 ? 1 / ((Float($0) + 1) / weight + Float(k) - 1) : 0 }
        case .dbsf: return Self.normalised(list.map(\.score))
        }
    }

    /// To 0...1 over three standard deviations on either side of the mean.
    private static func normalised(_ scores: [Float]) -> [Float] {
        let count = Double(scores.count)
        let mean = scores.reduce(0.0) { $0 + Double($1) } / count
        let variance = scores.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / (count - 1)
        guard scores.count > 1, variance > 0 else { return scores.map { _ in 0.5 } }
        let deviation = variance.squareRoot()
        return scores.map { Float((Double($0) - (mean - 3 * deviation)) / (6 * deviation)) }
    }
}
