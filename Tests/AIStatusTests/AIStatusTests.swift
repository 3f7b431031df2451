import FastJSON
import Foundation
import HTTPClient
import HTTPServer
import ServiceRuntime
import TestServers
import Testing
import WireProtocol

@testable import AIStatus

@Suite struct AIStatusTests {
    private func answer(_ target: String, token: String? = nil, headers: HTTPFields = [:]) async throws -> (
        status: Int, body: String
    ) {
        let routes = AIStatusRoutes(health: HealthChecks(), metrics: Metrics(), internalToken: token)
        let response = await routes.router(shutdown: Shutdown()).respond(
            to: try HTTPRequest(target: target, headers: headers))
        return (response.status, String(decoding: response.bytes ?? [], as: UTF8.self))
    }

    @Test(arguments: ["/_ai_status", "/ai_status"])
    func anUnknownTaskIsIdle(path: String) async throws {
        for task in ["x", UUID().uuidString, "%2F..%2F", "a%20b", String(repeating: "a", count: 4000)] {
            let answer = try await answer("\(path)?task_id=\(task)")
            #expect(answer.status == 404 && answer.body == #"{"state":"IDLE"}"#)
        }
        for query in ["", "?task_id=", "?task=x"] { #expect(try await answer(path + query).status == 400) }
    }

    @Test func theInternalTokenIsAskedForAllButOperationalRoutes() async throws {
        for path in ["/_ai_status?task_id=x", "/ai_status", "/openapi.json", "/nothing"] {
            #expect(try await answer(path, token: "t0ken").status == 401)
            #expect(try await answer(path, token: "t0ken", headers: ["Authorization": "Bearer t0ken"]).status != 401)
        }
        for path in ["/health", "/livez", "/readyz", "/metrics"] {
            #expect(try await answer(path, token: "t0ken").status == 200)
        }
    }

    @Test func theDocumentDescribesEveryRoute() async throws {
        let routes = AIStatusRoutes(health: HealthChecks(), metrics: Metrics(), internalToken: nil).router(
            shutdown: Shutdown()
        ).routes
        let paths = AIStatusDocument.json["paths"]?.object
        #expect(Set(routes.map(\.path)) == Set(paths?.names ?? []))
        #expect(try await answer("/openapi.json").body == AIStatusDocument.json.serialized)
    }

    @Test func configurationListsEveryProblem() {
        #expect(throws: ConfigurationError.self) { try AIStatusConfiguration(from: Environment(["PORT": "x"])) }
        do {
            _ = try AIStatusConfiguration(
                from: Environment([
                    "PORT": "-1", "REDIS_URL": "http://x", "DATABASE_URL": "mysql://x", "ACCESS_LOG": "maybe",
                ]))
            Issue.record("accepted")
        } catch {
            #expect(error.problems.count == 4)
        }
    }

    /// The executable itself: healthy with its stores, 503 without one, gone with 0 at SIGTERM.
    @Test func itRunsTellsItsHealthAndStops() async throws {
        let database = try await PostgresServer.shared().createDatabase()
        let redis = try await RedisServer()
        let (port, folder, client) = (freePort(), try TemporaryFolder("aistatus"), HTTPClient(log: .silent))
        let places = [
            URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path, Bundle.main.bundlePath,
            FileManager.default.currentDirectoryPath + "/.build/debug",
        ]
        let program = try #require(places.map { $0 + "/ai-status" }.first { access($0, X_OK) == 0 })
        let process = try ServerProcess(
            ["env", "DATABASE_URL=\(database)", "REDIS_URL=\(redis.url)", "PORT=\(port)", program],
            log: folder.path + "/log")
        func waitForHealth(_ status: Int) async throws -> JSONValue {
            let deadline = ContinuousClock.now + .seconds(20)
            while true {
                if let answer = try? await client.send(ClientRequest(url: "http://127.0.0.1:\(port)/health")),
                    answer.status == status
                {
                    return try JSONReader.parse(answer.body)
                }
                try #require(ContinuousClock.now < deadline)
            }
        }
        let healthy = try await waitForHealth(200)
        #expect(healthy["checks"]?.object?.names == ["postgres:responseTime", "redis:responseTime"])
        let unknown = try await client.send(ClientRequest(url: "http://127.0.0.1:\(port)/_ai_status?task_id=x"))
        #expect(unknown.status == 404 && unknown.text == #"{"state":"IDLE"}"#)
        try await redis.stop()
        _ = try await waitForHealth(503)
        process.signal(SIGTERM)
        #expect(process.waitUntilExit(limit: 20))
    }
}
