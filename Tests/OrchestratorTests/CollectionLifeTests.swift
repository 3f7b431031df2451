import Datasources
import HTTPServer
import Postgres
import ServiceRuntime
import SyncJobs
import Synchronization
import Testing
import WireProtocol

@testable import Orchestrator

/// A collection from its beginning to its end, over a real PostgreSQL and a store that can be told to fail.
struct CollectionLifeTests {
    /// The catalogue of a vector store, and a hook before each change of it.
    private final class Store: Sendable {
        private struct State {
            var collections: Set<String> = []
            var isOut = false
            var beforeChange: (@Sendable (HTTPRequest) async throws -> Void)?
        }
        private let state = Mutex(State())

        var collections: Set<String> { state.withLock { $0.collections } }
        func setOut(_ isOut: Bool) { state.withLock { $0.isOut = isOut } }
        func lose(_ name: String) { state.withLock { _ = $0.collections.remove(name) } }
        func beforeChange(_ hook: @escaping @Sendable (HTTPRequest) async throws -> Void) {
            state.withLock { $0.beforeChange = hook }
        }

        var router: Router {
            var router = Router()
            router.use { [self] request, next in
                if state.withLock({ $0.isOut }) {
                    return .json(["status": ["error": "out"]] as JSONValue, status: 500)
                }
                return try await next(request)
            }
            @Sendable func answer(_ result: JSONValue) -> HTTPResponse {
                .json(["result": result, "status": "ok", "time": 0] as JSONValue)
            }
            router.on("GET", "/collections/:name/exists") { [self] request in
                answer(["exists": .bool(collections.contains(request.parameters["name"] ?? ""))])
            }
            router.on("PUT", "/collections/:name") { [self] request in
                try await state.withLock({ $0.beforeChange })?(request)
                return answer(
                    .bool(state.withLock { $0.collections.insert(request.parameters["name"] ?? "").inserted }))
            }
            router.on("DELETE", "/collections/:name") { [self] request in
                try await state.withLock({ $0.beforeChange })?(request)
                return answer(.bool(state.withLock { $0.collections.remove(request.parameters["name"] ?? "") != nil }))
            }
            router.on("GET", "/collections/:name") { _ in answer(["config": [:], "payload_schema": [:]]) }
            router.on("GET", "/aliases") { _ in answer(["aliases": []]) }
            router.on("POST", "/collections/aliases") { _ in answer(true) }
            router.on("POST", "/collections/:name/points/count") { _ in answer(["count": 0]) }
            router.on("POST", "/collections/:name/points/delete") { [self] request in
                try await state.withLock({ $0.beforeChange })?(request)
                return answer([:])
            }
            return router
        }
    }

    private let store = Store()
    private let fixture: OrchestratorFixture
    private let collections: VectorCollectionStore
    private let jobs: SyncJobStore
    private let servers: [HTTPServer]

    init() async throws {
        var embedder = Router()
        embedder.on("GET", "/providers") { _ in
            .json([
                "providers": [
                    [
                        "space": .string(EmbeddingSpace.example.identifier), "default": true,
                        "cost_per_million_tokens": 0,
                    ]
                ]
            ])
        }
        var urls: [String] = []
        var servers: [HTTPServer] = []
        for router in [store.router, embedder] {
            let server = HTTPServer(
                host: "127.0.0.1", port: 0, router: router, log: .silent, metrics: Metrics(), accessLog: false)
            urls.append("http://127.0.0.1:\(try await server.start())")
            servers.append(server)
        }
        self.servers = servers
        fixture = try await OrchestratorFixture(embedder: urls[1], indexer: urls[0])
        collections = VectorCollectionStore(pool: fixture.pool)
        jobs = SyncJobStore(pool: fixture.pool, log: .silent)
    }

    private func datasource(_ more: JSONObject = [:]) async throws -> String {
        var body = OrchestratorFixture.datasource.object ?? JSONObject()
        for member in more.members { body[member.name] = member.value }
        return try #require(try await fixture.send("POST", "/api/datasources", .object(body)).body["id"]?.string)
    }

