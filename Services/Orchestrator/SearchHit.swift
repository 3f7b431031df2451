import WireProtocol

/// One answer of a search: the end of a record's way.
struct SearchHit: Sendable, Equatable {
    /// The point's id in the store.
    var id: JSONValue
    /// The record's key in its source; null for a point that no sync wrote.
    var key: JSONValue
    /// The store's: for Cosine the similarity, from -1 to 1.
    var score: JSONValue
    /// The record's fields, without the suite's own members, which start with `_`.
    var payload: JSONObject

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
        ["id": id, "key": key, "score": score, "payload": .object(payload)]
    }
}
