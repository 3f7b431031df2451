import FastJSON
import Foundation
import HTTPClient
import ServiceRuntime
import Testing
import WireProtocol

@testable import Indexer

/// What every vector store does: the embedded one, `QdrantStore` over another indexer's REST surface, and over a real Qdrant when
/// `QDRANT_URL` says where one is.
struct VectorStoreTests {
    @Test(arguments: StoreKind.all)
    func aCollectionIsMadeShownChangedAndDeleted(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            let request: JSONObject = [
                "vectors": ["text": ["size": 4, "distance": "Cosine"], "image": ["size": 2, "distance": "Euclid"]],
                "sparse_vectors": ["lexical": ["modifier": "idf"]], "metadata": ["owner": "shop"],
            ]
            try await store.createCollection(name("c"), try CollectionConfiguration(request: request))
            #expect(try await store.collectionNames().contains(name("c")))
            let made = try await store.collection(name("c"))
            #expect(made.name == name("c") && made.points == 0 && made.payloadSchema.isEmpty)
            #expect(made.configuration.vectors.map(\.name) == ["image", "text"])
            #expect(made.configuration.vectors.map(\.size) == [2, 4])
            #expect(made.configuration.vectors.map(\.distance) == [.euclid, .cosine])
            #expect(made.configuration.sparseVectors.map { "\($0.name) \($0.idf)" } == ["lexical true"])
            #expect(made.configuration.request["metadata"]?["owner"] == "shop")
            try await store.updateCollection(name("c"), ["metadata": ["season": "summer"]])
            let metadata = try await store.collection(name("c")).configuration.request["metadata"]
            #expect(metadata?["owner"] == "shop" && metadata?["season"] == "summer")
            await #expect(throws: StoreError.collectionExists(name("c"))) {
                try await store.createCollection(name("c"), try CollectionConfiguration(request: request))
            }
            #expect(try await store.deleteCollection(name("c")))
            #expect(try await !store.deleteCollection(name("c")))
            #expect(try await !store.collectionNames().contains(name("c")))
        }
    }

    @Test(arguments: StoreKind.all)
    func whatIsNotThereIsNotFound(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            let missing = StoreError.collectionNotFound(name("c"))
            await #expect(throws: missing) { _ = try await store.collection(name("c")) }
            await #expect(throws: missing) { _ = try await store.count(nil, in: name("c")) }
            await #expect(throws: missing) { _ = try await store.scroll(ScrollRequest(), in: name("c")) }
            await #expect(throws: missing) {
                _ = try await store.retrieve([PointID(number: 1)], from: name("c"), fields: PointFields())
            }
            await #expect(throws: missing) {
                _ = try await store.apply(.changes([.upsert(1, [1])]), to: name("c"), wait: true)
            }
            await #expect(throws: missing) {
                let query = QueryRequest(query: .nearest(.values(.dense([1]))))
                _ = try await store.query(query, in: name("c"))
            }
            try await store.createCollection(name("d"), .unnamed(1))
            #expect(try await store.retrieve([PointID(number: 1)], from: name("d"), fields: PointFields()).isEmpty)
            await #expect(throws: StoreError.self) {
                _ = try await store.query(QueryRequest(query: .nearest(.point(PointID(number: 9)))), in: name("d"))
            }
        }
    }

    @Test(arguments: StoreKind.all)
    func anIncarnationTellsACollectionFromAnotherOfItsName(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            try await store.createCollection(name("c"), .unnamed(1))
            let first = try await store.collection(name("c")).incarnation
            _ = try await store.apply(.changes([.upsert(1, [1])]), to: name("c"), wait: true)
            try await store.updateCollection(name("c"), ["metadata": ["a": 1]])
            #expect(try await store.collection(name("c")).incarnation == first)
            _ = try await store.deleteCollection(name("c"))
            try await store.createCollection(name("c"), .unnamed(1))
            #expect(try await store.collection(name("c")).incarnation != first)
        }
    }

    @Test(arguments: StoreKind.all)
    func anAliasStandsForItsCollection(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            for (collection, id) in [("one", 1), ("two", 2)] {
                try await store.createCollection(name(collection), .unnamed(1))
                _ = try await store.apply(.changes([.upsert(UInt64(id), [1])]), to: name(collection), wait: true)
            }
            func mine() async throws -> [String] {
                try await store.aliases().filter { $0.alias.hasPrefix(name("")) }
                    .map { "\($0.alias.dropFirst(name("").count)) \($0.collection.dropFirst(name("").count))" }
            }
            func found() async throws -> [UInt64] {
                try await store.scroll(ScrollRequest(), in: name("shop")).points.map(\.id.low)
            }
            try await store.changeAliases([.create(alias: name("shop"), collection: name("one"))])
            #expect(try await mine() == ["shop one"])
            #expect(try await store.collection(name("shop")).name == name("one"))
            #expect(try await found() == [1])
            try await store.changeAliases([
                .delete(alias: name("shop")), .create(alias: name("shop"), collection: name("two")),
            ])
            #expect(try await found() == [2])
            try await store.changeAliases([.rename(from: name("shop"), to: name("store"))])
            #expect(try await mine() == ["store two"])
            await #expect(throws: StoreError.self) {
                try await store.changeAliases([.create(alias: name("x"), collection: name("none"))])
            }
            try await store.changeAliases([.delete(alias: name("store"))])
            #expect(try await mine().isEmpty)
        }
    }

    // MARK: - Writes

    @Test(arguments: StoreKind.all)
    func aChangedPointKeepsWhatTheChangeDoesNotName(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            try await store.createCollection(name("c"), try .shop())
            let points = Points(store, name("c"))
            let uuid = PointID(uuidHigh: 5, low: 6)
            func write(_ changes: PointChange...) async throws -> [Int] {
                try await store.apply(.changes(changes), to: name("c"), wait: true).missing
            }
            _ = try await write(
                .shop(PointID(number: 1), text: [3, 4], lexical: [7: 0.5, 9: 1.25], ["a": 1, "b": ["x", .null]]),
                .shop(uuid, text: [0, 1], image: [1, 2, 3], [:]))
            #expect(
                try await points.all == [
                    #"1 {"a":1,"b":["x",null]} lexical 7:0.5 9:1.25 text 0.6 0.8"#,
                    "\(uuid) {} image 1.0 2.0 3.0 text 0.0 1.0",
                ])
            _ = try await write(PointChange(id: PointID(number: 1), effect: .payload(Array(#"{"c":2.5}"#.utf8))))
            #expect(try await points.one(1) == #"1 {"c":2.5} lexical 7:0.5 9:1.25 text 0.6 0.8"#)
            _ = try await write(
                PointChange(
                    id: PointID(number: 1),
                    effect: .vectors([PlacedVector(position: 0, values: .dense([9, 8, 7]))])))
            #expect(try await points.one(1) == #"1 {"c":2.5} image 9.0 8.0 7.0 lexical 7:0.5 9:1.25 text 0.6 0.8"#)
            _ = try await write(PointChange(id: PointID(number: 1), effect: .dropVectors(0b110)))
            #expect(try await points.one(1) == #"1 {"c":2.5} image 9.0 8.0 7.0"#)
            // An upsert replaces the whole point.
            _ = try await write(.shop(PointID(number: 1), text: [1, 0], ["d": true]))
            #expect(try await points.one(1) == #"1 {"d":true} text 1.0 0.0"#)
            // Of one request: what needs a point that is not there is told, the rest is done in order.
            let missing = try await write(
                PointChange(id: PointID(number: 7), effect: .payload(Array("{}".utf8))),
                .shop(PointID(number: 8), text: [1, 0], [:]),
                PointChange(id: PointID(number: 8), effect: .payload(Array(#"{"late":1}"#.utf8))), .delete(1),
                PointChange(id: PointID(number: 1), effect: .dropVectors(1)))
            #expect(missing == [0, 4])
            #expect(try await points.one(8) == #"8 {"late":1} text 1.0 0.0"#)
            #expect(try await points.one(1) == nil)
            #expect(try await store.count(nil, in: name("c")) == 2)
        }
    }

    @Test(arguments: StoreKind.all)
    func oneChangeOfAllThatIsSelected(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            try await store.createCollection(name("c"), try .shop())
            let points = Points(store, name("c"))
            let ids = (1...4).map { PointID(number: $0) }
            func change(_ selection: PointSelection, _ change: SelectedChange) async throws {
                _ = try await store.apply(.selected(selection, change), to: name("c"), wait: true)
            }
            _ = try await store.apply(
                .changes(ids.map { .shop($0, text: [1, 0], image: [1, 1, 1], ["n": .integer(Int64($0.low))]) }),
                to: name("c"), wait: true)
            let odd = try Filter(["must": [["key": "n", "match": ["any": [1, 3]]]]])
            try await change(.ids([ids[0]]), .setPayload(["a": ["b": 1]]))
            try await change(.filter(odd), .setPayload(["c": 2], key: PayloadPath("a")))
            #expect(try await points.one(1)?.hasPrefix(#"1 {"a":{"b":1,"c":2},"n":1} "#) == true)
            #expect(try await points.one(3)?.hasPrefix(#"3 {"a":{"c":2},"n":3} "#) == true)
            try await change(.ids([ids[0]]), .deletePayloadKeys([try #require(PayloadPath("a.b"))]))
            try await change(.ids([ids[1]]), .overwritePayload(["only": "this"]))
            try await change(.ids([ids[3]]), .clearPayload)
            try await change(.filter(odd), .deleteVectors(["image"]))
            #expect(
                try await points.all == [
                    #"1 {"a":{"c":2},"n":1} text 1.0 0.0"#,
                    #"2 {"only":"this"} image 1.0 1.0 1.0 text 1.0 0.0"#,
                    #"3 {"a":{"c":2},"n":3} text 1.0 0.0"#, #"4 {} image 1.0 1.0 1.0 text 1.0 0.0"#,
                ])
            try await change(.filter(odd), .delete)
            try await change(.ids([ids[3], PointID(number: 99)]), .delete)
            #expect(try await points.all == [#"2 {"only":"this"} image 1.0 1.0 1.0 text 1.0 0.0"#])
            _ = try await store.apply(
                .batch([
                    .changes([.shop(ids[0], text: [0, 1], ["n": 1])]), .selected(.ids([ids[0]]), .setPayload(["m": 2])),
                    .selected(.ids([ids[1]]), .delete),
                ]), to: name("c"), wait: true)
            #expect(try await points.all == [#"1 {"m":2,"n":1} text 0.0 1.0"#])
        }
    }

    @Test(arguments: StoreKind.all)
    func anUpsertCanHaveACondition(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            try await store.createCollection(name("c"), .unnamed(1))
            let points = Points(store, name("c"))
            func write(_ onlyIf: JSONValue? = nil, _ mode: UpsertMode = .upsert, _ changes: PointChange...) async throws
            {
                _ = try await store.apply(
                    .changes(changes, onlyIf: try onlyIf.map { try Filter($0) }, mode: mode), to: name("c"), wait: true)
            }
            try await write(nil, .upsert, .upsert(1, [1], ["v": 1]), .upsert(2, [1], ["v": 2]))
            let older: JSONValue = ["must": [["key": "v", "range": ["lt": 2]]]]
            try await write(
                older, .upsert, .upsert(1, [3], ["v": 3]), .upsert(2, [3], ["v": 3]), .upsert(3, [3], ["v": 3]))
            #expect(try await points.all == [#"1 {"v":3} 3.0"#, #"2 {"v":2} 1.0"#, #"3 {"v":3} 3.0"#])
            try await write(nil, .insertOnly, .upsert(1, [4], ["v": 4]), .upsert(4, [4], ["v": 4]))
            #expect(
                try await points.all == [#"1 {"v":3} 3.0"#, #"2 {"v":2} 1.0"#, #"3 {"v":3} 3.0"#, #"4 {"v":4} 4.0"#])
            try await write(nil, .updateOnly, .upsert(1, [5], ["v": 5]), .upsert(5, [5], ["v": 5]))
            #expect(
                try await points.all == [#"1 {"v":5} 5.0"#, #"2 {"v":2} 1.0"#, #"3 {"v":3} 3.0"#, #"4 {"v":4} 4.0"#])
        }
    }

    @Test(arguments: StoreKind.all)
    func whatDoesNotFitIsRefusedAndNothingOfItIsStored(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            try await store.createCollection(name("c"), .unnamed(2))
            _ = try await store.apply(.changes([.upsert(1, [1, 2])]), to: name("c"), wait: true)
            for wait in [true, false] {
                await #expect(throws: StoreError.self) {
                    _ = try await store.apply(
                        .changes([.upsert(2, [1, 2]), .upsert(3, [1, 2, 3])]), to: name("c"), wait: wait)
                }
            }
            await #expect(throws: StoreError.self) {
                _ = try await store.query(QueryRequest(query: .nearest(.values(.dense([1])))), in: name("c"))
            }
            await #expect(throws: StoreError.self) {
                _ = try await store.query(
                    QueryRequest(query: .nearest(.values(.dense([1, 2]))), using: "x"), in: name("c"))
            }
            #expect(try await store.count(nil, in: name("c")) == 1)
        }
    }

    @Test(arguments: StoreKind.all)
    func aLongRequestIsStoredWhole(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            try await store.createCollection(name("c"), .unnamed(16, .cosine))
            var numbers = Numbers(11)
            let changes = (0..<3000).map { number in
                PointChange.upsert(
                    UInt64(number), numbers.vector(16), ["n": .integer(Int64(number)), "text": "a \"cup\"\n\u{1F600}"])
            }
            let outcome = try await store.apply(.changes(changes), to: name("c"), wait: true)
            #expect(outcome.missing.isEmpty)
            #expect(try await store.count(nil, in: name("c")) == 3000)
            _ = try await store.apply(.changes((0..<1500).map { .delete($0) }), to: name("c"), wait: true)
            #expect(try await store.count(nil, in: name("c")) == 1500)
            let page = try await store.scroll(ScrollRequest(limit: 1), in: name("c")).points
            #expect(page.map(\.id) == [PointID(number: 1500)])
            #expect(try JSONReader.parse(page[0].payload ?? []) == ["n": 1500, "text": "a \"cup\"\n\u{1F600}"])
        }
    }

    // MARK: - Reads

    @Test(arguments: StoreKind.all)
    func findsTheNearestByEachDistance(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            for distance in Distance.allCases {
                try await store.createCollection(name(distance.rawValue), .unnamed(2, distance))
                _ = try await store.apply(
                    .changes([.upsert(1, [1, 0], ["k": "a"]), .upsert(2, [0, 2], ["k": "b"]), .upsert(3, [3, 3])]),
                    to: name(distance.rawValue), wait: true)
            }
            func nearest(_ distance: Distance, _ change: (inout QueryRequest) -> Void = { _ in }) async throws
                -> [String]
            {
                var query = QueryRequest(query: .nearest(.values(.dense([1, 0.1]))), limit: 3)
                change(&query)
                return try await store.query(query, in: name(distance.rawValue))
                    .map { "\($0.id) \((Double($0.score ?? 0) * 1000).rounded() / 1000)" }
            }
            #expect(try await nearest(.cosine) == ["1 0.995", "3 0.774", "2 0.1"])
            #expect(try await nearest(.dot) == ["3 3.3", "1 1.0", "2 0.2"])
            #expect(try await nearest(.euclid) == ["1 0.1", "2 2.147", "3 3.523"])
            #expect(try await nearest(.manhattan) == ["1 0.1", "2 2.9", "3 4.9"])
            #expect(try await nearest(.cosine) { $0.offset = 1 } == ["3 0.774", "2 0.1"])
            #expect(try await nearest(.cosine) { $0.limit = 1 } == ["1 0.995"])
            #expect(try await nearest(.cosine) { $0.scoreThreshold = 0.5 } == ["1 0.995", "3 0.774"])
            #expect(try await nearest(.euclid) { $0.scoreThreshold = 3 } == ["1 0.1", "2 2.147"])
            #expect(try await nearest(.dot) { $0.exact = true } == ["3 3.3", "1 1.0", "2 0.2"])
            #expect(
                try await nearest(.cosine) { $0.query = .nearest(.point(PointID(number: 3))) }.map { $0.prefix(1) }
                    .sorted() == ["1", "2"])
            let filter = try Filter(["must": [["key": "k", "match": ["value": "b"]]]])
            #expect(try await nearest(.cosine) { $0.filter = filter } == ["2 0.1"])
            let fields = PointFields(payload: .including([try #require(PayloadPath("k"))]), vectors: .all)
            let found = try await store.query(
                QueryRequest(query: .nearest(.values(.dense([1, 0]))), limit: 1, fields: fields), in: name("Dot"))
            #expect(found.first?.payload == Array("{}".utf8) && found.first?.vectors?.first?.values == .dense([3, 3]))
            // Without a query: by id.
            #expect(try await nearest(.dot) { $0.query = nil }.map { $0.prefix(1) } == ["1", "2", "3"])
        }
    }

    @Test(arguments: StoreKind.all)
    func sparseAndHybridQueriesRankAlike(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            try await store.createCollection(name("c"), try .shop())
            let points: [(UInt64, [Float], [UInt32: Float])] = [
                (1, [1, 0], [1: 1, 2: 1]), (2, [0.9, 0.1], [2: 2]), (3, [0.5, 0.5], [2: 1, 3: 1]),
                (4, [0.1, 0.9], [4: 3]), (5, [0, 1], [1: 0.5, 4: 1]),
            ]
            _ = try await store.apply(
                .changes(points.map { .shop(PointID(number: $0), text: $1, lexical: $2, ["n": .integer(Int64($0))]) }),
                to: name("c"), wait: true)
            func ask(_ query: QueryRequest) async throws -> [String] {
                try await store.query(query, in: name("c")).map {
                    "\($0.id) \((Double($0.score ?? 0) * 1000).rounded() / 1000)"
                }
            }
            let terms = SparseVector(indices: [2, 4], values: [1, 1])
            let lexical = Query.nearest(.values(.sparse(terms)))
            // idf of a term in 3 of 5 points: ln(1 + 2.5 / 3.5), in 2 of 5: ln(1 + 3.5 / 2.5)
            #expect(
                try await ask(QueryRequest(query: lexical, using: "lexical"))
                    == ["4 2.626", "2 1.078", "5 0.875", "1 0.539", "3 0.539"])
            let dense = Query.nearest(.values(.dense([1, 0])))
            let both = [
                Prefetch(query: dense, using: "text", limit: 3), Prefetch(query: lexical, using: "lexical", limit: 3),
            ]
            let ranked = try await ask(QueryRequest(prefetch: both, query: .fusion(.rrf(k: 2, weights: nil))))
            // Points of one score have no order.
            #expect(ranked.first == "2 0.667")
            #expect(ranked.sorted() == ["1 0.5", "2 0.667", "3 0.25", "4 0.5", "5 0.25"])
            let fused = try await ask(QueryRequest(prefetch: both, query: .fusion(.dbsf), limit: 2))
            #expect(fused.count == 2)
            // A nested prefetch is ranked again by the outer vector.
            let narrowed = QueryRequest(
                prefetch: [Prefetch(query: lexical, using: "lexical", limit: 2)], query: dense, using: "text")
            #expect(try await ask(narrowed).map { $0.prefix(1) } == ["2", "4"])
            let filter = try Filter(["must": [["key": "n", "range": ["gte": 4]]]])
            let filtered = QueryRequest(
                prefetch: [Prefetch(query: dense, using: "text", filter: filter, limit: 5)],
                query: .fusion(.rrf(k: 2, weights: nil)))
            #expect(try await ask(filtered).map { $0.prefix(1) } == ["4", "5"])
            #expect(Set(try await ask(QueryRequest(query: .sample, limit: 5))).count == 5)
        }
    }

    static let filters: [(JSONValue, [UInt64])] = [
        (["must": [["key": "brand", "match": ["value": "acme"]]]], [0, 3, 6, 9]),
        (["must_not": [["key": "brand", "match": ["value": "acme"]]]], [1, 2, 4, 5, 7, 8]),
        (["should": [["key": "n", "range": ["lt": 2]], ["key": "n", "range": ["gte": 9]]]], [0, 1, 9]),
        (["must": [["key": "tags", "match": ["any": ["t1", "t4"]]]]], [1, 4, 6, 9]),
        (["must": [["key": "brand", "match": ["except": ["acme", "zeta"]]]]], [1, 4, 7]),
        (["must": [["is_empty": ["key": "maybe"]]]], [1, 3, 5, 7, 9]),
        (["must": [["is_null": ["key": "maybe"]]]], [1, 3, 5, 7, 9]),
        (["must": [["key": "tags", "values_count": ["gte": 2]]]], [0, 1, 2, 3, 4]),
        (["must": [["has_id": [2, 3, 77]]]], [2, 3]),
        (["must": [["key": "made", "range": ["gte": "2024-01-08T00:00:00Z"]]]], [7, 8, 9]),
        (
            [
                "min_should": [
                    "conditions": [["key": "n", "range": ["gt": 5]], ["key": "brand", "match": ["value": "acme"]]],
                    "min_count": 2,
                ]
            ], [6, 9]
        ),
        (
            [
                "must": [
                    [
                        "must": [["key": "size.width", "range": ["gt": 3.5]]],
                        "must_not": [["key": "n", "match": ["value": 5]]],
                    ]
                ]
            ], [4, 6, 7, 8, 9]
        ),
    ]
    @Test(arguments: StoreKind.all)
    func aFilterMeansTheSame(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            try await Self.shop(store, name("c"))
            for (json, expected) in Self.filters {
                let filter = try Filter(json)
                let found = try await store.scroll(ScrollRequest(filter: filter, limit: 50), in: name("c")).points
                #expect(found.map(\.id.low) == expected, "\(json.serialized)")
                #expect(try await store.count(filter, in: name("c")) == expected.count, "\(json.serialized)")
            }
        }
    }

    @Test(arguments: StoreKind.all)
    func pagesHaveEveryPointOnce(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            try await Self.shop(store, name("c"))
            _ = try await store.apply(
                .changes([
                    PointChange(
                        id: PointID(uuidHigh: 1, low: 2), effect: .upsert(vectors: [], payload: Array("{}".utf8)))
                ]), to: name("c"), wait: true)
            var (request, pages) = (ScrollRequest(limit: 4), [[PointID]]())
            repeat {
                let page = try await store.scroll(request, in: name("c"))
                pages.append(page.points.map(\.id))
                request.offset = page.next
            } while request.offset != nil
            #expect(pages.map(\.count) == [4, 4, 3])
            #expect(pages.joined().map(\.text) == (0..<10).map(String.init) + [PointID(uuidHigh: 1, low: 2).text])
            let fields = PointFields(
                payload: .excluding(["tags", "maybe", "made", "size"].compactMap { PayloadPath($0) }),
                vectors: .named(["text"]))
            let one = try await store.retrieve(
                [PointID(number: 3), PointID(number: 99)], from: name("c"), fields: fields)
            #expect(one.count == 1 && one[0].vectors?.map(\.name) == ["text"])
            #expect(try JSONReader.parse(one[0].payload ?? []) == ["brand": "acme", "n": 3])
        }
    }

    @Test(arguments: StoreKind.all)
    func pointsAreOrderedAndCountedByTheirPayload(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            try await Self.shop(store, name("c"))
            // A real Qdrant does these only over an index.
            for (field, type) in [("n", "integer"), ("brand", "keyword")] {
                _ = try await store.setPayloadSchema(field, ["data_type": .string(type)], in: name("c"))
            }
            #expect(try await store.collection(name("c")).payloadSchema["brand"]?["data_type"] == "keyword")
            let path = try #require(PayloadPath("n"))
            func ordered(_ order: OrderBy) async throws -> [UInt64] {
                try await store.scroll(ScrollRequest(limit: 3, orderBy: order), in: name("c")).points.map(\.id.low)
            }
            #expect(try await ordered(OrderBy(key: path)) == [0, 1, 2])
            #expect(try await ordered(OrderBy(key: path, descending: true)) == [9, 8, 7])
            #expect(try await ordered(OrderBy(key: path, startFrom: 5)) == [5, 6, 7])
            let best = try await store.query(
                QueryRequest(query: .orderBy(OrderBy(key: path, descending: true)), limit: 2), in: name("c"))
            #expect(best.map(\.id.low) == [9, 8])

            let brand = try #require(PayloadPath("brand"))
            let hits = try await store.facet(FacetRequest(key: brand, exact: true), in: name("c"))
            #expect(hits.map { "\($0.value.text) \($0.count)" } == ["acme 4", "brio 3", "zeta 3"])
            let few = FacetRequest(
                key: brand, filter: try Filter(["must": [["key": "n", "range": ["lt": 4]]]]), limit: 1, exact: true)
            #expect(try await store.facet(few, in: name("c")).map { "\($0.value.text) \($0.count)" } == ["acme 2"])

            _ = try await store.setPayloadSchema("brand", nil, in: name("c"))
            #expect(try await store.collection(name("c")).payloadSchema["brand"] == nil)
        }
    }

    @Test(arguments: StoreKind.all)
    func theNearestAreGroupedByTheirPayload(kind: StoreKind) async throws {
        try await kind.withStore { store, name in
            try await Self.shop(store, name("c"))
            let brand = try #require(PayloadPath("brand"))
            let query = QueryRequest(query: .nearest(.values(.dense([1, 0]))), using: "text")
            let groups = try await store.queryGroups(
                GroupsRequest(query: query, groupBy: brand, groupSize: 2, groups: 2), in: name("c"))
            #expect(
                groups.map { "\($0.id.text) \($0.points.map(\.id.text))" } == [
                    #"acme ["0", "3"]"#, #"brio ["1", "4"]"#,
                ])
        }
    }

    /// Ten products: the smaller the number, the nearer to [1, 0].
    private static func shop(_ store: any VectorStore, _ collection: String) async throws {
        try await store.createCollection(collection, try .shop())
        let changes = (0..<10).map { number -> PointChange in
            let payload: JSONValue = [
                "brand": .string(["acme", "brio", "zeta"][number % 3]), "n": .integer(Int64(number)),
                "tags": .array([.string("t\(number % 5)")] + (number < 5 ? ["few"] : [])),
                "maybe": number % 2 == 0 ? "yes" : .null, "size": ["width": .number(Double(number) * 0.9 + 0.2)],
                "made": .string("2024-01-0\(number + 1)T00:00:00Z".replacing("010T", with: "10T")),
            ]
            return .shop(PointID(number: UInt64(number)), text: [10 - Float(number), Float(number)], payload)
        }
        _ = try await store.apply(.changes(changes), to: collection, wait: true)
    }
}

