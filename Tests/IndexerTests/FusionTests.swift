import Testing
import WireProtocol

@testable import Indexer

struct FusionTests {
    private static func list(_ hits: [(Int, Float)]) -> [CollectionQuery.Hit] {
        hits.map { CollectionQuery.Hit(slot: $0.0, score: $0.1) }
    }
    private static func text(_ hits: [CollectionQuery.Hit]) -> [String] {
        hits.map { "\($0.slot) \((Double($0.score) * 10_000).rounded() / 10_000)" }
    }
    private static let first = list([(1, 9), (2, 8), (3, 1)])
    private static let second = list([(3, 0.5), (1, 0.25)])

    @Test func rankFusionAddsReciprocalPositions() {
        // 1: 1/2 + 1/3, 2: 1/3, 3: 1/4 + 1/2
        #expect(
            Self.text(Fusion.rrf(k: 2, weights: nil).fused([Self.first, Self.second])) == [
                "1 0.8333", "3 0.75", "2 0.3333",
            ])
        // 1: 1/60 + 1/61, 2: 1/61, 3: 1/62 + 1/60
        #expect(
            Self.text(Fusion.rrf(k: 60, weights: nil).fused([Self.first, Self.second])) == [
                "1 0.0331", "3 0.0328", "2 0.0164",
            ])
    }

    @Test func weightsStretchPositions() {
        // With weight w a position p counts as (p + 1) / w - 1. 1: 1/(1/3 + 1) + 1/3, 2: 1/(2/3 + 1), 3: 1/(3/3 + 1) + 1/2
        #expect(
            Self.text(Fusion.rrf(k: 2, weights: [3, 1]).fused([Self.first, Self.second])) == [
                "1 1.0833", "3 1.0", "2 0.6",
            ])
        #expect(
            Self.text(Fusion.rrf(k: 2, weights: [0, 1]).fused([Self.first, Self.second])) == [
                "3 0.5", "1 0.3333", "2 0.0",
            ])
    }

    @Test func scoreFusionPutsListsOnOneScale() {
        // First list: mean 6, deviation 4.3589; second: mean 0.375, deviation 0.1768.
        #expect(
            Self.text(Fusion.dbsf.fused([Self.first, Self.second])) == ["1 0.9969", "3 0.9267", "2 0.5765"])
        #expect(Self.text(Fusion.dbsf.fused([Self.list([(4, 7)]), []])) == ["4 0.5"])
        #expect(Self.text(Fusion.dbsf.fused([Self.list([(4, 7), (5, 7)])])) == ["4 0.5", "5 0.5"])
    }

    @Test func equalScoresKeepTheOrderInWhichTheyCame() {
        let fused = Fusion.rrf(k: 2, weights: nil).fused([Self.list([(5, 1), (6, 1)]), Self.list([(6, 1), (5, 1)])])
        #expect(fused.map(\.slot) == [5, 6])
    }
}

/// Queries with prefetches.
struct CollectionQueryTests {
    let folder: StoreFolder
    let store: EmbeddedStore
    init() async throws {
        folder = try StoreFolder()
        store = try folder.open()
        try await store.createCollection("c", SparseVectorTests.hybrid(idf: false))
        try await store.write([
            .hybrid(1, dense: [1, 0], sparse: [1: 1], ["odd": true]), .hybrid(2, dense: [0.9, 0.1], sparse: [2: 1]),
            .hybrid(3, dense: [0.5, 0.5], sparse: [1: 3, 2: 1], ["odd": true]), .hybrid(4, dense: [0, 1]),
            .hybrid(5, sparse: [1: 2], ["odd": true]),
        ])
    }
    private static let semantic = Prefetch(query: .near([1, 0]), using: "text")
    private static let lexical = Prefetch(query: .near([1: 1]), using: "lexical")
    private func ids(_ request: QueryRequest) async throws -> [UInt64] {
        try await store.query(request, in: "c").map(\.id.low)
    }
    private let odd = Filter(must: [.field(PayloadPath("odd")!, .equals(.bool(true)))])

