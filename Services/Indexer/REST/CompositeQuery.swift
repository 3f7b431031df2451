import HTTPServer
import WireProtocol

/// A query by several vectors at once. The store scores every candidate by each of them; what these scores mean together is
/// decided here. Source: Qdrant's `lib/segment/src/vector_storage/query` (best score, discovery, context, MMR), in its formulas.
enum CompositeQuery: Sendable {
    struct Pair: Sendable {
        var positive: VectorValues
        var negative: VectorValues
    }
    /// Near the nearest example: of those that are liked, or away from those that are not.
    case bestScore(positive: [VectorValues], negative: [VectorValues])
    case sumScores(positive: [VectorValues], negative: [VectorValues])
    /// On the right side of as many pairs as possible; among equals near the target.
    case discover(target: VectorValues, context: [Pair])
    /// On the right side of all pairs, or little on the wrong one.
    case context([Pair])
    /// Near the target and unlike each other. `diversity`: 0 to 1.
    case mmr(target: VectorTarget, diversity: Float, candidates: Int?)

    /// The vectors whose similarities `score` takes, in this order.
    fileprivate var examples: [VectorValues] {
        switch self {
        case .bestScore(let positive, let negative), .sumScores(let positive, let negative): positive + negative
        case .discover(let target, let context): [target] + context.flatMap { [$0.positive, $0.negative] }
        case .context(let pairs): pairs.flatMap { [$0.positive, $0.negative] }
        case .mmr: []
        }
    }

    fileprivate func score(_ similarities: [Float]) -> Float {
        func pairs(_ values: ArraySlice<Float>) -> [(positive: Float, negative: Float)] {
            stride(from: values.startIndex, to: values.endIndex, by: 2).map { (values[$0], values[$0 + 1]) }
        }
        switch self {
        case .bestScore(let positive, _):
            let liked = similarities.prefix(positive.count).max() ?? -.infinity
            let disliked = similarities.dropFirst(positive.count).max() ?? -.infinity
            return liked > disliked ? Self.scaledSigmoid(liked) : -Self.scaledSigmoid(disliked)
        case .sumScores(let positive, _):
            return similarities.prefix(positive.count).reduce(0, +)
                - similarities.dropFirst(positive.count).reduce(0, +)
        case .discover:
            let ranks = pairs(similarities.dropFirst()).map { pair -> Float in
                pair.positive > pair.negative ? 1 : pair.positive == pair.negative ? 0 : -1
            }
            return ranks.reduce(0, +) + Self.scaledSigmoid(similarities[0])
        case .context:
            return pairs(similarities[...]).reduce(0) { sum, pair in
                sum + Self.sigmoid(min(pair.positive - pair.negative - Float.ulpOfOne, 0))
            }
        case .mmr: return 0
        }
    }

    private static func sigmoid(_ value: Float) -> Float { value.isFinite ? value / (1 + abs(value)) : value }
    private static func scaledSigmoid(_ value: Float) -> Float { 0.5 * (sigmoid(value) + 1) }
}

/// Answers composite queries with the store's simple ones.
struct CompositeSearch {
    let store: any VectorStore
    let collection: String

    /// `request` is everything but the query.
    func points(_ query: CompositeQuery, _ request: QueryRequest) async throws -> [StoredPoint] {
        if case .mmr(let target, let diversity, let candidates) = query {
            return try await diverse(target, diversity, candidates, request)
        }
        let metric = try await metric(of: request.using)
        var similarities: [[PointID: Float]] = []
        for example in query.examples { similarities.append(try await self.similarities(to: example, request, metric)) }
        var candidates = Set(similarities.flatMap(\.keys))
        if metric == nil, request.prefetch.isEmpty {  // a sparse vector finds only what shares a dimension with it
            let filter = Filter(must: [.hasVector(request.using)] + (request.filter.map { [.filter($0)] } ?? []))
            let fields = PointFields(payload: .none, vectors: .none)
            let all = ScrollRequest(filter: filter, limit: Self.everything, fields: fields)
            candidates.formUnion(try await store.scroll(all, in: collection).points.map(\.id))
        }
        let scored = candidates.map { id in (id: id, score: query.score(similarities.map { $0[id] ?? 0 })) }
            .filter { $0.score >= request.scoreThreshold ?? -.infinity }
            .sorted { ($1.score, $0.id) < ($0.score, $1.id) }
        return try await points(Array(scored.dropFirst(request.offset).prefix(request.limit)), request.fields)
    }
    private static let everything = Int(Int32.max)