enum StoreKind: String, CaseIterable, CustomTestStringConvertible {
    case embedded
    /// `QdrantStore` over the REST surface of an embedded store.
    case rest
    /// `QdrantStore` over the Qdrant at `QDRANT_URL`.
    case qdrant

    static var all: [StoreKind] {
        ProcessInfo.processInfo.environment["QDRANT_URL"] == nil ? [.embedded, .rest] : allCases
    }
    var testDescription: String { rawValue }

    /// `name` makes names that no other test has.
    func withStore(_ body: (any VectorStore, (String) -> String) async throws -> Void) async throws {
        switch self {
        case .embedded:
            let folder = try StoreFolder()
            try await body(try folder.open()) { $0 }
        case .rest:
            let played = try await PlayedQdrant()
            // Small bodies: a request of some size is cut.
            try await body(QdrantStore(qdrant: played.connection, bodyBytes: 64 << 10)) { $0 }
        case .qdrant:
            let environment = ProcessInfo.processInfo.environment
            let connection = QdrantConnection(
                url: environment["QDRANT_URL"] ?? "", client: HTTPClient(log: .silent),
                apiKey: environment["QDRANT_API_KEY"])
            let store = QdrantStore(qdrant: connection, bodyBytes: 64 << 10)
            let prefix = "test-\(UUID().uuidString.prefix(8))-"
            let result = await Result { try await body(store) { prefix + $0 } }
            for name in try await store.collectionNames() where name.hasPrefix(prefix) {
                _ = try await store.deleteCollection(name)
            }
            try result.get()
        }
    }
}

