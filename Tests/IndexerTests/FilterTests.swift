import Testing
import WireProtocol

@testable import Indexer

struct FilterTests {
    let folder: StoreFolder
    let store: EmbeddedStore
    static let payloads: [JSONValue] = [
        ["brand": "Acme", "price": 10, "tags": ["new", "sale"], "size": ["w": 1.5], "on": "2024-03-01T12:00:00Z"],
        ["brand": "acme", "price": 10.5, "tags": [], "size": ["w": 2], "on": "2024-03-01T13:00:00+02:00"],
        ["brand": ["Acme", "Bolt"], "price": nil, "offers": [["price": 5], ["price": 50]], "on": "2024-02-29"],
        ["brand": "Bolt", "price": -3, "stock": true, "offers": [["price": 7]], "size": ["w": nil]],
        [:],
        [
            "brand": "Bolted steel", "price": 9_007_199_254_740_993, "tags": ["sale", nil], "stock": false,
            "n": 18_446_744_073_709_551,
        ],
    ]
    init() async throws {
        folder = try StoreFolder()
        store = try folder.open()
        try await store.createCollection("c", .unnamed(1))
        try await store.write(Self.payloads.enumerated().map { .upsert(UInt64($0), [1], $1) })
    }

    static let cases: [(String, JSONValue, [UInt64])] = [
        ("keyword", ["key": "brand", "match": ["value": "Acme"]], [0, 2]),
        ("any", ["key": "brand", "match": ["any": ["acme", "Bolt"]]], [1, 2, 3]),
        ("except", ["key": "brand", "match": ["except": ["Acme", "acme"]]], [2, 3, 5]),
        ("text", ["key": "brand", "match": ["text": "bolt"]], [2, 3]),
        ("words of one value", ["key": "brand", "match": ["text": "STEEL bolted"]], [5]),
        ("integer", ["key": "price", "match": ["value": 10]], [0]),
        ("big integer", ["key": "price", "match": ["value": 9_007_199_254_740_993]], [5]),
        ("bool", ["key": "stock", "match": ["value": false]], [5]),
        ("range", ["key": "price", "range": ["gt": -3, "lte": 10.5]], [0, 1]),
        ("two bounds in one array", ["key": "offers[].price", "range": ["gte": 6, "lt": 8]], [3]),
        ("element", ["key": "offers[1].price", "match": ["value": 50]], [2]),
        ("not without brackets", ["key": "offers.price", "match": ["value": 7]], []),
        ("nested member", ["key": "size.w", "range": ["gte": 1.5]], [0, 1]),
        ("array", ["key": "tags", "match": ["value": "sale"]], [0, 5]),
        ("dates", ["key": "on", "range": ["gte": "2024-03-01T11:00:00Z", "lt": "2024-03-01T12:00:01Z"]], [0, 1]),
        ("date without time", ["key": "on", "range": ["lt": "2024-03-01"]], [2]),
        ("empty", ["is_empty": ["key": "tags"]], [1, 2, 3, 4]),
        ("null", ["is_null": ["key": "price"]], [2]),
        ("null in a list", ["is_null": ["key": "tags"]], [5]),
        ("null inside", ["is_null": ["key": "size.w"]], [3]),
        ("values count", ["key": "tags", "values_count": ["gte": 2]], [0, 5]),
        ("ids", ["has_id": [4, 1, 99]], [1, 4]),
        ("has vector", ["has_vector": ""], [0, 1, 2, 3, 4, 5]),
        ("inner filter", ["should": [["key": "stock", "match": ["value": true]], ["has_id": [0]]]], [0, 3]),
    ]

