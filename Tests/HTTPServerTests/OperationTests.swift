import FastJSON
import Foundation
import ServiceRuntime
import Synchronization
import Testing
import WireProtocol

@testable import HTTPServer

/// What operators see: health, metrics, log, request ids.
@Suite struct OperationTests {
    struct Down: Error, CustomStringConvertible { var description: String { "connection refused" } }

    private func ask(_ target: String, headers: String = "", port: Int) async throws -> String {
        let client = try RawClient(port: port)
        try await client.send("GET \(target) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\(headers)\r\n")
        defer { client.close() }
        return try await client.all()
    }

    private func withOperations(
        required: Bool, fails: Bool, shutdown: Shutdown = Shutdown(), _ body: (Int) async throws -> Void
    ) async throws {
        let health = HealthChecks(lifetime: .zero)
        await health.add("postgres", isRequired: true) {}
        await health.add("qdrant", isRequired: required) { if fails { throw Down() } }
        let metrics = Metrics()
        try await withServer(
            metrics: metrics,
            { router in
                router.addOperationalRoutes(
                    service: "indexer", health: health, metrics: metrics, shutdown: shutdown)
                router.on("GET", "/jobs/:id") { _ in .text("job") }
            }, body)
    }

    @Test(arguments: [(false, false, 200, "pass"), (false, true, 200, "warn"), (true, true, 503, "fail")])
    func healthTellsEachDependency(required: Bool, fails: Bool, status: Int, word: String) async throws {
        try await withOperations(required: required, fails: fails) { port async throws in
            let answer = try await ask("/health", port: port)
            #expect(answer.statuses == [status])
            #expect(answer.contains("Content-Type: application/health+json"))
            let body = try #require(answer.components(separatedBy: "\r\n\r\n").last)
            let json = try JSONReader.parse(Array(body.utf8))
            #expect(json["status"]?.string == word)
            #expect(json["serviceId"]?.string == "indexer" && json["version"]?.string == suiteVersion)
            let check = json["checks"]?["qdrant:responseTime"]?.array?.first
            #expect(check?["status"]?.string == (fails ? "fail" : "pass"))
            #expect(check?["observedValue"]?.double != nil)
            #expect(check?["output"]?.string == (fails ? "connection refused" : nil))
            #expect(try await ask("/readyz", port: port).statuses == [word == "fail" ? 503 : 200])
            #expect(try await ask("/livez", port: port).statuses == [200])
        }
    }

    @Test func aStoppingServiceIsAliveAndNotReady() async throws {
        let shutdown = Shutdown()
        try await withOperations(required: false, fails: false, shutdown: shutdown) { port async throws in
            #expect(try await ask("/readyz", port: port).statuses == [200])
            shutdown.request()
            #expect(try await ask("/readyz", port: port).statuses == [503])
            #expect(try await ask("/livez", port: port).statuses == [200])
        }
    }

    @Test func aCheckThatHangsDoesNotHoldUpHealth() async throws {
        let health = HealthChecks(limit: .milliseconds(50))
        await health.add("slow", isRequired: true) { try await Task.sleep(for: .seconds(600)) }
        try await withServer({ router in
            router.addOperationalRoutes(
                service: "a", health: health, metrics: Metrics(), shutdown: Shutdown())
        }) { port async throws in
            #expect(try await ask("/health", port: port).statuses == [503])
        }
    }

    @Test func metricsCountByRouteAndTellTheProcess() async throws {
        try await withOperations(required: false, fails: false) { port async throws in
            _ = try await ask("/jobs/7", port: port)
            _ = try await ask("/jobs/8", port: port)
            _ = try await ask("/nothing/9", port: port)
            _ = try await ask("/%zz", port: port)
            let text = try await ask("/metrics", port: port)
            #expect(text.contains(#"suite_http_requests_total{route="/jobs/:id",method="GET",status_class="2xx"} 2.0"#))
            #expect(text.contains(#"suite_http_requests_total{route="unmatched",method="any",status_class="4xx"} 1.0"#))
            #expect(text.contains(#"suite_http_requests_total{route="malformed",method="any",status_class="4xx"} 1.0"#))
            #expect(text.contains(#"suite_http_request_duration_seconds_count{route="/jobs/:id",method="GET"} 2"#))
            #expect(text.contains("suite_build_info{service=\"indexer\",version=\"\(suiteVersion)\"} 1.0"))
            let values = text.split(separator: "\n").filter { $0.hasPrefix("process_") }
            for name in ["process_resident_memory_bytes", "process_cpu_seconds_total"] {
                let line = values.first { $0.hasPrefix(name + " ") }
                #expect((line?.split(separator: " ").last.flatMap { Double($0) } ?? 0) > 0)
            }
        }
    }

