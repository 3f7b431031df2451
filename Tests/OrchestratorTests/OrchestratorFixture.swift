import FastJSON
import Foundation
import HTTPServer
import Postgres
import Redis
import ServiceRuntime
import TestServers
import WireProtocol
import WorkQueue

@testable import Orchestrator

/// The orchestrator's routes over a real PostgreSQL and Redis; the other services are not there.
struct OrchestratorFixture {
    static let key = "test-key-0123456789"
    let router: Router
    let parts: OrchestratorParts
    let pool: PostgresPool
    let queue: WorkQueue

    // Nobody listens on port 9 (discard) of the loopback.
    init(embedder: String = "http://127.0.0.1:9", indexer: String = "http://127.0.0.1:9") async throws {
        let environment = Environment([
            "DATABASE_URL": try await PostgresServer.shared().createDatabase(),
            "REDIS_URL": try await RedisServer.shared().createDatabase(),
            "SECRETS_KEY": String(repeating: "ab", count: 32), "ADMIN_API_KEY": Self.key,
            "EMBEDDER_URL": embedder, "INDEXER_URL": indexer,
            "DATA_HARVESTER_URL": "http://127.0.0.1:9",
            "DATA_PROCESSOR_URL": "http://127.0.0.1:9", "AI_STATUS_URL": "http://127.0.0.1:9",
        ])
        let configuration = try OrchestratorConfiguration(from: environment)
        pool = PostgresPool(
            url: configuration.database.url, size: 4, log: .silent, metrics: nil, applicationName: "orchestrator-tests")
        for migrator in OrchestratorParts.migrators(pool: pool) { _ = try await migrator.up() }
        let redis = RedisConnection(url: configuration.service.redisURL, log: .silent)
        queue = WorkQueue(redis: redis, metrics: Metrics(), log: .silent)
        parts = OrchestratorParts(configuration, pool: pool, redis: redis, metrics: Metrics(), log: .silent)
        _ = try await parts.keys.bootstrap(preset: Self.key)
        router = await parts.routes().router(metrics: Metrics(), shutdown: Shutdown())
    }

    func send(
        _ method: String, _ target: String, _ body: JSONValue? = nil, key: String? = OrchestratorFixture.key
    ) async throws -> (status: Int, body: JSONValue) {
        var headers = HTTPFields()
        if let key { headers["authorization"] = "Bearer \(key)" }
        let request = try HTTPRequest(
            method: method, target: target, headers: headers, body: body?.serializedBytes ?? [])
        let response = await router.respond(to: request)
        let bytes = response.bytes ?? []
        return (response.status, bytes.isEmpty ? .null : try JSONReader.parse(bytes))
    }

    static let datasource: JSONValue = [
        "name": "shop", "type": "csv", "connectionConfig": [:], "fieldMapping": ["id": "sku", "title": "name"],
        "embeddingFields": ["title"], "qdrantCollection": "products",
    ]
}

/// A server of ours in place of another service, for as long as it is held.
func serve(_ router: Router) async throws -> (url: String, server: HTTPServer) {
    let server = HTTPServer(
        host: "127.0.0.1", port: 0, router: router, log: .silent, metrics: Metrics(), accessLog: false)
    return ("http://127.0.0.1:\(try await server.start())", server)
}

func serve(_ routes: (inout Router) -> Void) async throws -> (url: String, server: HTTPServer) {
    var router = Router()
    routes(&router)
    return try await serve(router)
}
