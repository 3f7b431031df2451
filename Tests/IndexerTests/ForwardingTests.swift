import FastJSON
import HTTPClient
import HTTPServer
import ServiceRuntime
import Testing
import WireProtocol

@testable import Indexer

/// A second indexer plays Qdrant.
struct ForwardingTests {
    let qdrant: PlayedQdrant
    let router: Router

    init() async throws {
        qdrant = try await PlayedQdrant(key: "key")
        let store = QdrantStore(qdrant: qdrant.connection)
        router = ForwardingRoutes(
            store: store, client: HTTPClient(log: .silent), health: HealthChecks(), metrics: Metrics(),
            configuration: try IndexerConfiguration(
                from: Environment(["QDRANT_URL": qdrant.url, "QDRANT_API_KEY": "key", "INTERNAL_TOKEN": "token"])),
            guardian: CollectionGuard(internalToken: "token") { ["filled@1"] }
        ).router(shutdown: Shutdown())
    }

    private func call(
        _ method: String, _ target: String, _ body: JSONValue? = nil, headers: HTTPFields = ["api-key": "key"]
    ) async throws -> (status: Int, body: JSONValue) {
        var headers = headers
        if body != nil { headers.append("content-type", "application/json") }
        let response = await router.respond(
            to: try HTTPRequest(
                method: method, target: target, headers: headers, body: body?.serializedBytes ?? []))
        return (response.status, try JSONReader.parse(response.bytes ?? []))
    }

