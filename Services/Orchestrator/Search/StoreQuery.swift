import Lexical
import WireProtocol

/// A search as the store is asked: Qdrant queries, on the embedded store and on a real Qdrant alike. A hybrid search is several of them,
/// made one order by `HybridRanking`.
struct StoreQuery: Sendable {
    /// How far down a hybrid search reads by meaning and by words: it answers at least that many hits where there are so many, and what
    /// stands at a position does not depend on the page that is asked for.
    static let depth = 1000
    /// Records that hold a code of the query, at most this many of them first.
    private static let mostCoded = 30

    var words: LexicalQuery
    /// The query's embedding; `nil` for a search by words alone.
    var vector: [Float]?
    var filter: JSONValue?

    /// The `/points/query` body of a search by meaning or by words alone; it has what it needs, a vector or words.
    func body(_ mode: SearchQuery.Mode, limit: Int, offset: Int, withPayload: Bool = true) -> JSONValue {
        var body = mode == .lexical ? byWords : byMeaning
        body["limit"] = JSONValue(limit)
        body["offset"] = JSONValue(offset)
        body["with_payload"] = .bool(withPayload)
        return .object(body)
    }

    /// What a hybrid search asks: what is found by meaning, by words, and, when the query holds codes, what has one of them.
    var hybrid: [JSONValue] {
        let queries = [SearchQuery.Mode.semantic, .lexical].map {
            body($0, limit: Self.depth, offset: 0, withPayload: false)
        }
        return words.codes.indices.isEmpty ? queries : queries + [coded]
    }

    /// Records that have one of the codes, those first that fit all of the query best.
    private var coded: JSONValue {
        var query = words.isSentence ? byMeaning : byWords
        var codes = leg(Self.sparse(words.codes), using: CollectionService.wordsName)
        codes["limit"] = JSONValue(Self.depth)
        query["prefetch"] = .object(codes)
        query["limit"] = JSONValue(Self.mostCoded)
        query["with_payload"] = false
        return .object(query)
    }

    private var byMeaning: JSONObject { leg(meaning, using: CollectionService.vectorName) }
    private var byWords: JSONObject { leg(Self.sparse(words.terms), using: CollectionService.wordsName) }

    private func leg(_ query: JSONValue, using name: String) -> JSONObject {
        var leg: JSONObject = ["query": query, "using": .string(name)]
        leg["filter"] = filter
        return leg
    }

    private var meaning: JSONValue { .array((vector ?? []).map { .number(Double($0)) }) }

    private static func sparse(_ terms: LexicalAnalyzer.Terms) -> JSONValue {
        [
            "indices": .array(terms.indices.map { .integer(Int64($0)) }),
            "values": .array(terms.values.map { .number(Double($0)) }),
        ]
    }
}