    @Test func twoSearchesAreFused() async throws {
        var request = QueryRequest(
            prefetch: [Self.semantic, Self.lexical], query: .fusion(.rrf(k: 2, weights: nil)))
        // By text: 1 2 3 4. By lexical: 3 5 1.
        let found = try await store.query(request, in: "c")
        #expect(found.map(\.id.low) == [1, 3, 2, 5, 4])
        let third: Float = 1 / 3
        #expect(found.map { $0.score ?? .nan } == [0.75, 0.75, third, third, 0.2])
        request.offset = 1
        request.limit = 2
        #expect(try await ids(request) == [3, 2])
        request.scoreThreshold = 0.5
        #expect(try await ids(request) == [3])
    }

    @Test func theFilterOfALevelHoldsForAllBelowIt() async throws {
        var short = Self.semantic
        short.limit = 2
        var request = QueryRequest(prefetch: [short, Self.lexical], query: .fusion(.rrf(k: 2, weights: nil)))
        request.filter = odd
        // By text with the filter: 1 3, though only 1 is among the first two without it.
        #expect(try await ids(request) == [3, 1, 5])
    }

    @Test func theOuterQueryScoresAgainWhatThePrefetchesFound() async throws {
        var request = QueryRequest(prefetch: [Self.lexical], query: .near([0, 1]), using: "text")
        #expect(try await ids(request) == [3, 1])
        request.prefetch = [
            Prefetch(
                prefetch: [Prefetch(query: .near([1, 0]), using: "text", limit: 3)], query: .near([2: 1]),
                using: "lexical")
        ]
        #expect(try await ids(request) == [3, 2])
        request.query = .sample
        #expect(Set(try await ids(request)) == [2, 3])
        request.prefetch = [Prefetch(query: .near([9: 1]), using: "lexical")]
        #expect(try await ids(request).isEmpty)
        // An offset reaches the prefetch: one of the two nearest is left out, whichever.
        request.prefetch = [Prefetch(query: .near([1, 0]), using: "text", limit: 1)]
        request.offset = 1
        let drawn = try await ids(request)
        #expect(drawn == [1] || drawn == [2])
    }

