import Foundation
import Testing
import WireProtocol

@testable import Indexer

/// Orders, facets and columns over points that change.
struct PayloadReadsTests {
    let folder: StoreFolder
    let store: EmbeddedStore
    static let payloads: [JSONValue] = [
        [
            "n": 3, "tag": "b", "on": "2024-01-02", "u": "550E8400E29B41D4A716446655440000",
            "offers": [["shop": "x", "price": 5]],
        ],
        ["n": [1, 3, 3], "tag": ["a", "b", "a"], "on": "2024-01-01T12:00:00+02:00", "flag": true],
        ["n": 2.5, "tag": "a", "on": "soon", "u": "550e8400-e29b-41d4-a716-446655440000", "flag": [true, false]],
        ["n": nil, "tag": 7, "offers": [["shop": "x", "price": 9], ["shop": "y", "price": 5], 5]],
        ["n": "3", "offers": ["shop": "x", "price": 5]],
        [:],
    ]
    init() async throws {
        folder = try StoreFolder()
        store = try folder.open()
        try await store.createCollection("c", .unnamed(1))
        try await store.write(Self.payloads.enumerated().map { .upsert(UInt64($0), [1], $1) })
    }

    private func ordered(
        _ key: String, descending: Bool = false, from start: JSONValue? = nil, limit: Int = 100, _ filter: Filter? = nil
    ) async throws -> [[JSONValue]] {
        let order = OrderBy(key: try #require(PayloadPath(key)), descending: descending, startFrom: start)
        let page = try await store.scroll(ScrollRequest(filter: filter, limit: limit, orderBy: order), in: "c")
        #expect(page.next == nil)
        return page.points.map { [$0.id.json, $0.orderValue ?? .null] }
    }

    @Test func pointsAppearForEachOfTheirValuesAndThoseWithoutOneDoNot() async throws {
        #expect(try await ordered("n") == [[1, 1], [2, 2.5], [0, 3], [1, 3]])
        #expect(try await ordered("n", descending: true) == [[1, 3], [0, 3], [2, 2.5], [1, 1]])
        #expect(try await ordered("n", limit: 2) == [[1, 1], [2, 2.5]])
        #expect(try await ordered("n", from: 2.5) == [[2, 2.5], [0, 3], [1, 3]])
        #expect(try await ordered("n", descending: true, from: 2.5) == [[2, 2.5], [1, 1]])
        #expect(try await ordered("n", try Filter(["must_not": [["has_id": [1]]]])) == [[2, 2.5], [0, 3]])
        let noon: JSONValue = 1_704_103_200_000_000
        #expect(try await ordered("on") == [[1, noon], [0, 1_704_153_600_000_000]])
        #expect(try await ordered("on", from: "2024-01-01T10:00:01Z") == [[0, 1_704_153_600_000_000]])
        #expect(try await ordered("missing").isEmpty)
        await #expect(throws: StoreError.self) { try await ordered("n", from: "soon") }
    }

    @Test func anIndexSaysWhichValuesAreOrderedAndCounted() async throws {
        _ = try await store.setPayloadSchema("n", ["data_type": "integer"], in: "c")
        #expect(try await ordered("n") == [[1, 1], [0, 3], [1, 3]])
        #expect(try await facets("n") == [[3, 2], [1, 1]])
        _ = try await store.setPayloadSchema("n", ["data_type": "float"], in: "c")
        #expect(try await ordered("n") == [[1, 1.0], [2, 2.5], [0, 3.0], [1, 3.0]])
        _ = try await store.setPayloadSchema("tag", ["data_type": "keyword"], in: "c")
        #expect(try await facets("tag") == [["a", 2], ["b", 2]])
        #expect(try await facets("u").count == 2)
        _ = try await store.setPayloadSchema("u", ["data_type": "uuid"], in: "c")
        #expect(try await facets("u") == [["550e8400-e29b-41d4-a716-446655440000", 2]])
    }

    private func facets(_ key: String, limit: Int = 10, _ filter: Filter? = nil) async throws -> [[JSONValue]] {
        let request = FacetRequest(key: try #require(PayloadPath(key)), filter: filter, limit: limit)
        return try await store.facet(request, in: "c").map { [$0.value, JSONValue($0.count)] }
    }

    @Test func valuesAreCountedOnceAPoint() async throws {
        #expect(try await facets("tag") == [["a", 2], ["b", 2], [7, 1]])
        #expect(try await facets("tag", limit: 1) == [["a", 2]])
        #expect(try await facets("flag") == [[true, 2], [false, 1]])
        #expect(try await facets("n") == [[3, 2], [1, 1], ["3", 1]])
        #expect(try await facets("offers[].shop") == [["x", 2], ["y", 1]])
        #expect(
            try await facets("tag", try Filter(["must": [["key": "n", "match": ["value": 3]]]])) == [
                ["b", 2], ["a", 1],
            ])
        #expect(try await facets("missing").isEmpty)
    }

    private func ids(_ condition: JSONValue) async throws -> [UInt64] {
        try await store.ids(try Filter(["must": [condition]]))
    }

    @Test func anObjectOfANestedArrayMatchesAllByItself() async throws {
        let both: JSONValue = [
            "must": [["key": "shop", "match": ["value": "x"]], ["key": "price", "match": ["value": 5]]]
        ]
        #expect(try await ids(["nested": ["key": "offers", "filter": both]]) == [0])
        #expect(try await ids(["key": "offers[].shop", "match": ["value": "x"]]) == [0, 3])
        let notX: JSONValue = ["must_not": [["key": "shop", "match": ["value": "x"]]]]
        #expect(try await ids(["nested": ["key": "offers[]", "filter": notX]]) == [3])
        #expect(try await ids(["nested": ["key": "offers", "filter": ["must": [["has_id": [0]]]]]]).isEmpty)
    }

    @Test func longTextsAreFoundWithoutBeingKept() async throws {
        let long = String(repeating: "word ", count: 200)
        try await store.write([
            .upsert(10, [1], ["t": .string(long + "Needle here")]),
            .upsert(11, [1], ["t": .string(long + "here Needle")]),
            .upsert(12, [1], ["t": [.string(long + "Needle here"), "short needle"]]),
        ])
        #expect(try await ids(["key": "t", "match": ["value": .string(long + "Needle here")]]) == [10, 12])
        #expect(try await ids(["key": "t", "match": ["text": "NEEDLE here word"]]) == [10, 11, 12])
        #expect(try await ids(["key": "t", "match": ["phrase": "needle here"]]) == [10, 12])
        #expect(try await ids(["key": "t", "match": ["phrase": "short needle"]]) == [12])
        #expect(try await ids(["key": "t", "match": ["prefix": "word word"]]) == [10, 11, 12])
        #expect(try await ids(["key": "t", "match": ["substring": "d Need"]]) == [10, 12])
        #expect(
            try await facets("t") == [
                [.string(long + "Needle here"), 2], ["short needle", 1], [.string(long + "here Needle"), 1],
            ])
    }

