import HTTPClient
import HTTPServer
import ServiceRuntime
import Synchronization
import Testing
import WireProtocol

@testable import ServiceClients

/// Real servers of ours in place of the services.
struct ServiceClientsTests {
    private let client = HTTPClient(metrics: nil, log: .silent)

    private func serve(_ build: (inout Router) -> Void) async throws -> (url: String, server: HTTPServer) {
        var router = Router()
        build(&router)
        let server = HTTPServer(
            host: "127.0.0.1", port: 0, router: router, log: .silent, metrics: Metrics(), accessLog: false)
        return ("http://127.0.0.1:\(try await server.start())", server)
    }

    @Test func aBusyServiceIsAskedAgainAndARefusalIsNot() async throws {
        let calls = Mutex(0)
        let (url, server) = try await serve { router in
            router.on("GET", "/busy") { _ in
                let number = calls.withLock { calls in
                    calls += 1
                    return calls
                }
                if number < 3 { throw Problem.unavailable("starting") }
                return .json(["ok": true] as JSONValue)
            }
            router.on("GET", "/refused") { _ in throw Problem.badRequest(field: "name", "is required") }
        }
        let caller = ServiceCaller(
            service: "test", url: url, client: client, backoff: .init(base: .zero, cap: .zero, attempts: 4))
        #expect(try await caller.json("GET", "/busy") == ["ok": true])
        await #expect {
            _ = try await caller.json("GET", "/refused")
        } throws: {
            ($0 as? ServiceClientError)?.status == 400 && "\($0)".contains("400: name is required")
        }
        withExtendedLifetime(server) {}
    }

    @Test func aProcessorJobIsAskedForUntilItIsFinal() async throws {
        let asked = Mutex(0)
        let (url, server) = try await serve { router in
            router.on("POST", "/process") { _ in
                .json(["job_id": "j-1", "status": "started", "message": ""] as JSONValue, status: 202)
            }
            router.on("GET", "/jobs/:id") { _ in
                let number = asked.withLock { asked in
                    asked += 1
                    return asked
                }
                if number == 1 { return .json(["job_id": "j-1", "status": "processing"] as JSONValue) }
                let body: JSONValue = [
                    "job_id": "j-1", "status": "completed",
                    "data": [
                        "data": [["a": 1]],
                        "row_errors": [["index": 1, "operation": "cast", "message": "is no number"]],
                    ],
                ]
                return .json(body)
            }
        }
        let processor = DataProcessorClient(client: client, url: url, internalToken: "t")
        let result = try await processor.process([["a": "1"], ["a": "x"]], operations: [])
        #expect(result.rows == [["a": 1]])
        #expect(result.errors == [.init(index: 1, operation: "cast", message: "is no number")])
        #expect(asked.withLock { $0 } == 2)
        withExtendedLifetime(server) {}
    }

    @Test func vectorsOfAnotherLengthAreRefused() async throws {
        let (url, server) = try await serve { router in
            router.on("POST", "/embed") { _ in .json(["vectors": [[1, 2, 3]], "model": "m"] as JSONValue) }
        }
        let embedder = EmbedderClient(client: client, url: url, internalToken: nil)
        let space = EmbeddingSpace(provider: "local", model: "m", dimensions: 2)
        await #expect(throws: ServiceClientError.self) { try await embedder.embed(["a"], space: space, task: "query") }
        withExtendedLifetime(server) {}
    }
}
