import Datasources
import HTTPServer
import ServiceRuntime
import Synchronization
import Testing
import WireProtocol

@testable import Orchestrator

/// `/api/search` over a real PostgreSQL, with servers of ours in place of the embedder and the store.
struct SearchTests {
    /// A store of `points` points that answers each query with one of them and remembers what it was asked.
    private final class Store: Sendable {
        struct State {
            var queries: [JSONValue] = []
            var bodies: [String: JSONValue] = [:]
        }
        let asked = Mutex(State())
        let hasWords: Bool
        let points: Int
        init(hasWords: Bool = true, points: Int = 5000) {
            self.hasWords = hasWords
            self.points = points
        }

        var router: Router {
            var router = Router()
            router.on("POST", "/collections/:name/points/query") { [self] request in
                let body = try request.json()
                asked.withLock { $0.queries.append(body) }
                if body.serialized.contains("nonsense") {
                    let reason = "Format error in JSON body: prefetch[0].prefetch.filter.must[0].match: needs one of"
                    return .json(["status": ["error": .string(reason)], "time": 0] as JSONValue, status: 400)
                }
                if !hasWords, body.serialized.contains("lexical") {
                    return .json(
                        ["status": ["error": "Wrong input: Not existing vector name error: lexical"], "time": 0],
                        status: 400)
                }
                let limit = Int(body["limit"]?.integer ?? 0)
                let point: JSONValue = [
                    "id": "u-1", "score": 0.5, "version": 1,
                    "payload": ["_key": "k-1", "title": "Green lamp & <shade>", "price": 3],
                ]
                let count = body["with_payload"] == false ? min(limit, points) : 1
                let result: JSONValue = ["points": .array(.init(repeating: point, count: count))]
                return .json(["result": result, "status": "ok", "time": 0] as JSONValue)
            }
            router.on("POST", "/collections/:name/points/count") { [self] request in
                try remember("count", request)
                return .json(["result": ["count": JSONValue(points)], "status": "ok", "time": 0] as JSONValue)
            }
            router.on("POST", "/collections/:name/facet") { [self] request in
                try remember("facet", request)
                let hits: JSONValue = [["value": "Lamps", "count": 3]]
                return .json(["result": ["hits": hits], "status": "ok", "time": 0] as JSONValue)
            }
            return router
        }
        private func remember(_ name: String, _ request: HTTPRequest) throws {
            let body = try request.json()
            asked.withLock { $0.bodies[name] = body }
        }
        var queries: [JSONValue] { asked.withLock { $0.queries } }
        func body(_ name: String) -> JSONValue? { asked.withLock { $0.bodies[name] } }
    }

    private struct Suite {
        let fixture: OrchestratorFixture
        let store: Store
        private let servers: [HTTPServer]

        init(_ store: Store = Store(), hasEmbedder: Bool = true, provider: String = "local") async throws {
            self.store = store
            let indexer = try await serve(store.router)
            let embedder = try await serve { router in
                router.on("POST", "/embed") { _ in
                    .json(
                        ["vectors": [[0.25, 0.5]], "model": "m", "dimensions": 2, "cached": 0, "tokens": 1]
                            as JSONValue)
                }
            }
            servers = [indexer.server, embedder.server]
            fixture = try await OrchestratorFixture(
                embedder: hasEmbedder ? embedder.url : "http://127.0.0.1:9", indexer: indexer.url)
            _ = try await VectorCollectionStore(pool: fixture.pool).ensure(
                name: "products", vectorSize: 2, space: EmbeddingSpace(provider: provider, model: "m", dimensions: 2))
        }

        func search(_ query: String, _ more: JSONObject = [:]) async throws -> (status: Int, body: JSONValue) {
            var body: JSONObject = ["collection": "products", "query": .string(query)]
            for (name, value) in more.members { body[name] = value }
            return try await fixture.send("POST", "/api/search", .object(body))
        }
    }

    @Test func aHybridSearchIsOneQueryOfTwoPrefetchesThatBothHaveTheFilter() async throws {
        let suite = try await Suite()
        let filter: JSONValue = ["must": [["key": "price", "range": ["lt": 5]]]]
        let answer = try await suite.search("green lamps", ["filter": filter, "limit": 3, "offset": 6])
        #expect(answer.status == 200 && answer.body["mode"] == "hybrid" && answer.body["note"] == nil)
        let query = try #require(suite.store.queries.first)
        #expect(suite.store.queries.count == 1)
        #expect(query["query"] == ["rrf": ["k": 60, "weights": [1, 0.08]]])
        #expect(query["limit"] == 3 && query["offset"] == 6 && query["with_payload"] == true)
        let legs = try #require(query["prefetch"]?.array)
        #expect(legs.map { $0["using"] } == ["text", "lexical"])
        #expect(legs.allSatisfy { $0["filter"] == filter && $0["limit"] == 1000 })
        #expect(legs[0]["query"] == [0.25, 0.5])
        #expect(legs[1]["query"]?["indices"]?.array?.count == legs[1]["query"]?["values"]?.array?.count)
        let hit = try #require(answer.body["hits"]?.array?.first)
        #expect(hit["key"] == "k-1" && hit["payload"]?["_key"] == nil)
        #expect(hit["highlights"] == ["title": ["<mark>Green</mark> <mark>lamp</mark> &amp; &lt;shade&gt;"]])
        #expect(answer.body["total"] == nil && answer.body["tookMs"]?.double != nil)
    }

