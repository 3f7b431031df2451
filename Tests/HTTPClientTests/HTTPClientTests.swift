import HTTPServer
import ServiceRuntime
import Testing

@testable import HTTPClient

struct HTTPClientTests {
    /// A server with the routes of one test, and a client.
    private func serve(_ build: (inout Router) -> Void) async throws -> (
        url: String, server: HTTPServer, client: HTTPClient
    ) {
        var router = Router()
        build(&router)
        let server = HTTPServer(host: "127.0.0.1", port: 0, router: router, log: .silent, metrics: Metrics())
        return ("http://127.0.0.1:\(try await server.start())", server, HTTPClient(log: .silent))
    }

    @Test(arguments: ["GET", "POST", "PUT", "PATCH", "DELETE"])
    func carriesMethodHeadersBodyAndTrace(_ method: String) async throws {
        let (url, server, client) = try await serve { router in
            router.on(method, "/echo/:name") { request in
                let fields: [(String, String)] = ["traceparent", "x-key", "content-type", "expect"].compactMap { name in
                    request.headers[name].map { ("seen-\(name)", $0) }
                }
                return HTTPResponse(
                    status: 207, headers: HTTPFields(fields), body: .bytes(Array(request.target.utf8) + request.body))
            }
        }
        let trace = TraceContext()
        let body = method == "GET" ? [] : [UInt8](repeating: 66, count: 2_000_000)
        let response = try await client.send(
            ClientRequest(
                method: method, url: "\(url)/echo/a%20b?x=1", headers: [("X-Key", "v")], body: body, trace: trace))
        #expect(response.status == 207)
        #expect(response.body == Array("/echo/a%20b?x=1".utf8) + body)
        #expect(response.header("Seen-Traceparent") == trace.traceparent)
        #expect(response.header("seen-x-key") == "v")
        #expect(response.header("seen-content-type") == nil)
        #expect(response.header("seen-expect") == nil)
        await server.stop()
    }

    @Test func manyCallersGetTheirOwnAnswers() async throws {
        let (url, server, client) = try await serve { router in
            router.on("GET", "/n/:n") { .text($0.parameters["n"] ?? "") }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<300 {
                group.addTask {
                    let response = try await client.send(ClientRequest(url: "\(url)/n/\(number)"))
                    #expect(response.text == "\(number)")
                }
            }
            try await group.waitForAll()
        }
        await server.stop()
    }

    @Test func doesNotFollowRedirects() async throws {
        let (url, server, client) = try await serve { router in
            router.on("GET", "/a") { _ in HTTPResponse(status: 302, headers: ["Location": "/b"]) }
        }
        let response = try await client.send(ClientRequest(url: "\(url)/a"))
        #expect(response.status == 302)
        #expect(response.header("location") == "/b")
        await server.stop()
    }

