import Lexical
import WireProtocol

/// One answer of a search: the end of a record's way.
struct SearchHit: Sendable, Equatable {
    /// The point's id in the store.
    var id: JSONValue
    /// The record's key in its source; null for a point that no sync wrote.
    var key: JSONValue
    /// The store's: the similarity (for Cosine from -1 to 1), BM25's sum, or the fusion's, which only orders.
    var score: JSONValue
    /// The record's fields, without the suite's own members, which start with `_`.
    var payload: JSONObject
    var highlights: [LexicalAnalyzer.Highlight] = []

    /// `point`: as Qdrant's `/points/query` answers it.
    init(point: JSONValue) {
        let stored = point["payload"]?.object ?? JSONObject()
        id = point["id"] ?? .null
        key = stored["_key"] ?? .null
        score = point["score"] ?? .null
        payload = JSONObject(unique: stored.members.filter { !$0.name.hasPrefix("_") })
    }

    /// As the search API answers it.
    var json: JSONValue {
        let marked = highlights.map { (name: $0.field, value: JSONValue.array($0.snippets.map(JSONValue.string))) }
        return [
            "id": id, "key": key, "score": score, "payload": .object(payload),
            "highlights": .object(JSONObject(marked)),
        ]
    }
}