    @Test func aCodeIsFusedOnceMoreSoThatItsRecordsComeFirst() async throws {
        let suite = try await Suite()
        let filter: JSONValue = ["must": [["key": "price", "range": ["lt": 5]]]]
        _ = try await suite.search("lamp AB-1234/X", ["filter": filter])
        let query = try #require(suite.store.queries.first)
        #expect(query["query"] == ["rrf": ["k": 2, "weights": [1, 100]]])
        let legs = try #require(query["prefetch"]?.array)
        #expect(legs[0]["query"]?["rrf"]?["k"] == 60 && legs[0]["prefetch"]?.array?.count == 2)
        #expect(legs[1]["using"] == "lexical" && legs[1]["filter"] == filter)
        #expect(legs[1]["prefetch"]?["filter"] == filter && legs[1]["prefetch"]?["using"] == "lexical")
    }

    @Test(arguments: [
        ("lamps", 0.02), ("green desk lamps", 0.18), ("green desk lamp brass shade", 0.5),
        ("lamp AB 1234", 1), ("something that keeps my drinks hot on the way", 0.002),
    ])
    func theMoreWordsTheMoreTheyCountButNotThoseOfASentence(query: String, weight: Double) async throws {
        let suite = try await Suite()
        _ = try await suite.search(query)
        let weights = suite.store.queries.first?["query"]?["rrf"]?["weights"]?.array?.compactMap(\.double)
        #expect(weights == [1, weight])
    }

    @Test(arguments: ["lamps", "something that keeps my drinks hot on the way"])
    func besideVectorsThatKnowNoMeaningsWordsCountAsMuch(query: String) async throws {
        let suite = try await Suite(provider: "hashing")
        _ = try await suite.search(query)
        #expect(suite.store.queries.first?["query"]?["rrf"]?["weights"] == [1, 1])
    }

    @Test func theOtherModesAreOneQueryEach() async throws {
        let suite = try await Suite()
        let semantic = try await suite.search("green lamp", ["mode": "semantic"])
        #expect(semantic.body["mode"] == "semantic" && semantic.body["total"] == 5000)
        #expect(suite.store.queries.first?["using"] == "text")
        let lexical = try await suite.search("green lamp", ["mode": "lexical"])
        #expect(lexical.body["mode"] == "lexical" && lexical.body["total"] == 1)
        #expect(suite.store.queries.last?["using"] == "lexical")
        let full = try await suite.search("green lamp", ["mode": "lexical", "limit": 1])
        #expect(full.body["total"] == nil)  // over a thousand
        let target = "/api/search?collection=products&q=green+lamp&mode=lexical&limit=2"
        let browser = try await suite.fixture.send("GET", target)
        #expect(browser.status == 200 && browser.body["mode"] == "lexical")
        #expect(try await suite.fixture.send("GET", "/api/search?collection=products&q=a&mode=x").status == 400)
    }

    @Test func totalsThatAreKnownAreSaid() async throws {
        let suite = try await Suite(Store(points: 700))
        #expect(try await suite.search("green lamp").body["total"] == 700)
        #expect(try await suite.search("green lamp", ["mode": "lexical", "limit": 1]).body["total"] == 700)
    }

    @Test func facetsCountWhatTheFilterLeaves() async throws {
        let suite = try await Suite()
        let filter: JSONValue = ["must": [["key": "price", "match": ["value": 5]]]]
        let answer = try await suite.search("lamp", ["filter": filter, "facets": ["category"]])
        #expect(answer.body["facets"] == ["category": [["value": "Lamps", "count": 3]]])
        #expect(suite.store.body("facet") == ["key": "category", "limit": 100, "exact": true, "filter": filter])
        #expect(suite.store.body("count")?["filter"] == filter)
    }

    @Test func aWrongFilterIsNamedWhereItWasAsked() async throws {
        let filter: JSONValue = ["must": [["key": "price", "match": ["nonsense": 5]]]]
        let answer = try await Suite().search("lamp", ["filter": filter])
        #expect(answer.status == 400)
        #expect(answer.body["errors"] == [["field": "filter.must[0].match", "message": "needs one of"]])
    }

    @Test func withoutAnEmbedderWordsStillFind() async throws {
        let suite = try await Suite(hasEmbedder: false)
        let answer = try await suite.search("green lamp")
        #expect(answer.status == 200 && answer.body["mode"] == "lexical")
        #expect(answer.body["note"]?.string?.contains("embedder") == true)
        #expect(answer.body["hits"]?.array?.count == 1)
        #expect(try await suite.search("green lamp", ["mode": "semantic"]).status == 503)
        #expect(try await suite.search("?!").status == 503)
    }

    @Test func aCollectionOfTheFirstReleaseIsSearchedByMeaning() async throws {
        let suite = try await Suite(Store(hasWords: false))
        let answer = try await suite.search("green lamp")
        #expect(answer.status == 200 && answer.body["mode"] == "semantic")
        #expect(answer.body["note"]?.string?.contains("rebuild") == true)
        let lexical = try await suite.search("green lamp", ["mode": "lexical"])
        #expect(lexical.status == 409 && lexical.body["detail"]?.string?.contains("rebuild") == true)
    }

    @Test func aQueryWithoutAnyWordIsSearchedByMeaning() async throws {
        let suite = try await Suite()
        #expect(try await suite.search("?!").body["mode"] == "semantic")
        let lexical = try await suite.search("?!", ["mode": "lexical"])
        #expect(lexical.body["hits"] == [] && lexical.body["total"] == 0)
        #expect(lexical.body["note"]?.string?.contains("no word") == true)
    }
}