    @Test func textsOfTooManyWordsAreReadAnew() async throws {
        let long = String(repeating: "word ", count: 200)
        try await store.write([
            .upsert(10, [1], ["t": .string(long + "Needle here")]), .upsert(11, [1], ["t": ["here", "needle"]]),
        ])
        let snapshot = try store.find("c").index.snapshot
        let extractor = PayloadExtractor(arrays: [], path: PayloadPath("t"))
        for limit in [0, 1000, 1 << 20] {
            let column = PayloadColumn(extractor, wordLimit: limit)
            for (query, match, expected) in [
                ("needle HERE", Filter.WordMatch.all, 1), ("needle", .any, 2), ("here needle", .phrase, 0),
            ] {
                let found = try column.rows(
                    matching: .words(query, match), rule: .standard, of: snapshot.count, in: snapshot)
                #expect(found.population == expected, "\(query) within \(limit) bytes")
            }
            #expect(column.memory < 20_000)
        }
    }

    @Test func aTextIndexSaysWhatWordsAre() async throws {
        try await store.write([
            .upsert(20, [1], ["t": "The Robot of Señor Núñez"]), .upsert(21, [1], ["t": "robots-x1 Are here"]),
        ])
        func words(_ parameters: JSONValue, _ match: JSONValue) async throws -> [UInt64] {
            _ = try await store.setPayloadSchema("t", ["data_type": "text", "params": parameters], in: "c")
            return try await ids(["key": "t", "match": match])
        }
        #expect(try await words(["type": "text"], ["text": "ROBOT the"]) == [20])
        #expect(try await words(["type": "text", "stopwords": "english"], ["text_any": "the robots of"]) == [21])
        #expect(try await words(["type": "text", "tokenizer": "prefix"], ["text": "ROBO"]) == [20, 21])
        #expect(try await words(["type": "text", "tokenizer": "prefix", "min_token_len": 3], ["text": "ro"]).isEmpty)
        #expect(
            try await words(["type": "text", "tokenizer": "prefix", "max_token_len": 4], ["text": "robotics"]) == [
                20, 21,
            ])
        #expect(try await words(["type": "text", "tokenizer": "whitespace"], ["text": "robots-x1"]) == [21])
        #expect(try await words(["type": "text", "tokenizer": "whitespace"], ["text": "robots"]).isEmpty)
        #expect(try await words(["type": "text", "lowercase": false], ["text": "robot"]).isEmpty)
        #expect(try await words(["type": "text", "ascii_folding": true], ["text": "senor nunez"]) == [20])
        #expect(try await words(["type": "text", "min_token_len": 3], ["text": "of robot"]) == [20])
        let english: JSONValue = ["type": "snowball", "language": "english"]
        #expect(try await words(["type": "text", "stemmer": english], ["text": "robotic"]) == [20, 21])
        #expect(try await words(["type": "text", "stemmer": english], ["text": "robot"]) == [20, 21])
        await #expect(throws: StoreError.self) {
            try await words(["type": "text", "stopwords": "klingon"], ["text": "x"])
        }
    }

    @Test func aNumberKeepsItsPointWhenThePayloadAroundItChanges() async throws {
        let bytes = Array(#"{"x":1.0,"y":[2.0,3],"z":1e3}"#.utf8)
        try await store.write([PointChange(id: PointID(number: 1), effect: .upsert(vectors: [], payload: bytes))])
        _ = try await store.apply(
            .selected(.ids([PointID(number: 1)]), .setPayload(["a": 1])), to: "c", wait: true)
        #expect(try await store.payload(1) == #"{"x":1.0,"y":[2.0,3],"z":1000.0,"a":1}"#)
        #expect(try await ids(["key": "x", "match": ["value": 1]]).isEmpty)
        let fields = PointFields(payload: .including([try #require(PayloadPath("x"))]))
        let shown = try await store.retrieve([PointID(number: 1)], from: "c", fields: fields).first?.payload
        #expect(shown.map { String(decoding: $0, as: UTF8.self) } == #"{"x":1.0}"#)
    }

    @Test func columnsFollowUpdatesDeletesCompactionAndReopening() async throws {
        let tagged: JSONValue = ["key": "tag", "match": ["value": "b"]]
        let nested: JSONValue = [
            "nested": ["key": "offers", "filter": ["must": [["key": "price", "match": ["value": 5]]]]]
        ]
        func look() async throws -> [[UInt64]] { [try await ids(tagged), try await ids(nested)] }
        #expect(try await look() == [[0, 1], [0, 3]])
        try await store.write([.payload(1, ["tag": "z"]), .delete(0), .upsert(9, [1], Self.payloads[0])])
        #expect(try await look() == [[9], [3, 9]])
        #expect(try await facets("tag") == [[7, 1], ["a", 1], ["b", 1], ["z", 1]])

        for round in 0..<3 {  // more than the fifth that makes a compaction
            try await store.write(
                (0..<1000).map { .upsert(UInt64(1000 + $0), [1], ["tag": "b", "round": JSONValue(round)]) })
        }
        try await store.write((0..<1000).map { .delete(UInt64(1000 + $0)) })
        #expect(try await look() == [[9], [3, 9]])
        await store.maintain()
        #expect(try await look() == [[9], [3, 9]])
        try await store.write([.upsert(0, [1], Self.payloads[0])])
        #expect(try await look() == [[0, 9], [0, 3, 9]])

        _ = try await store.setPayloadSchema("n", ["data_type": "integer"], in: "c")
        let copy = try StoreFolder()
        try FileManager.default.removeItem(atPath: copy.path)
        try FileManager.default.copyItem(atPath: folder.path, toPath: copy.path)
        let reopened = try copy.open()
        #expect(try await reopened.ids(try Filter(["must": [tagged]])) == [0, 9])
        let order = OrderBy(key: try #require(PayloadPath("n")))
        let page = try await reopened.scroll(ScrollRequest(orderBy: order), in: "c")
        #expect(page.points.map(\.orderValue) == [3, 3], "the index is still one of integers")
    }
}

/// Groups of hits by a payload value.
struct GroupSearchTests {
    let folder: StoreFolder
    let store: EmbeddedStore

    /// 100 points of group a are nearer than all others; b and c have few.
    init() async throws {
        folder = try StoreFolder()
        store = try folder.open()
        try await store.createCollection("c", .unnamed(1))
        var changes: [PointChange] = (0..<100).map { .upsert($0, [100 - Float($0) / 10], ["g": "a"]) }
        changes += (0..<5).map { .upsert(200 + $0, [50 - Float($0)], ["g": ["a", "b"]]) }
        changes += [
            .upsert(300, [10], ["g": [7, "b"]]), .upsert(301, [9], ["g": 2.5]), .upsert(302, [8], ["g": ["c", nil]]),
            .upsert(303, [7], ["g": .unsigned(.max)]), .upsert(304, [6], [:]), .upsert(305, [99], ["g": []]),
            .upsert(306, [5], ["g": 7]), .upsert(307, [4], ["g": .unsigned(.max)]),
        ]
        try await store.write(changes)
    }

    private func groups(_ count: Int, of size: Int, _ filter: Filter? = nil) async throws -> [[JSONValue]] {
        let query = QueryRequest(query: .nearest(.values(.dense([1]))), filter: filter)
        let request = GroupsRequest(
            query: query, groupBy: try #require(PayloadPath("g")), groupSize: size, groups: count)
        return try await store.queryGroups(request, in: "c").map { group in [group.id] + group.points.map(\.id.json) }
    }

    @Test func theBestGroupsAreFilledWithTheirBestPoints() async throws {
        #expect(try await groups(2, of: 2) == [["a", 0, 1], ["b", 200, 201]])
        #expect(
            try await groups(10, of: 3) == [
                ["a", 0, 1, 2], ["b", 200, 201, 202], [7, 300, 306], [.unsigned(.max), 303, 307],
            ])
        #expect(try await groups(10, of: 6)[1] == ["b", 200, 201, 202, 203, 204, 300])
        #expect(try await groups(1, of: 1) == [["a", 0]])
        #expect(try await groups(.max, of: .max).map(\.count) == [106, 7, 3, 3])
        let few = try Filter(["must_not": [["key": "g", "match": ["value": "a"]]]])
        #expect(try await groups(2, of: 2, few) == [[7, 300, 306], ["b", 300]])
    }
}
