/// What the similarities of a candidate to several examples mean together: larger is better.
/// Source: Qdrant's `lib/segment/src/vector_storage/query`.
enum ExampleScoring: Sendable {
    /// The first examples are positive, the rest negative.
    case bestScore(positive: Int)
    case sumScores(positive: Int)
    /// A target, then positive and negative ones in turn.
    case discover
    /// Positive and negative ones in turn.
    case context

    /// The sum of similarities, each times its weight.
    case weighted([Float])

    func score(_ similarities: UnsafeBufferPointer<Float>) -> Float {
        switch self {
        case .bestScore(let positive):
            let liked = similarities[..<positive].max() ?? -.infinity
            let disliked = similarities[positive...].max() ?? -.infinity
            return liked > disliked ? Self.scaledSigmoid(liked) : -Self.scaledSigmoid(disliked)
        case .sumScores(let positive):
            return similarities[..<positive].reduce(0, +) - similarities[positive...].reduce(0, +)
        case .discover:
            return Self.sum(of: similarities, from: 1) { positive, negative in
                positive > negative ? 1 : positive == negative ? 0 : -1
            } + Self.scaledSigmoid(similarities[0])
        case .weighted(let weights):
            return zip(weights, similarities).reduce(0) { $0 + $1.0 * $1.1 }
        case .context:
            return Self.sum(of: similarities, from: 0) { positive, negative in
                Self.sigmoid(min(positive - negative - Float.ulpOfOne, 0))
            }
        }
    }

    private static func sum(
        of similarities: UnsafeBufferPointer<Float>, from start: Int, _ rank: (Float, Float) -> Float
    ) -> Float {
        stride(from: start, to: similarities.count, by: 2).reduce(0) {
            $0 + rank(similarities[$1], similarities[$1 + 1])
        }
    }
    private static func sigmoid(_ value: Float) -> Float { value.isFinite ? value / (1 + abs(value)) : value }
    private static func scaledSigmoid(_ value: Float) -> Float { 0.5 * (sigmoid(value) + 1) }
}
