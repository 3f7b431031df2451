import FastJSON
import Testing
import WireProtocol

@testable import Indexer

/// Requests that nobody sends by accident: they cost what they are long, and never the process.
struct HostileRequestTests {
    let folder: StoreFolder
    let store: EmbeddedStore
    init() async throws {
        folder = try StoreFolder()
        store = try folder.open()
        try await store.createCollection(
            "c",
            CollectionConfiguration(
                vectors: [.init(name: "a", size: 2, distance: .dot)], sparseVectors: [.init(name: "s", idf: false)]))
    }
    private static let one = PointID(number: 1)
    private static let ids = PointSelection.ids([one])
    private func path(_ text: String) throws -> PayloadPath { try #require(PayloadPath(text)) }
    private func apply(_ changes: SelectedChange...) async throws {
        _ = try await store.apply(.batch(changes.map { .selected(Self.ids, $0) }), to: "c", wait: true)
    }

    // MARK: - Once fatal

    @Test func vectorsAddedAtOnceAreAllThere() async throws {
        let names = (0..<20).map { "v\($0)" }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, name) in names.enumerated() {
                group.addTask { [store] in
                    _ = try await store.addVector(
                        name, ["dense": ["size": JSONValue(4 + number), "distance": "Dot"]], to: "c")
                }
            }
            try await group.waitForAll()
        }
        let configuration = try await store.collection("c").configuration
        #expect(Set(configuration.vectors.map(\.name)) == Set(names + ["a"]))
        #expect(Set(configuration.columns.map(\.position)).count == names.count + 2)
        let placed = configuration.vectors.map {
            PlacedVector(position: $0.position, values: .dense(Array(repeating: 1, count: $0.size)))
        }
        try await store.write([PointChange(id: Self.one, effect: .upsert(vectors: placed, payload: [123, 125]))])
        #expect(
            try await store.query(QueryRequest(query: .near([1, 1, 1, 1, 1]), using: "v1"), in: "c").map(\.score) == [5]
        )
    }

    @Test func aVectorGivenOftenIsTheLast() async throws {
        let vectors = (0..<300).map { "\"a\":[\($0),0]" }.joined(separator: ",")
        let body = try PointsBody(Array("{\"points\":[{\"id\":1,\"vector\":{\(vectors)}}]}".utf8))
        try await store.write(try body.upserts(into: try await store.collection("c").configuration))
        #expect(try await store.query(QueryRequest(query: .near([1, 1]), using: "a"), in: "c").map(\.score) == [299])
    }

    @Test(arguments: [1, 2, 1000, 100_000]) func aPayloadNestedTooDeepToBeReadAgainIsRefused(levels: Int) async throws {
        try await store.write([.upsert(1, [1, 2], ["n": 1])])
        let limit = JSONReader.defaultMaximumDepth
        func key(_ steps: Int) throws -> PayloadPath {
            try path(Array(repeating: "d", count: steps).joined(separator: "."))
        }
        let members = JSONObject([("x", [1])])
        await #expect(throws: StoreError.self) {
            try await apply(.setPayload(members, key: try key(limit - 3 + levels)))
        }
        if levels > 1 { return }
        try await apply(.setPayload(members, key: try key(limit - 3)))
        try await apply(.setPayload(JSONObject([("n", 2)])))
        #expect(try await store.payload(1)?.hasPrefix(#"{"n":2,"d":{"d":"#) == true)
        #expect(try await store.ids(try Filter(["must": [["key": "n", "match": ["value": 2]]]])) == [1])
    }

    @Test func examplesOfAnyNumberAreComparedInParts() async throws {
        try await store.write([
            PointChange(
                id: Self.one,
                effect: .upsert(
                    vectors: [PlacedVector(position: 1, values: .sparse(SparseVector(indices: [3], values: [2])))],
                    payload: [123, 125]))
        ])
        let example = VectorTarget.values(.sparse(SparseVector(indices: [3], values: [1])))
        let query = Query.recommend(positive: Array(repeating: example, count: 70_000), negative: [], .sumScores)
        #expect(try await store.query(QueryRequest(query: query, using: "s"), in: "c").map(\.score) == [140_000])
    }

    @Test func diversityAmongTooManyIsRefusedWithWhatToDo() async throws {
        let count = Diversity.maximumCandidates + 1
        try await store.write((0..<UInt64(count)).map { .upsert($0, [1, Float($0)]) })
        let query = Query.diverse(.values(.dense([1, 1])), diversity: 0.5, candidates: nil)
        let error = await #expect(throws: StoreError.self) {
            try await store.query(QueryRequest(query: query, using: "a", limit: count), in: "c")
        }
        #expect(error?.description.contains("candidates_limit") == true)
    }

    // MARK: - Once quadratic: these took minutes

    @Test(.timeLimit(.minutes(1))) func aBatchOfManyUpdates() async throws {
        let count = 12_000
        try await store.write((0..<UInt64(count)).map { .upsert($0, [1, 2]) })
        let updates = (0..<UInt64(count)).map { id in
            PointsUpdate.selected(.ids([PointID(number: id)]), .setPayload(JSONObject([("n", .integer(Int64(id)))])))
        }
        _ = try await store.apply(.batch(updates), to: "c", wait: true)
        #expect(try await store.payload(11_999) == #"{"n":11999}"#)
    }

    @Test(.timeLimit(.minutes(1))) func aPointOfManyValues() async throws {
        let values = JSONValue.array((0..<300_000).map { JSONValue($0 / 2) })
        try await store.write([.upsert(1, [1, 2], ["n": values]), .upsert(2, [1, 2], ["n": [7, 7]])])
        let key = try path("n")
        let facets = try await store.facet(FacetRequest(key: key, limit: 2), in: "c")
        #expect(facets.map(\.count) == [2, 1] && facets.map(\.value) == [7, 0])
        let ordered = try await store.scroll(
            ScrollRequest(limit: 2, orderBy: OrderBy(key: key, descending: true)), in: "c")
        #expect(ordered.points.map(\.orderValue) == [149_999, 149_998])
        let groups = try await store.queryGroups(
            GroupsRequest(query: QueryRequest(query: .near([1, 2]), using: "a"), groupBy: key, groups: 3), in: "c")
        #expect(groups.map(\.id) == [0, 1, 2])
    }

    @Test(.timeLimit(.minutes(1))) func aPointOfManyMembers() async throws {
        let names = (0..<60_000).map { "k\($0)" }
        let members = names.map { (name: $0, value: JSONValue(1)) }
        try await store.write([.upsert(1, [1, 2], .object(JSONObject(unique: members)))])
        try await apply(.setPayload(JSONObject(unique: names.prefix(30_000).map { ($0, .null) })))
        try await apply(.deletePayloadKeys(try names.dropFirst(30_001).map(path)))
        #expect(try await store.payload(1) == #"{"k30000":1}"#)
    }

    @Test(.timeLimit(.minutes(1))) func aPointOfManyLongTexts() async throws {
        let long = String(repeating: "long ", count: 60)
        let texts = JSONValue.array((0..<10_000).map { .string("\(long) \($0)") })
        try await store.write([.upsert(1, [1, 2], ["t": texts]), .upsert(2, [1, 2], ["t": .string(long)])])
        #expect(try await store.ids(try Filter(["must": [["key": "t", "match": ["text": "9999"]]]])) == [1])
        #expect(try await store.ids(try Filter(["must": [["key": "t", "match": ["substring": "long  77"]]]])) == [1])
    }

    @Test(.timeLimit(.minutes(1))) func aTextOfOneLetter() async throws {
        let letters = 4_000_000
        try await store.write([.upsert(1, [1, 2], ["t": .string(String(repeating: "a", count: letters))])])
        let part = JSONValue.string(String(repeating: "a", count: letters / 2) + "b")
        #expect(try await store.ids(try Filter(["must": [["key": "t", "match": ["substring": part]]]])).isEmpty)
    }
}
