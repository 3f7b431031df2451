import Testing
import WireProtocol

@testable import Indexer

/// Points of equal scores come by their ids, whatever the order of storing: a copy of a collection answers as the collection does.
struct TieOrderTests {
    // More numbers than a scan of the floats alone takes on, and more equals than a scan of the codes proposes.
    private static let (size, kinds, count) = (384, 12, 3000)

    private static func id(_ number: Int) -> PointID {
        number % 3 == 0 ? PointID(uuidHigh: UInt64(number) << 40, low: 1) : PointID(number: UInt64(number))
    }
    private static func point(_ number: Int, kind: Int, of vectors: [[Float]]) -> PointChange {
        PointChange(
            id: id(number),
            effect: .upsert(
                vectors: [
                    PlacedVector(position: 0, values: .dense(vectors[kind])),
                    PlacedVector(position: 1, values: .dense(Array(vectors[kind].prefix(5)))),
                    PlacedVector(position: 2, values: .sparse(SparseVector([UInt32(kind % 4): 1, 9: 0.5]))),
                ],
                payload: (["group": .integer(Int64(number % 7)), "even": .bool(number % 2 == 0)] as JSONValue)
                    .serializedBytes))
    }
    private static let configuration = CollectionConfiguration(
        vectors: [
            .init(name: "text", size: size, distance: .cosine), .init(name: "shape", size: 5, distance: .euclid),
        ], sparseVectors: [.init(name: "lexical", idf: true)])
    private static let even = Filter(must: [.field(PayloadPath("even")!, .equals(.bool(true)))])

    private static func searches(near target: [Float]) -> [QueryRequest] {
        let dense = QueryRequest(query: .near(target), using: "text")
        let narrow = QueryRequest(query: .near(Array(target.prefix(5))), using: "shape")
        let sparse = QueryRequest(query: .near([2: 1, 9: 1]), using: "lexical")
        let examples = QueryRequest(
            query: .recommend(positive: [.values(.dense(target))], negative: [], .bestScore), using: "text")
        var searches = [dense, narrow, sparse, examples]
        searches.append(dense)
        searches[4].exact = true
        searches += searches.map { search in
            var search = search
            search.filter = even
            search.offset = 3
            return search
        }
        var hybrid = QueryRequest(
            prefetch: [
                Prefetch(query: dense.query, using: "text", limit: 40),
                Prefetch(query: sparse.query, using: "lexical", limit: 40),
            ], query: .fusion(.rrf(k: 2, weights: nil)), limit: 30)
        searches.append(hybrid)
        hybrid.query = .fusion(.dbsf)
        searches.append(hybrid)
        hybrid.query = dense.query
        hybrid.using = "text"
        return searches + [hybrid]
    }

    private static func text(_ points: [StoredPoint]) -> [String] { points.map { "\($0.id) \($0.score ?? .nan)" } }
    private static func answers(of store: EmbeddedStore, near target: [Float]) async throws -> [[String]] {
        var answers: [[String]] = []
        for search in searches(near: target) {
            answers.append(text(try await store.query(search, in: "c")))
            let groups = try await store.queryGroups(
                GroupsRequest(query: search, groupBy: PayloadPath("group")!, groupSize: 2, groups: 5), in: "c")
            answers.append(groups.flatMap { ["\($0.id)"] + text($0.points) })
        }
        return answers
    }

    @Test func theOrderOfStoringChangesNoAnswer() async throws {
        var numbers = Numbers(8)
        let vectors = (0..<Self.kinds).map { _ in numbers.vector(Self.size) }
        let kinds = (0..<Self.count).map { _ in Int.random(in: 0..<Self.kinds, using: &numbers) }
        let (first, second) = (try StoreFolder(), try StoreFolder())

        let straight = try first.open()
        try await straight.createCollection("c", Self.configuration)
        try await straight.write((0..<Self.count).map { Self.point($0, kind: kinds[$0], of: vectors) })
        let expected = try await Self.answers(of: straight, near: vectors[0])

        // The other way round, with other vectors at first, and with points that go again.
        let other = try second.open(.init(scanThreads: 3))
        try await other.createCollection("c", Self.configuration)
        try await other.write(
            (0..<(Self.count + 500)).shuffled(using: &numbers).map { Self.point($0, kind: 0, of: vectors) })
        try await other.write((Self.count..<(Self.count + 500)).map { PointChange(id: Self.id($0), effect: .delete) })
        try await other.write(
            (0..<Self.count).shuffled(using: &numbers).map { Self.point($0, kind: kinds[$0], of: vectors) })
        #expect(try await Self.answers(of: other, near: vectors[0]) == expected)
        try await other.find("c").checkpoint(compacting: true)
        #expect(try await Self.answers(of: other, near: vectors[0]) == expected)
        try await other.write(
            (0..<200).shuffled(using: &numbers).map { Self.point($0, kind: kinds[$0], of: vectors) })
        #expect(try await Self.answers(of: other, near: vectors[0]) == expected)
    }

    @Test func equalScoresComeByIDAlsoWhereTheLimitCutsThem() async throws {
        let folder = try StoreFolder()
        let store = try folder.open(.init(scanThreads: 2))
        var numbers = Numbers(9)
        let vectors = (0..<Self.kinds).map { _ in numbers.vector(Self.size) }
        try await store.createCollection("c", Self.configuration)
        try await store.write(
            (0..<Self.count).shuffled(using: &numbers).map { Self.point($0, kind: $0 % 2, of: vectors) })
        let ids = stride(from: 0, to: Self.count, by: 2).map(Self.id).sorted()
        for exact in [false, true] {
            for offset in [0, 7, 990, 1490] {
                var request = QueryRequest(query: .near(vectors[0]), using: "text", limit: 20, offset: offset)
                request.exact = exact
                let found = try await store.query(request, in: "c").map(\.id)
                #expect(found.prefix(10) == ids[offset..<min(offset + 10, ids.count)])
            }
        }
        var request = QueryRequest(query: .near([0: 1]), using: "lexical", limit: 20)
        #expect(try await store.query(request, in: "c").map(\.id) == Array(ids.prefix(20)))
        request.query = .recommend(positive: [.values(.sparse(SparseVector([0: 1])))], negative: [], .sumScores)
        #expect(try await store.query(request, in: "c").map(\.id) == Array(ids.prefix(20)))
    }
}