extension Result where Failure == any Error {
    fileprivate init(_ body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}

extension CollectionConfiguration {
    /// Two dense vectors and one of term weights: positions 0, 1, 2.
    fileprivate static func shop() throws -> CollectionConfiguration {
        let request: JSONObject = [
            "vectors": ["image": ["size": 3, "distance": "Dot"], "text": ["size": 2, "distance": "Cosine"]],
            "sparse_vectors": ["lexical": ["modifier": "idf"]],
        ]
        return try CollectionConfiguration(request: request)
    }
}

extension PointChange {
    fileprivate static func shop(
        _ id: PointID, text: [Float], image: [Float]? = nil, lexical: [UInt32: Float]? = nil, _ payload: JSONValue
    ) -> PointChange {
        var vectors = [PlacedVector(position: 1, values: .dense(text))]
        if let image { vectors.append(PlacedVector(position: 0, values: .dense(image))) }
        if let lexical {
            let terms = lexical.sorted { $0.key < $1.key }
            vectors.append(
                PlacedVector(
                    position: 2, values: .sparse(SparseVector(indices: terms.map(\.key), values: terms.map(\.value)))))
        }
        return PointChange(id: id, effect: .upsert(vectors: vectors, payload: payload.serializedBytes))
    }
}

/// Points as text.
private struct Points {
    let store: any VectorStore
    let collection: String
    init(_ store: any VectorStore, _ collection: String) {
        self.store = store
        self.collection = collection
    }

    var all: [String] {
        get async throws {
            let fields = PointFields(payload: .all, vectors: .all)
            return try await store.scroll(ScrollRequest(limit: 1000, fields: fields), in: collection).points.map(text)
        }
    }
    func one(_ number: UInt64) async throws -> String? {
        try await all.first { $0.hasPrefix("\(number) ") }
    }

    private func text(_ point: StoredPoint) throws -> String {
        var writer = JSONWriter()
        writer.write(try JSONReader.parse(point.payload ?? []), sortingKeys: true)
        var text = "\(point.id) \(String(decoding: writer.bytes, as: UTF8.self))"
        for vector in (point.vectors ?? []).sorted(by: { $0.name < $1.name }) {
            if !vector.name.isEmpty { text += " \(vector.name)" }
            switch vector.values {
            case .dense(let values): text += values.map { " \($0)" }.joined()
            case .sparse(let terms): text += zip(terms.indices, terms.values).map { " \($0):\($1)" }.joined()
            }
        }
        return text
    }
}