    @Test func aDryRunMakesNothing() async throws {
        let id = try await datasource()
        let started = try await fixture.send("POST", "/api/sync/full/\(id)", ["dryRun": true])
        #expect(started.status == 202, "\(started.body)")
        #expect(started.body["collection"] == "products" && started.body["collectionVersion"] == 1)
        #expect(store.collections.isEmpty)
        #expect(try await fixture.send("GET", "/api/collections/products").status == 404)
        // Nor is anything of the space decided by it.
        let other: JSONValue = ["embedding": ["provider": "openai", "model": "another", "dimensions": 8]]
        #expect(try await fixture.send("PUT", "/api/datasources/\(id)", other).status == 200)
    }

    @Test func aDeletionThatTheStoreCutsOffIsEndedByTheKeeper() async throws {
        let id = try await datasource()
        let started = try await fixture.send("POST", "/api/sync/full/\(id)")
        #expect(started.status == 202)
        #expect(store.collections == ["products@1"])
        store.setOut(true)
        #expect(try await fixture.send("DELETE", "/api/collections/products").status == 503)
        #expect(try await fixture.send("GET", "/api/collections/products").status == 404)
        #expect(try await jobs.job(id: started.body["id"]?.string ?? "")?.status == .cancelled)
        // Its name is not free before its points are gone.
        #expect(try await fixture.send("POST", "/api/sync/full/\(id)").status == 409)
        store.setOut(false)
        _ = try await fixture.pool.query("UPDATE vector_collection_versions SET changed_at = now() - interval '1 hour'")
        try await fixture.parts.versions.lookAfterIfAlone()
        #expect(store.collections.isEmpty)
        #expect(try await fixture.send("POST", "/api/sync/full/\(id)").status == 202)
        #expect(store.collections == ["products@1"])
    }

    @Test func aSecondDeletionGoesOnWhereTheFirstOneFailed() async throws {
        _ = try await fixture.send("POST", "/api/sync/full/\(try await datasource())")
        store.setOut(true)
        #expect(try await fixture.send("DELETE", "/api/collections/products").status == 503)
        store.setOut(false)
        #expect(try await fixture.send("DELETE", "/api/collections/products").status == 204)
        #expect(try await fixture.send("DELETE", "/api/collections/products").status == 404)
        #expect(store.collections.isEmpty)
    }