    private func points(_ scored: [(id: PointID, score: Float)], _ fields: PointFields) async throws -> [StoredPoint] {
        let found = try await store.retrieve(scored.map(\.id), from: collection, fields: fields)
        let scores = Dictionary(scored.map { ($0.id, $0.score) }) { first, _ in first }
        return found.map { point in
            var point = point
            point.score = scores[point.id]
            return point
        }
    }

    /// `nil` for a sparse vector.
    private func metric(of name: String) async throws -> Distance? {
        let configuration = try await store.settings(of: collection).configuration
        guard let position = configuration.position(of: name) else {
            throw StoreError.wrongInput("Not existing vector name error: \(name)")
        }
        return position < configuration.vectors.count ? configuration.vectors[position].distance : nil
    }

    private func similarities(
        to example: VectorValues, _ request: QueryRequest, _ metric: Distance?
    ) async throws -> [PointID: Float] {
        var simple = request
        simple.query = .nearest(.values(example))
        simple.limit = Self.everything
        simple.offset = 0
        simple.scoreThreshold = nil
        simple.exact = true
        simple.fields = PointFields(payload: .none, vectors: .none)
        let points = try await store.query(simple, in: collection)
        return Dictionary(points.map { ($0.id, Self.similarity($0.score ?? 0, metric)) }) { first, _ in first }
    }

    /// A score as Qdrant compares it: larger is better, of Euclid the square.
    private static func similarity(_ score: Float, _ metric: Distance?) -> Float {
        switch metric {
        case .euclid?: -score * score
        case .manhattan?: -score
        case .cosine?, .dot?, nil: score
        }
    }

    // MARK: - Maximal marginal relevance

    private func diverse(
        _ target: VectorTarget, _ diversity: Float, _ candidates: Int?, _ request: QueryRequest
    ) async throws -> [StoredPoint] {
        let metric = try await metric(of: request.using)
        var simple = request
        simple.query = .nearest(target)
        simple.limit = candidates ?? request.limit
        simple.offset = 0
        simple.fields = PointFields(payload: .none, vectors: .named([request.using]))
        let found = try await store.query(simple, in: collection).compactMap { point in
            point.vectors?.first.map { (id: point.id, score: point.score ?? 0, values: $0.values) }
        }
        let count = request.limit + request.offset
        let order = try await BlockingPool.run {
            Self.order(found.map { (Self.similarity($0.score, metric), $0.values) }, diversity, metric, count: count)
        }
        let chosen = order.dropFirst(request.offset).map { (id: found[$0].id, score: found[$0].score) }
        return try await points(Array(chosen), request.fields)
    }

    /// Again and again the one that is near, and far from those before it.
    private static func order(
        _ candidates: [(relevance: Float, values: VectorValues)], _ diversity: Float, _ metric: Distance?, count: Int
    ) -> [Int] {
        var left = Array(candidates.indices)
        var nearest = [Float](repeating: -.infinity, count: candidates.count)
        var order: [Int] = []
        while order.count < count, !left.isEmpty {
            func worth(_ index: Int) -> Float {
                order.isEmpty
                    ? candidates[index].relevance
                    : (1 - diversity) * candidates[index].relevance - diversity * nearest[index]
            }
            let best = left.indices.max { worth(left[$0]) < worth(left[$1]) } ?? 0
            let chosen = left.remove(at: best)
            order.append(chosen)
            for index in left {
                nearest[index] = max(
                    nearest[index], similarity(candidates[index].values, candidates[chosen].values, metric))
            }
        }
        return order
    }

    private static func similarity(_ left: VectorValues, _ right: VectorValues, _ metric: Distance?) -> Float {
        switch (left, right) {
        case (.dense(let left), .dense(let right)):
            let pairs = zip(left, right)
            return switch metric {
            case .euclid?: -pairs.reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            case .manhattan?: -pairs.reduce(0) { $0 + abs($1.0 - $1.1) }
            case .cosine?, .dot?, nil: pairs.reduce(0) { $0 + $1.0 * $1.1 }
            }
        case (.sparse(let left), .sparse(let right)):
            let values = Dictionary(zip(right.indices, right.values)) { first, _ in first }
            return zip(left.indices, left.values).reduce(0) { $0 + $1.1 * (values[$1.0] ?? 0) }
        default: return 0
        }
    }
}