    @Test func whatIsAskedGoesToQdrantAndItsAnswerComesBack() async throws {
        let created = try await call(
            "PUT", "/collections/products%401?timeout=5",
            ["vectors": ["size": 2, "distance": "Dot"], "metadata": ["owner": "shop"]])
        #expect(created.status == 200 && created.body["result"] == true)
        let stored = try await call(
            "PUT", "/collections/products%401/points?wait=true",
            ["points": [["id": 1, "vector": [0.15, 2.5], "payload": ["a": 1]]]])
        #expect(stored.body["result"]?["status"] == "completed")
        let found = try await call(
            "POST", "/collections/products%401/points/query",
            ["query": [1, 0], "with_payload": true, "with_vector": true])
        #expect(
            found.body["result"]?["points"]
                == [["id": 1, "version": 1, "score": 0.15, "payload": ["a": 1], "vector": [0.15, 2.5]]])
        #expect(try await qdrant.store.collection("products@1").points == 1)
        let refused = try await call("GET", "/collections/none")
        #expect(refused.status == 404)
        #expect(refused.body["status"]?["error"] == "Not found: Collection `none` doesn't exist!")
        #expect(try await call("GET", "/nowhere").status == 404)
        // The key is asked here too, and the suite's own token is exchanged for Qdrant's key.
        #expect(try await call("GET", "/collections", headers: [:]).status == 401)
        #expect(try await call("GET", "/collections", headers: ["Authorization": "Bearer token"]).status == 200)
        #expect(try await call("GET", "/", headers: [:]).body["version"] == "1.19.0")
    }

    @Test func aCollectionMadeThroughItHasItsIncarnationAtOnce() async throws {
        _ = try await call(
            "PUT", "/collections/c", ["vectors": ["size": 2, "distance": "Dot"], "metadata": ["owner": "shop"]])
        let metadata = try await call("GET", "/collections/c").body["result"]?["config"]?["metadata"]
        #expect(metadata?["owner"] == "shop")
        let incarnation = try #require(metadata?[QdrantStore.incarnationKey]?.string)
        #expect(try await QdrantStore(qdrant: qdrant.connection).collection("c").incarnation == incarnation)
    }

    /// Over real connections: long ones go through as they come.
    @Test func longBodiesAndAnswersGoThrough() async throws {
        let server = HTTPServer(
            host: "127.0.0.1", port: 0, router: router, log: .silent, metrics: Metrics(), accessLog: false)
        let client = HTTPClient(log: .silent)
        let url = "http://127.0.0.1:\(try await server.start())"
        var connection = QdrantConnection(url: url, client: client, apiKey: "key")
        connection.backoff.attempts = 1
        let store = QdrantStore(qdrant: connection, bodyBytes: 8 << 20)
        try await store.createCollection("c", .unnamed(128))
        var numbers = Numbers(2)
        let changes = (0..<4000).map { PointChange.upsert(UInt64($0), numbers.vector(128), ["n": .integer(Int64($0))]) }
        _ = try await store.apply(.changes(changes), to: "c", wait: true)
        let fields = PointFields(payload: .all, vectors: .all)
        let found = try await store.scroll(ScrollRequest(limit: 5000, fields: fields), in: "c").points
        #expect(found.count == 4000 && found[17].vectors?[0].values == vectors(of: changes[17]))
        // A body over Qdrant's own limit gets Qdrant's own answer.
        let tooLong = [UInt8](repeating: 0x20, count: 70 << 20)
        await #expect(throws: StoreError.self) {
            _ = try await connection.send("PUT", "/collections/c/points", tooLong, collection: "c", isIdempotent: false)
        }
        #expect(try await store.count(nil, in: "c") == 4000)
        await server.stop()
    }

    private func vectors(of change: PointChange) -> VectorValues? {
        guard case .upsert(let vectors, _) = change.effect else { return nil }
        return vectors.first?.values
    }

    @Test func nobodyButTheSuiteWritesWhereADatasourceDoes() async throws {
        _ = try await call("PUT", "/collections/filled%401", ["vectors": ["size": 1, "distance": "Dot"]])
        _ = try await call(
            "POST", "/collections/aliases",
            ["actions": [["create_alias": ["alias_name": "filled", "collection_name": "filled@1"]]]])
        let points: JSONValue = ["points": [["id": 1, "vector": [1]]]]
        for target in [
            "/collections/filled@1/points", "/collections/filled/points", "/collections//filled/points",
            "/collections/filled%2Fpoints",
        ] {
            #expect(try await call("PUT", target, points).status == 403, "\(target)")
        }
        #expect(try await call("DELETE", "/collections/filled").status == 403)
        #expect(try await call("POST", "/collections/filled/points/count", [:]).body["result"]?["count"] == 0)
        let token: HTTPFields = ["Authorization": "Bearer token"]
        #expect(try await call("PUT", "/collections/filled/points?wait=true", points, headers: token).status == 200)
        #expect(try await call("POST", "/collections/filled/points/count", [:]).body["result"]?["count"] == 1)
    }

    static let writes: [(String, String, ForwardedWrite?)] = [
        ("PUT", "points", ForwardedWrite("PUT", ["collections", "c", "points"])),
        ("POST", "points", nil), ("GET", "points/1", nil), ("POST", "points/search/matrix/pairs", nil),
        ("POST", "points/query/batch", nil), ("POST", "facet", nil), ("PUT", "index", nil), ("DELETE", "index/a", nil),
        ("PATCH", "", nil), ("PUT", "", nil), ("POST", "snapshots", nil), ("GET", "snapshots/x", nil),
    ]
    @Test(arguments: writes)
    func onlyWhatChangesPointsIsAWrite(method: String, rest: String, expected: ForwardedWrite?) {
        let segments = ["collections", "c"] + rest.split(separator: "/").map(String.init)
        #expect(ForwardedWrite(method, segments) == expected)
    }

    @Test(arguments: [
        "POST points/batch", "POST points/payload", "PUT points/vectors", "PUT snapshots/recover",
        "POST snapshots/upload", "PUT shards/0/snapshots/recover", "POST something/new", "DELETE vectors/text",
        "PUT points/search",
    ])
    func whatIsNotKnownToReadIsAWrite(request: String) {
        let parts = request.split(separator: " ").map(String.init)
        let segments = ["collections", "c"] + parts[1].split(separator: "/").map(String.init)
        #expect(ForwardedWrite(parts[0], segments)?.collection == "c")
    }

    @Test func aQdrantThatIsAwayIs503AndSaysSo() async throws {
        let address = "http://127.0.0.1:\(try await PlayedQdrant().stopped())"
        let client = HTTPClient(log: .silent)
        let connection = QdrantConnection(url: address, client: client, apiKey: nil)
        let router = ForwardingRoutes(
            store: QdrantStore(qdrant: connection), client: client, health: HealthChecks(), metrics: Metrics(),
            configuration: try IndexerConfiguration(from: Environment(["QDRANT_URL": address])),
            guardian: CollectionGuard()
        ).router(shutdown: Shutdown())
        let response = await router.respond(to: try HTTPRequest(target: "/collections"))
        #expect(response.status == 503)
        #expect(String(decoding: response.bytes ?? [], as: UTF8.self).contains("Qdrant does not answer"))
        await #expect(throws: StoreError.self) { try await connection.ping() }
    }

    @Test func whoReadsSlowlyDoesNotKeepTheSuiteFromQdrant() async throws {
        var played = Router()
        played.on("GET", "/collections") { _ in .json(["result": ["collections": []]] as JSONValue) }
        played.on("GET", "/collections/:name/snapshots/all") { _ in
            HTTPResponse(
                status: 200,
                body: .stream { writer in while true { try await writer.write([UInt8](repeating: 0, count: 1 << 16)) } }
            )
        }
        let server = HTTPServer(
            host: "127.0.0.1", port: 0, router: played, log: .silent, metrics: Metrics(), accessLog: false)
        let address = "http://127.0.0.1:\(try await server.start())"
        let connection = QdrantConnection(url: address, client: HTTPClient(log: .silent), apiKey: nil)
        let store = QdrantStore(qdrant: connection)
        let router = ForwardingRoutes(
            store: store, client: HTTPClient(log: .silent), health: HealthChecks(), metrics: Metrics(),
            configuration: try IndexerConfiguration(from: Environment(["QDRANT_URL": address])),
            guardian: CollectionGuard()
        ).router(shutdown: Shutdown())
        var unread: [HTTPResponse] = []
        for _ in 0..<16 {  // as many as a client has connections to one host
            unread.append(await router.respond(to: try HTTPRequest(target: "/collections/c/snapshots/all")))
        }
        #expect(unread.allSatisfy { $0.status == 200 })
        #expect(try await store.collectionNames().isEmpty)
    }
}