    @Test func aRebuildThatBeginsDuringADeletionIsRefused() async throws {
        let id = try await datasource()
        _ = try await fixture.send("POST", "/api/sync/full/\(id)")
        store.beforeChange { [collections] _ in
            await #expect(throws: DatasourcesError.self) {
                try await collections.addVersion(of: "products", vectorSize: 384, space: .example)
            }
        }
        #expect(try await fixture.send("DELETE", "/api/collections/products").status == 204)
        #expect(store.collections.isEmpty)
    }

    /// The sync has seen the collection, and it is gone when its job is made.
    @Test func aSyncThatBeginsDuringADeletionIsWithdrawn() async throws {
        let id = try await datasource()
        _ = try await collections.ensure(name: "products", vectorSize: 384, space: .example, datasourceID: id)
        store.beforeChange { [collections] request in
            if request.method == "PUT" { _ = try await collections.discardAll(of: "products") }
        }
        let started = try await fixture.send("POST", "/api/sync/full/\(id)")
        #expect(started.status == 409)
        let all = try await jobs.jobs(datasourceID: id).items
        #expect(all.map(\.status) == [.cancelled])
    }

    @Test func aSyncThatBeginsDuringTheDeletionOfItsDatasourceEnds() async throws {
        let id = try await datasource()
        _ = try await fixture.send("POST", "/api/sync/full/\(id)")
        let deletions = Mutex(0)
        store.beforeChange { [jobs] request in
            guard request.path.hasSuffix("/points/delete") else { return }
            let isFirst = deletions.withLock { count in
                count += 1
                return count == 1
            }
            guard isFirst else { return }
            _ = try await jobs.create(datasourceID: id, collection: "products@1", space: .example, type: .full)
        }
        #expect(try await fixture.send("DELETE", "/api/datasources/\(id)?deletePoints=true").status == 204)
        #expect(try await jobs.jobs(datasourceID: id).items.allSatisfy { $0.status == .cancelled })
        #expect(deletions.withLock { $0 } == 2, "what it wrote goes too")
    }

    @Test func theDeletionOfADatasourceFindsThePointsOfItsFormerCollectionToo() async throws {
        let id = try await datasource()
        let first = try await fixture.send("POST", "/api/sync/full/\(id)")
        #expect(
            try await fixture.send("PUT", "/api/datasources/\(id)", ["qdrantCollection": "shelf"]).status == 200)
        #expect(try await fixture.send("POST", "/api/sync/full/\(id)").status == 202, "\(first.body)")
        let emptied = Mutex<[String]>([])
        store.beforeChange { request in emptied.withLock { $0.append(request.parameters["name"] ?? "") } }
        #expect(try await fixture.send("DELETE", "/api/datasources/\(id)?deletePoints=true").status == 204)
        #expect(emptied.withLock { $0 } == ["products@1", "shelf@1"])
    }

    @Test func aCreationThatTheStoreCutsOffIsEndedByTheSameRequest() async throws {
        let body: JSONValue = ["name": "shelf", "vectorSize": 4, "distance": "Dot"]
        store.setOut(true)
        #expect(try await fixture.send("POST", "/api/collections", body).status == 503)
        store.setOut(false)
        #expect(
            try await fixture.send("POST", "/api/collections", ["name": "shelf", "vectorSize": 5, "distance": "Dot"])
                .status == 409)
        #expect(try await fixture.send("POST", "/api/collections", body).status == 201)
        #expect(store.collections == ["shelf@1"])
        #expect(try await fixture.send("POST", "/api/collections", body).status == 409)
    }

    @Test func aVersionThatTheStoreHasLostIsNotSwitchedTo() async throws {
        let id = try await datasource()
        _ = try await collections.ensure(name: "products", vectorSize: 384, space: .example, datasourceID: id)
        let version = try await collections.addVersion(of: "products", vectorSize: 384, space: .example)
        for name in ["products@1", version.physicalName] {
            _ = try await fixture.pool.query(
                "INSERT INTO sync_completions VALUES ($1, $2, now(), 1, $2)", [.text(name), .uuid(id)])
        }
        let lost = try await fixture.send("POST", "/api/collections/products/switch")
        #expect(lost.status == 409 && lost.body["detail"]?.string?.contains("store does not have") == true)
        store.setOut(true)  // the emergency exit does not need the store
        #expect(try await fixture.send("POST", "/api/collections/products/switch").status == 200)
        store.setOut(false)
        #expect(try await fixture.send("POST", "/api/collections/products/rollback").status == 409)
        #expect(try await collections.collection(name: "products")?.active.number == 2)
    }

    @Test func aRebuildWhoseLastDatasourceWasDeletedSaysSo() async throws {
        let id = try await datasource()
        _ = try await collections.ensure(name: "products", vectorSize: 384, space: .example, datasourceID: id)
        _ = try await collections.addVersion(of: "products", vectorSize: 384, space: .example)
        #expect(try await fixture.send("DELETE", "/api/datasources/\(id)").status == 204)
        let answer = try await fixture.send("POST", "/api/collections/products/switch")
        #expect(answer.status == 409)
        #expect(answer.body["missing"] == ["no datasource fills the collection any more"])
    }

    /// The store of these tests answers queries with 404, as one does that has lost the collection.
    @Test func whatTheStoreHasLostIsSearchedAsEmpty() async throws {
        let id = try await datasource()
        _ = try await collections.ensure(name: "products", vectorSize: 384, space: .example, datasourceID: id)
        for offset in [0, 20] as [JSONValue] {
            let found = try await fixture.send(
                "POST", "/api/search",
                ["collection": "products", "query": "lamp", "mode": "lexical", "offset": offset])
            #expect(found.status == 200 && found.body["hits"] == [] && found.body["total"] == 0, "\(found.body)")
        }
        _ = try await collections.addVersion(of: "products", vectorSize: 384, space: .example)
        let compared = try await fixture.send("GET", "/api/collections/products/comparison")
        #expect(compared.status == 409 && compared.body["detail"]?.string?.contains("empty") == true)
    }
}
