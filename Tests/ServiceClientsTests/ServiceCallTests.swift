import HTTPClient
import HTTPServer
import ServiceRuntime
import Synchronization
import Testing
import WireProtocol

@testable import ServiceClients

struct ServiceCallTests {
    private func serve(_ build: (inout Router) -> Void) async throws -> (url: String, server: HTTPServer) {
        var router = Router()
        build(&router)
        let server = HTTPServer(host: "127.0.0.1", port: 0, router: router, log: .silent, metrics: Metrics())
        return ("http://127.0.0.1:\(try await server.start())", server)
    }
    private let client = HTTPClient(log: .silent)

    @Test func sendsTokenAndTraceAndTriesAgainWhileAServiceIsAway() async throws {
        let calls = Mutex(0)
        let trace = TraceContext()
        let (url, server) = try await serve { router in
            router.on("POST", "/embed") { request in
                #expect(request.headers["authorization"] == "Bearer internal")
                #expect(request.headers["traceparent"]?.contains(trace.traceID) == true)
                let call = calls.withLock { calls in
                    calls += 1
                    return calls
                }
                if call < 3 { return .empty(status: 503) }
                return json(["vectors": [[0.5, 1]], "model": "m", "dimensions": 2, "cached": 1, "tokens": 3])
            }
        }
        let embedder = EmbedderClient(client: client, url: url, internalToken: "internal")
        var space = EmbeddingSpace.example
        space.dimensions = 2
        let answer = try await embedder.embed(["text"], space: space, task: "query", trace: trace)
        #expect(answer.vectors == [[0.5, 1]])
        #expect(answer.cached == 1)
        #expect(calls.withLock { $0 } == 3)
        await #expect(throws: ServiceClientError.self) {
            try await embedder.embed(["a", "b"], space: space, task: "query", trace: trace)  // one vector for two texts
        }
        await server.stop()
    }

    @Test func anErrorCarriesTheServicesReasonAndIsNotRetried() async throws {
        let calls = Mutex(0)
        let (url, server) = try await serve { router in
            router.on("POST", "/process") { _ in
                calls.withLock { $0 += 1 }
                throw Problem.badRequest(
                    "no such operation",
                    errors: [
                        FieldError(field: "operations[0]", message: "unknown"),
                        FieldError(field: "operations", message: "no such operation"),
                    ])
            }
        }
        let processor = DataProcessorClient(client: client, url: url, internalToken: nil)
        do {
            _ = try await processor.process([], operations: [])
            Issue.record("accepted")
        } catch let error as ServiceClientError {
            #expect(error.status == 400)
            #expect(error.detail == "no such operation (operations[0]: unknown)")
        }
        #expect(calls.withLock { $0 } == 1)
        await server.stop()
    }

    /// A processor whose answers are scripted, and a clock that moves when somebody sleeps.
    private func process(_ answers: [HTTPResponse]) async throws -> (
        outcome: Result<DataProcessorClient.Result, any Error>, slept: Duration, submitted: Int
    ) {
        let script = Mutex((answers: answers, submitted: 0))
        let (url, server) = try await serve { router in
            router.on("POST", "/process") { _ in
                json(
                    [
                        "job_id": .string("job-\(script.withLock { $0.submitted += 1; return $0.submitted })"),
                        "status": "started",
                    ], status: 202)
            }
            router.on("GET", "/jobs/:id") { _ in
                script.withLock { $0.answers.count > 1 ? $0.answers.removeFirst() : $0.answers[0] }
            }
        }
        let start = ContinuousClock.now
        let slept = Mutex(Duration.zero)
        let polling = DataProcessorClient.Polling(
            now: { start + slept.withLock { $0 } }, sleep: { duration in slept.withLock { $0 += duration } })
        let processor = DataProcessorClient(client: client, url: url, internalToken: nil, polling: polling)
        let outcome: Result<DataProcessorClient.Result, any Error>
        do { outcome = .success(try await processor.process([["a": 1]], operations: [])) } catch {
            outcome = .failure(error)
        }
        await server.stop()
        return (outcome, slept.withLock { $0 }, script.withLock { $0.submitted })
    }
    private let completed = json(
        [
            "status": "completed",
            "data": ["data": [["a": 1]], "row_errors": [["index": 4, "operation": "cast", "message": "no"]]],
        ])
    private let processing = json(["status": "processing"])

    @Test func asksEveryTwoSecondsUntilTheJobIsFinal() async throws {
        let (outcome, slept, _) = try await process([processing, .empty(status: 503), processing, completed])
        #expect(try outcome.get().rows == [["a": 1]])
        #expect(try outcome.get().errors == [.init(index: 4, operation: "cast", message: "no")])
        #expect(slept == .seconds(6))
    }

    @Test func givesUpAfterFiveMinutes() async throws {
        let (outcome, slept, _) = try await process([processing])
        #expect(throws: ServiceClientError.self) { try outcome.get() }
        #expect(slept == .seconds(300))
    }

    @Test func handsAForgottenJobInAgain() async throws {
        let (outcome, _, submitted) = try await process([.empty(status: 404), completed])
        #expect(try outcome.get().rows.count == 1)
        #expect(submitted == 2)
    }

    @Test func aFailedJobIsItsReason() async throws {
        let (outcome, _, _) = try await process([json(["status": "failed", "error": "cast: row 3"])])
        do { _ = try outcome.get() } catch let error as ServiceClientError { #expect(error.detail == "cast: row 3") }
    }

    @Test func speaksQdrantsPathsAndEncodesNames() async throws {
        let seen = Mutex<[String]>([])
        let (url, server) = try await serve { router in
            let answer: Handler = { request in
                #expect(request.headers["api-key"] == "key")
                seen.withLock {
                    $0.append("\(request.method) \(request.target) \(String(decoding: request.body, as: UTF8.self))")
                }
                switch request.target {
                case let target where target.hasSuffix("/exists"): return json(["result": ["exists": true]])
                case let target where target.hasSuffix("/count"): return json(["result": ["count": 7]])
                case let target where target.hasSuffix("/scroll"):
                    return json(["result": ["points": [["id": 1]], "next_page_offset": 2]])
                case "/collections/gone":
                    return json(["status": ["error": "Not found: Collection `gone` doesn't exist!"]], status: 404)
                default: return json(["result": ["points": [["id": 1]]]])
                }
            }
            for path in [
                "", "/exists", "/points/count", "/points/query", "/points/scroll", "/points/delete",
            ] {
                for method in ["GET", "PUT", "POST", "DELETE"] {
                    router.on(method, "/collections/:name\(path)", answer)
                }
            }
        }
        let store = IndexerClient(client: client, url: url, apiKey: "key")
        #expect(try await store.exists(collection: "products@2"))
        #expect(try await store.count(collection: "a/b", filter: ["must": []]) == 7)
        #expect(try await store.query(collection: "c", body: ["limit": 1]) == [["id": 1]])
        #expect(try await store.scroll(collection: "c", body: [:]).next == 2)
        try await store.deletePoints(collection: "c", filter: ["must": []])
        try await store.createCollection("c", body: ["vectors": [:]])
        try await store.deleteCollection("gone")
        do {
            _ = try await store.info(collection: "gone")
            Issue.record("found")
        } catch let error as ServiceClientError {
            #expect(error.detail == "Not found: Collection `gone` doesn't exist!")
        }
        #expect(
            seen.withLock { $0 }.prefix(5) == [
                "GET /collections/products%402/exists ",
                "POST /collections/a%2Fb/points/count {\"exact\":true,\"filter\":{\"must\":[]}}",
                "POST /collections/c/points/query {\"limit\":1}",
                "POST /collections/c/points/scroll {}",
                "POST /collections/c/points/delete?wait=true {\"filter\":{\"must\":[]}}",
            ])
        await server.stop()
    }

    @Test func aSourceQuestionIsAskedOnceAndAnsweredAsItIs() async throws {
        let calls = Mutex(0)
        let (url, server) = try await serve { router in
            router.on("POST", "/sources/:question") { request in
                calls.withLock { $0 += 1 }
                return .text(request.parameters["question"] ?? "", status: 503)
            }
        }
        let harvester = DataHarvesterClient(client: client, url: url, internalToken: nil)
        let answer = try await harvester.ask(.preview, [:])
        #expect(answer.status == 503)
        #expect(answer.text == "preview")
        #expect(calls.withLock { $0 } == 1)
        await server.stop()
    }
}

/// A literal as JSON, not as a dictionary.
private func json(_ value: JSONValue, status: Int = 200) -> HTTPResponse { .json(value, status: status) }
