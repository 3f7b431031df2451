import Lexical
import WireProtocol

/// A search as the store is asked: one Qdrant query, on the embedded store and on a real Qdrant alike.
///
/// Hybrid is reciprocal rank fusion of two prefetches, one by meaning and one by words. How much words count depends on the query: each
/// one more says more exactly what is wanted, and those of a sentence count hardly at all.
/// Where the query holds codes, the records that have one of them stand before all others: a third prefetch, fused once more with a
/// weight that no other record can reach. The numbers were chosen on the development judgments of `deploy/bench/relevance`.
struct StoreQuery: Sendable {
    /// How far down each prefetch reads: a hybrid search answers at least that many hits where there are so many, and what stands
    /// at a position does not depend on the page that is asked for.
    static let depth = 1000
    /// RRF's constant: differences between high ranks hardly count.
    private static let constant = 60
    /// Times the square of the number of words. One alone ("laptop") stands in the names of accessories as well, and hundreds of records
    /// have it equally often: their ranks say little.
    private static let wordsWeight = 0.02
    /// Of a query that holds a code, or what may be one written apart; and where vectors know no meanings.
    private static let equalWeight = 1.0
    /// Records found by a sentence's words come after those found by its meaning.
    private static let sentenceWeight = 0.002
    /// Records that hold a code of the query, at most this many of them first.
    private static let mostCoded = 30
    /// With k = 2, position p of this prefetch scores 1 / ((p + 1) / 100 + 1) > 0.76, and the best other record 0.5.
    private static let codeWeight = 100.0

    var words: LexicalQuery
    /// The query's embedding; `nil` for a search by words alone.
    var vector: [Float]?
    /// Not those of the hashing fallback: they are of words, too, and know less of them.
    var vectorsKnowMeanings = true
    var filter: JSONValue?

    /// A `/points/query` body. `mode` has what it needs: a vector unless lexical, words unless semantic.
    func body(_ mode: SearchQuery.Mode, limit: Int, offset: Int, withPayload: Bool = true) -> JSONValue {
        var body: JSONObject
        switch mode {
        case .semantic: body = leg(meaning, using: CollectionService.vectorName)
        case .lexical: body = leg(Self.sparse(words.terms), using: CollectionService.wordsName)
        case .hybrid: body = hybrid
        }
        body["limit"] = JSONValue(limit)
        body["offset"] = JSONValue(offset)
        body["with_payload"] = .bool(withPayload)
        return .object(body)
    }

    private var hybrid: JSONObject {
        let legs = [
            prefetch(leg(meaning, using: CollectionService.vectorName), limit: Self.depth),
            prefetch(leg(Self.sparse(words.terms), using: CollectionService.wordsName), limit: Self.depth),
        ]
        let fused = fusion(of: legs, k: Self.constant, weights: [1, weightOfWords])
        if words.codes.indices.isEmpty { return fused }
        return fusion(
            of: [prefetch(fused, limit: 2 * Self.depth), coded], k: 2, weights: [1, Self.codeWeight])
    }

    private var weightOfWords: Double {
        if !vectorsKnowMeanings { return Self.equalWeight }
        if words.isSentence { return Self.sentenceWeight }
        let weight = Self.wordsWeight * Double(words.count * words.count)
        return words.mayHoldCode ? max(weight, Self.equalWeight) : weight
    }

    /// Records that have one of the codes, ordered by all of the query.
    private var coded: JSONValue {
        var leg =
            words.isSentence
            ? leg(meaning, using: CollectionService.vectorName)
            : leg(Self.sparse(words.terms), using: CollectionService.wordsName)
        leg["prefetch"] = prefetch(
            self.leg(Self.sparse(words.codes), using: CollectionService.wordsName), limit: Self.depth)
        return prefetch(leg, limit: Self.mostCoded)
    }

    private func leg(_ query: JSONValue, using name: String) -> JSONObject {
        var leg: JSONObject = ["query": query, "using": .string(name)]
        leg["filter"] = filter
        return leg
    }

    private func prefetch(_ leg: JSONObject, limit: Int) -> JSONValue {
        var leg = leg
        leg["limit"] = JSONValue(limit)
        return .object(leg)
    }

    private func fusion(of legs: [JSONValue], k: Int, weights: [Double]) -> JSONObject {
        [
            "prefetch": .array(legs),
            "query": ["rrf": ["k": JSONValue(k), "weights": .array(weights.map { .number($0) })]],
        ]
    }

    private var meaning: JSONValue { .array((vector ?? []).map { .number(Double($0)) }) }

    private static func sparse(_ terms: LexicalAnalyzer.Terms) -> JSONValue {
        [
            "indices": .array(terms.indices.map { .integer(Int64($0)) }),
            "values": .array(terms.values.map { .number(Double($0)) }),
        ]
    }
}