    @Test func aSaneRequestIDIsKeptAndAnotherIsReplaced() async throws {
        try await withServer({ $0.on("GET", "/") { .text($0.id) } }) { port async throws in
            #expect(
                try await ask("/", headers: "X-Request-Id: abc-1.2_3\r\n", port: port).contains(
                    "\r\nX-Request-Id: abc-1.2_3\r\n"))
            for bad in ["a b", "a\"b", String(repeating: "a", count: 129), ""] {
                let answer = try await ask("/", headers: "X-Request-Id: \(bad)\r\n", port: port)
                let id = try #require(answer.components(separatedBy: "\r\n\r\n").last)
                #expect(id != bad && id.utf8.count == 13 && answer.contains("X-Request-Id: \(id)\r\n"))
            }
        }
    }

    @Test func aRequestIsASpanOfItsClientsTrace() async throws {
        let parent = TraceContext()
        try await withServer({ $0.on("GET", "/") { .text($0.trace.traceparent) } }) { port async throws in
            let answer = try await ask("/", headers: "traceparent: \(parent.traceparent)\r\n", port: port)
            let trace = try #require(TraceContext(traceparent: answer.components(separatedBy: "\r\n\r\n").last ?? ""))
            #expect(trace.traceID == parent.traceID && trace.spanID != parent.spanID)
        }
    }

    @Test func eachRequestIsOneLineWithoutItsTarget() async throws {
        let lines = LogLines()
        try await withServer(log: lines.log(), accessLog: true, { $0.on("GET", "/jobs/:id") { _ in .text("job") } }) {
            port async throws in
            _ = try await ask("/jobs/secret?token=secret", headers: "X-Request-Id: r-1\r\n", port: port)
            _ = try await ask("/%zz", port: port)
        }
        let requests = try lines.all.filter { $0.contains("\"http.request") }.map {
            try JSONReader.parse(Array($0.utf8))
        }
        try #require(requests.count == 2)
        #expect(requests[0]["route"]?.string == "/jobs/:id" && requests[0]["status"]?.integer == 200)
        #expect(requests[0]["method"]?.string == "GET" && requests[0]["bytes"]?.integer == 3)
        #expect(requests[0]["request_id"]?.string == "r-1" && requests[0]["ms"]?.double != nil)
        #expect(requests[1]["event"]?.string == "http.request_refused")
        #expect(!lines.all.joined().contains("secret"))
    }

    @Test func anUnknownErrorIsLoggedWithTheIDItsClientGot() async throws {
        let lines = LogLines()
        try await withServer(log: lines.log(), { $0.on("GET", "/") { _ in throw Down() } }) { port async throws in
            #expect(try await ask("/", headers: "X-Request-Id: r-2\r\n", port: port).statuses == [500])
        }
        let line = try #require(lines.all.first { $0.contains("http.handler_failed") })
        #expect(line.contains("connection refused") && line.contains("r-2"))
    }

    @Test func severalLoopsServeOnePort() async throws {
        let threads = Mutex<Set<UInt>>([])
        try await withServer(
            loops: 2,
            {
                $0.on("GET", "/") { _ in
                    threads.withLock { _ = $0.insert(UInt(pthread_self())) }
                    return .text("hello")
                }
            }
        ) { port async throws in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<50 {
                    group.addTask { () async throws in #expect(try await ask("/", port: port).statuses == [200]) }
                }
                try await group.waitForAll()
            }
        }
        #expect(threads.withLock { 1...2 ~= $0.count })
    }

    @Test func handlersComeBackToTheirLoopAfterOtherThreads() async throws {
        actor Counter {
            var count = 0
            func next() -> Int { count += 1; return count }
        }
        let counter = Counter()
        try await withServer({
            $0.on("GET", "/") { _ in
                let before = UInt(pthread_self())
                let other = try await BlockingPool.run { UInt(pthread_self()) }
                _ = await counter.next()
                return .text("\(other != before) \(UInt(pthread_self()) == before)")
            }
        }) { port async throws in
            #expect(try await ask("/", port: port).hasSuffix("true true"))
        }
    }
}