    @Test func aQueryByIDLeavesThePointOut() async throws {
        let near = Query.nearest(.point(PointID(number: 3)))
        #expect(try await ids(QueryRequest(query: near, using: "lexical")) == [5, 1, 2])
        let request = QueryRequest(
            prefetch: [Prefetch(query: near, using: "lexical"), Self.semantic], query: near, using: "text")
        #expect(try await ids(request) == [1, 2, 4])
        await #expect(throws: StoreError.pointNotFound(PointID(number: 9))) {
            try await ids(QueryRequest(query: .nearest(.point(PointID(number: 9))), using: "text"))
        }
        await #expect(throws: StoreError.wrongInput("Vector with name lexical for point with id 4 not found")) {
            try await ids(QueryRequest(query: .nearest(.point(PointID(number: 4))), using: "lexical"))
        }
    }

    @Test func queriesByExamplesScoreEachPointByAllOfThem() async throws {
        func found(_ query: Query, using: String = "text") async throws -> [String] {
            try await store.query(QueryRequest(query: query, using: using), in: "c").map {
                "\($0.id) \((Double($0.score ?? .nan) * 1000).rounded() / 1000)"
            }
        }
        let (right, up) = (VectorTarget.values(.dense([1, 0])), VectorTarget.values(.dense([0, 1])))
        let (one, four) = (VectorTarget.point(PointID(number: 1)), VectorTarget.point(PointID(number: 4)))
        // The mean of (1, 0) and (0, 1), twice, without (1, 0).
        #expect(
            try await found(.recommend(positive: [right, up], negative: [one], .averageVector))
                == ["4 1.0", "3 0.5", "2 0.1"])
        // 0.5 (s / (1 + |s|) + 1) of the better similarity, or the negative of it.
        #expect(
            try await found(.recommend(positive: [right], negative: [up], .bestScore))
                == ["1 0.75", "2 0.737", "3 -0.667", "4 -0.75"])
        #expect(
            try await found(.recommend(positive: [right], negative: [up], .sumScores))
                == ["1 1.0", "2 0.8", "3 0.0", "4 -1.0"])
        #expect(
            try await found(.discover(target: right, context: [ContextPair(positive: up, negative: right)]))
                == ["4 1.5", "3 0.667", "1 -0.25", "2 -0.263"])
        #expect(
            try await found(.context([ContextPair(positive: one, negative: four)])) == ["2 0.0", "3 -0.0"])
        #expect(
            try await found(.diverse(right, diversity: 0.9, candidates: nil)) == ["1 1.0", "4 0.0", "3 0.5", "2 0.9"])
        // What shares nothing with an example is not like it at all.
        let word = VectorTarget.values(.sparse(SparseVector([2: 1])))
        #expect(
            try await found(.recommend(positive: [word], negative: [], .sumScores), using: "lexical")
                == ["2 1.0", "3 1.0", "1 0.0", "5 0.0"])
        let both: [UInt32: Float] = [1: 1, 2: 1]
        let diverse = Query.diverse(.values(.sparse(SparseVector(both))), diversity: 0.5, candidates: 4)
        #expect(try await found(diverse, using: "lexical") == ["3 4.0", "2 1.0", "1 1.0", "5 2.0"])
    }

    @Test func aFormulaScoresWhatThePrefetchesFound() async throws {
        func found(_ formula: JSONValue, defaults: JSONObject = [:]) async throws -> [String] {
            let formula = try Formula(["formula": formula, "defaults": .object(defaults)])
            let request = QueryRequest(prefetch: [Self.semantic, Self.lexical], query: .formula(formula))
            return try await store.query(request, in: "c").map { "\($0.id) \($0.score ?? .nan)" }
        }
        // By text: 1, 0.9, 0.5, 0. By lexical: 3 of point 3, 2 of 5, 1 of 1.
        let odd: JSONValue = ["key": "odd", "match": ["value": true]]
        let sum: JSONValue = ["sum": ["$score[0]", ["mult": [2, "$score[1]"]], odd]]
        #expect(try await found(sum) == ["3 7.5", "5 5.0", "1 4.0", "2 0.9", "4 0.0"])
        #expect(
            try await found(["max": ["$score", "$score[7]"]], defaults: ["$score[7]": 0.75])
                == ["1 1.0", "2 0.9", "3 0.75", "4 0.75", "5 0.75"])
        await #expect(throws: StoreError.wrongInput("No value found for price in the payload nor the formula defaults"))
        {
            try await found("price")
        }
        #expect(try await found(["neg": "price"], defaults: ["price": 2]).count == 5)
        await #expect(throws: StoreError.wrongInput("The expression 1.0/0.0 produced a non-finite number")) {
            try await found(["div": ["left": 1, "right": "$score[9]"]])
        }
        #expect(try await found(["div": ["left": 1, "right": 0, "by_zero_default": 3]])[0] == "1 3.0")
        for bad: JSONValue in [
            nil, ["max": []], "$score[x]", ["exp_decay": ["x": 1, "midpoint": 1]], ["what": 1],
        ] {
            #expect(throws: (any Error).self) { try Formula(["formula": bad]) }
        }
    }

    @Test func aThresholdLeavesEqualScoresOut() async throws {
        var request = QueryRequest(query: .near([1: 1]), using: "lexical")
        request.scoreThreshold = 1
        #expect(try await ids(request) == [3, 5])
        request = QueryRequest(query: .near([1, 0]), using: "text")
        request.scoreThreshold = 0.5
        #expect(try await ids(request) == [1, 2])
    }

    @Test func withoutAQueryPointsComeByID() async throws {
        var request = QueryRequest()
        request.offset = 1
        request.limit = 2
        #expect(try await store.query(request, in: "c").map { "\($0.id) \($0.score ?? 0)" } == ["2 1.0", "3 1.0"])
        request.limit = .max
        #expect(try await ids(request) == [2, 3, 4, 5])
    }

    @Test func whatCannotBeIsRefusedInWords() async throws {
        await #expect(throws: StoreError.wrongInput("Not existing vector name error: none")) {
            try await ids(QueryRequest(query: .near([1, 0]), using: "none"))
        }
        await #expect(throws: StoreError.self) {
            try await ids(QueryRequest(query: .fusion(.dbsf)))
        }
        await #expect(throws: StoreError.self) { try await ids(QueryRequest(prefetch: [Self.lexical])) }
        await #expect(throws: StoreError.self) {
            try await ids(QueryRequest(query: .near([1, 0]), using: "lexical"))
        }
    }
}