    @Test(arguments: cases) func matches(name: String, condition: JSONValue, expected: [UInt64]) async throws {
        #expect(try await store.ids(try Filter(["must": [condition]])) == expected, "\(name)")
        let rest = (0..<UInt64(Self.payloads.count)).filter { !expected.contains($0) }
        #expect(try await store.ids(try Filter(["must_not": condition])) == rest, "not \(name)")
        // A column reads on where it stopped; a dead slot does not come back.
        try await store.write([.upsert(77, [1], Self.payloads[0]), .delete(77), .upsert(78, [1], Self.payloads[0])])
        let grown = try await store.ids(try Filter(["must": [condition]]))
        #expect(grown.filter { $0 < 10 } == expected)
        if expected.contains(0), condition["has_id"] == nil, condition["should"] == nil { #expect(grown.contains(78)) }
    }

    @Test func clausesCombine() async throws {
        let sale: JSONValue = ["key": "tags", "match": ["value": "sale"]]
        let cheap: JSONValue = ["key": "price", "range": ["lte": 10.5]]
        let bolt: JSONValue = ["key": "brand", "match": ["any": ["Bolt", "Bolted steel"]]]
        #expect(try await store.ids(try Filter(["must": [cheap], "must_not": [sale]])) == [1, 3])
        #expect(
            try await store.ids(try Filter(["should": [sale, bolt], "must_not": [["has_id": [2]]]])) == [0, 3, 5])
        #expect(
            try await store.ids(try Filter(["min_should": ["conditions": [sale, cheap, bolt], "min_count": 2]])) == [
                0, 3, 5,
            ])
        #expect(try await store.ids(try Filter([:])) == [0, 1, 2, 3, 4, 5])
        // A member that is null is none.
        let spelled: JSONValue = [
            "key": "tags", "match": ["value": nil, "any": ["sale"]], "range": nil, "is_empty": nil,
        ]
        #expect(
            try await store.ids(try Filter(["must": [spelled], "should": nil]))
                == store.ids(try Filter(["must": [sale]])))
        let found = try await store.query(
            QueryRequest(query: .near([1]), filter: try Filter(["must": [bolt]])), in: "c")
        #expect(found.map(\.id.low) == [2, 3, 5])
    }

    static let refused: [(JSONValue, String)] = [
        (["must": [["key": "a", "match": ["regex": "x"]]]], "filter.must[0].match"),
        (["must": [["key": "a"]]], "filter.must[0]"),
        (["must": [["key": "a", "range": ["gt": true]]]], "filter.must[0].range.gt"),
        (["must": [["key": "a[x]", "is_null": true]]], "filter.must[0].key"),
        (["must": [["nested": ["key": "a"]]]], "filter.must[0].nested"),
        (
            ["should": [["nested": ["key": "a", "filter": ["must": [["key": "b"]]]]]]],
            "filter.should[0].nested.filter.must[0]"
        ),
        (["must": [["key": "a b", "is_null": true]]], "filter.must[0].key"),
        (["must": [["key": "a", "match": ["any": ["x", 1]]]]], "filter.must[0].match.any[1]"),
        (["must": [["key": "a", "range": ["gt": "soon"]]]], "filter.must[0].range.gt"),
        (["must": [["key": "a", "values_count": ["gt": -1]]]], "filter.must[0].values_count.gt"),
        (
            ["must": [["key": "a", "geo_radius": ["center": ["lat": 91, "lon": 0], "radius": 1]]]], "geo_radius.center"
        ),
        (["must": [["slice": ["total": 4, "index": 4]]]], "filter.must[0].slice.index"),
        (["min_should": ["conditions": [], "min_count": 0]], "filter.min_should.min_count"),
        (["must": [["has_id": ["x"]]]], "filter.must[0].has_id[0]"),
        (["most": []], "unknown field `most`"), (["must": [], "most": nil], "unknown field `most`"),
        ([1], "must be an object"),
    ]
    @Test(arguments: refused)
    func aFilterThatIsNotUnderstoodIsRefusedWithThePlace(filter: JSONValue, place: String) {
        let error = #expect(throws: FilterError.self) { try Filter(filter) }
        #expect(error?.description.contains(place) == true, "\(error?.description ?? "-")")
    }

    @Test func payloadSelectorsKeepAndDrop() throws {
        let payload: JSONObject = JSONObject([("a", ["b": 1, "c": [["d": 1, "e": 2], ["d": 3]]]), ("x", 5)])
        func paths(_ texts: String...) throws -> [PayloadPath] { try texts.map { try #require(PayloadPath($0)) } }
        #expect(
            JSONValue.object(Payload.including(try paths("a.c[].d", "x"), of: payload)).serialized
                == #"{"a":{"c":[{"d":1},{"d":3}]},"x":5}"#)
        #expect(
            JSONValue.object(Payload.excluding(try paths("a.c[].d", "x"), from: payload)).serialized
                == #"{"a":{"b":1,"c":[{"e":2},{}]}}"#)
        #expect(PayloadPath("\"a.b\".c[0][]")?.steps == [.member("a.b"), .member("c"), .element(0), .everyElement])
        #expect(["", ".", "a.", "a..b", "a[", "a[-1]", "a[0]b"].allSatisfy { PayloadPath($0) == nil })
    }

    @Test func idsAreReadInEveryFormQdrantTakes() {
        let text = "550e8400-e29b-41d4-a716-446655440000"
        #expect(PointID(uuid: text)?.text == text)
        #expect(PointID(uuid: "550E8400E29B41D4A716446655440000")?.text == text)
        #expect(PointID(uuid: "urn:uuid:\(text)")?.text == text)
        #expect(PointID(text: "18446744073709551615")?.json == .unsigned(.max))
        #expect(
            ["-1", "x", "550e8400-e29b-41d4-a716-44665544000", "550e8400e-29b-41d4-a716-446655440000"].allSatisfy {
                PointID(text: $0) == nil
            })
    }
}