    @Test func refusesAnAnswerOverTheLimitWithOrWithoutALength() async throws {
        let (url, server, client) = try await serve { router in
            router.on("GET", "/known") { _ in .bytes([UInt8](repeating: 1, count: 2000), contentType: "x/y") }
            router.on("GET", "/streamed") { _ in
                .stream(contentType: "x/y") { writer in
                    for _ in 0..<20 { try await writer.write([UInt8](repeating: 1, count: 100)) }
                }
            }
        }
        for path in ["/known", "/streamed"] {
            await #expect(throws: HTTPClientError.responseTooLarge(limit: 1999)) {
                try await client.send(ClientRequest(url: url + path, maximumResponseBytes: 1999))
            }
            #expect(
                try await client.send(ClientRequest(url: url + path, maximumResponseBytes: 2000)).body.count == 2000)
        }
        await server.stop()
    }

    @Test func aSlowAnswerIsATimeout() async throws {
        let (url, server, client) = try await serve { router in
            router.on("GET", "/slow") { _ in
                try await Task.sleep(for: .seconds(60))
                return .empty()
            }
        }
        await #expect(throws: HTTPClientError.timedOut("\(url)/slow")) {
            try await client.send(ClientRequest(url: "\(url)/slow?key=secret", timeout: .milliseconds(100)))
        }
        await server.stop()
    }

    @Test func cancellingTheTaskEndsTheTransfer() async throws {
        let (arrived, left) = (Shutdown(), Shutdown())
        let (url, server, client) = try await serve { router in
            router.on("GET", "/slow") { _ in
                arrived.request()
                defer { left.request() }
                try await Task.sleep(for: .seconds(60))
                return .empty()
            }
        }
        let task = Task { try await client.send(ClientRequest(url: "\(url)/slow")) }
        await arrived.wait()
        task.cancel()
        await #expect(throws: HTTPClientError.cancelled) { try await task.value }
        await left.wait()  // the server saw the connection end
        let before = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await client.send(ClientRequest(url: "\(url)/slow"))
        }
        await #expect(throws: HTTPClientError.cancelled) { try await before.value }
        await server.stop()
    }

    @Test func tellsFailuresApartWithoutRepeatingSecrets() async throws {
        let client = HTTPClient(log: .silent)
        // Longer than a label may be: no name server is asked, which could be slow or away.
        let noName = String(repeating: "a", count: 64) + ".invalid"
        let cases: [(String, HTTPClientError)] = [
            ("http://user:hunter2@127.0.0.1:1/a?key=hunter2", .connectionFailed("http://127.0.0.1:1/a")),
            ("http://user:hunter2@\(noName)/", .nameNotResolved("http://\(noName)/")),
            ("file:///etc/passwd", .invalidURL("file:///etc/passwd")),
            ("ftp://user:hunter2@host/", .invalidURL("ftp://host/")),
        ]
        for (url, expected) in cases {
            await #expect(throws: expected) { try await client.send(ClientRequest(url: url)) }
        }
        await #expect(throws: HTTPClientError.invalidRequest("header X")) {
            try await client.send(ClientRequest(url: "http://127.0.0.1:1", headers: [("X", "a\r\nEvil: 1")]))
        }
        #expect(HTTPClientError.connectionFailed("").wasNotSent)
        #expect(!HTTPClientError.timedOut("").wasNotSent)
    }

    @Test func connectsToTheAddressThatWasChecked() async throws {
        let (url, server, client) = try await serve { router in
            router.on("GET", "/host") { .text($0.headers["host"] ?? "") }
        }
        var request = ClientRequest(url: url.replacing("127.0.0.1", with: "name.invalid") + "/host")
        request.address = "127.0.0.1"
        #expect(try await client.send(request).text.hasPrefix("name.invalid:"))
        await server.stop()
    }

    @Test func reconnectsWhenTheServerHasEndedAnIdleConnection() async throws {
        let (url, server, client) = try await serve { $0.on("GET", "/") { _ in .empty() } }
        #expect(try await client.send(ClientRequest(url: url)).status == 204)
        await server.stop()
        await #expect(throws: HTTPClientError.self) { try await client.send(ClientRequest(url: url)) }
        var router = Router()
        router.on("GET", "/") { _ in .empty() }
        let port = try #require(Int(url.split(separator: ":").last ?? ""))
        let again = HTTPServer(host: "127.0.0.1", port: port, router: router, log: .silent, metrics: Metrics())
        _ = try await again.start()
        #expect(try await client.send(ClientRequest(url: url)).status == 204)
        await again.stop()
    }

    @Test func aClosedClientAnswersAtOnce() async throws {
        let client = HTTPClient(log: .silent)
        client.close()
        await #expect(throws: HTTPClientError.closed) {
            try await client.send(ClientRequest(url: "http://127.0.0.1:1"))
        }
    }

    @Test func aNameIsOneSegmentOfAPath() {
        #expect(ClientRequest.segment("products@2/ä\t") == "products%402%2F%C3%A4%09")
        #expect(ClientRequest.segment("a-b._~Z9") == "a-b._~Z9")
    }
}
