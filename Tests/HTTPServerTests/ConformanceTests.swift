import Testing

@testable import HTTPServer

/// RFC 9112 by raw sockets: what is refused, with which status, and that the connection ends with it.
@Suite struct ConformanceTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var bytes: [UInt8]
        var status: Int
        init(_ name: String, _ text: String, _ status: Int) {
            self.name = name
            bytes = Array(text.utf8)
            self.status = status
        }
        var testDescription: String { name }
    }

    static let chunkedPost = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    static let refused: [Case] = [
        Case(
            "Content-Length and Transfer-Encoding",
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            400),
        Case(
            "two different Content-Length",
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n12345", 400),
        Case("a list of Content-Length", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 5\r\n\r\n12345", 400),
        Case("Content-Length +5", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n12345", 400),
        Case("Content-Length -1", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        Case("Content-Length empty", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
        Case(
            "Content-Length 10^20", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000000000000\r\n\r\n",
            400),
        Case("Content-Length 1e20", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1e20\r\n\r\n", 400),
        Case(
            "Transfer-Encoding xchunked",
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        Case(
            "Transfer-Encoding chunked, identity",
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            501),
        Case(
            "Transfer-Encoding gzip, chunked",
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        Case(
            "Transfer-Encoding twice",
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400),
        Case(
            "Transfer-Encoding in HTTP/1.0",
            "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        Case(
            "space before the colon", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            400),
        Case("chunk size overflow", chunkedPost + "FFFFFFFFFFFFFFFFF\r\nabc", 400),
        Case("chunk size 0x5", chunkedPost + "0x5\r\nabcde\r\n0\r\n\r\n", 400),
        Case("chunk size negative", chunkedPost + "-5\r\nabcde\r\n0\r\n\r\n", 400),
        Case("chunk size empty", chunkedPost + "\r\nabcde\r\n0\r\n\r\n", 400),
        Case("chunk size then a space", chunkedPost + "5 \r\nabcde\r\n0\r\n\r\n", 400),
        Case("chunk longer than it says", chunkedPost + "3\r\nabcde\r\n0\r\n\r\n", 400),
        Case("bare line feed after a chunk size", chunkedPost + "5\nabcde\r\n0\r\n\r\n", 400),
        Case("bare line feed in a chunk extension", chunkedPost + "5;a=\nb\r\nabcde\r\n0\r\n\r\n", 400),
        Case("bare line feed after chunk data", chunkedPost + "5\r\nabcde\n0\r\n\r\n", 400),
        Case("bare line feed after the last chunk", chunkedPost + "5\r\nabcde\r\n0\n\n", 400),
        Case("bare line feed in a trailer", chunkedPost + "0\r\nX: y\n\r\n", 400),
        Case("carriage return in a chunk extension", chunkedPost + "5;a=\rb\r\nabcde\r\n0\r\n\r\n", 400),
        Case("folded trailer", chunkedPost + "0\r\nX: y\r\n z\r\n\r\n", 400),
        Case("endless chunk extension", chunkedPost + "5;" + String(repeating: "a", count: 20_000), 400),
        Case("bare line feed after the request line", "GET / HTTP/1.1\n", 400),
        Case("bare line feed after a header", "GET / HTTP/1.1\r\nHost: a\n", 400),
        Case("bare line feed at first", "\nGET / HTTP/1.1\r\n", 400),
        Case("bare carriage return", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
        Case("folded header", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400),
        Case("NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        Case("NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", 400),
        Case("header without a colon", "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", 400),
        Case("header without a name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400),
        Case("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
        Case("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        Case("a Host that is none", "GET / HTTP/1.1\r\nHost: a/b c\r\n\r\n", 400),
        Case("no version", "GET /\r\n\r\n", 400),
        Case("two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case("space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        Case("version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        Case("version of two digits", "GET / HTTP/1.11\r\nHost: a\r\n\r\n", 400),
        Case("HTTP/2 without upgrade", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        Case("method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case("star for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case("relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case("fragment in the target", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case("bytes above ASCII in the target", "GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case("broken escape", "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case("escape that is no hex", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case("broken escape in the query", "GET /?a=%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case("encoded NUL", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case("overlong UTF-8", "GET /%c0%ae%c0%ae/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case("encoded dot segments", "GET /a/%2e%2e/b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case("dot segments with an encoded slash", "GET /a/..%2fb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case("dot segments", "GET /../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        Case(
            "64 KiB header", "GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "a", count: 64 << 10) + "\r\n\r\n",
            431),
        Case(
            "2000 small headers", "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "A: b\r\n", count: 2000) + "\r\n",
            431),
        Case("101 headers", "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "A: b\r\n", count: 100) + "\r\n", 431),
        Case("9 KiB target", "GET /" + String(repeating: "a", count: 9 << 10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        Case("a target without end", "GET /" + String(repeating: "a", count: 60 << 10), 414),
        Case("11 MB by Content-Length", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11000000\r\n\r\n", 413),
        Case(
            "11 MB by Content-Length with Expect",
            "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11000000\r\n\r\n", 413),
        Case(
            "another expectation", "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\na", 417
        ),
    ]

    @Test(arguments: refused)
    func isRefusedOnceAndTheConnectionCloses(_ example: Case) async throws {
        try await withServer(Router.small) { port in
            let client = try RawClient(port: port)
            try await client.send(example.bytes)
            let answer = try await client.all()
            #expect(answer.statuses == [example.status], "\(answer)")
            #expect(answer.contains("\r\nConnection: close\r\n"))
            #expect(answer.contains("application/problem+json"))
            client.close()
        }
    }

    static let accepted: [Case] = [
        Case("absolute target", "GET http://a.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        Case("absolute target without a path", "GET http://a.example HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        Case("an empty line before", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        Case("100 headers", "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "A: b\r\n", count: 99) + "\r\n", 200),
        Case(
            "8 KiB target", "GET /?" + String(repeating: "a", count: (8 << 10) - 2) + " HTTP/1.1\r\nHost: a\r\n\r\n",
            200),
        Case("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 200),
        Case("a later minor version", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 200),
        Case("unknown path", "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        Case("two slashes", "GET //echo HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        Case("TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        Case("OPTIONS", "OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        Case("a method nobody knows", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        Case("no body where one is expected", "POST /echo HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ]

    @Test(arguments: accepted)
    func isAnsweredAndTheConnectionStays(_ example: Case) async throws {
        try await withServer(Router.small) { port in
            let client = try RawClient(port: port)
            try await client.send(example.bytes)
            try await client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            let answer = try await client.until(
                "hello", times: example.status == 200 && !example.name.contains("body") ? 2 : 1)
            #expect(answer.statuses == [example.status, 200], "\(answer)")
            client.close()
        }
    }

    @Test func pipelinedRequestsAreAnsweredInOrder() async throws {
        try await withServer({ router in
            router.on("GET", "/:n") { request in
                // The first one is the slowest.
                if request.parameters["n"] == "1" { try await BlockingPool.run {} }
                return .text("<\(request.parameters["n"] ?? "")>")
            }
        }) { port in
            let client = try RawClient(port: port)
            try await client.send((1...3).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
            let answer = try await client.until("<3>")
            #expect(answer.statuses == [200, 200, 200])
            let places = ["<1>", "<2>", "<3>"].compactMap { answer.range(of: $0)?.lowerBound }
            #expect(places.count == 3 && places == places.sorted())
            client.close()
        }
    }

    @Test func aThousandPipelinedRequestsAreAllAnswered() async throws {
        try await withServer(Router.small) { port in
            let client = try RawClient(port: port)
            async let sending: Void = client.send(String(repeating: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", count: 5000))
            let answer = try await client.receive(until: {
                $0.hasSuffix("hello") && $0.utf8.count(where: { $0 == UInt8(ascii: "/") }) >= 10_000
            })
            try await sending
            #expect(answer.statuses.count == 5000)
            client.close()
        }
    }

    @Test func aRequestArrivingByteByByteIsTheSame() async throws {
        try await withServer(Router.small) { port in
            let client = try RawClient(port: port)
            for byte
                in "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: r\r\n\r\n"
                .utf8
            {
                try await client.send([byte])
            }
            #expect(try await client.until("abcde").hasSuffix("\r\n\r\nabcde"))
            client.close()
        }
    }

    @Test func chunkedBodyWithExtensionsAndTrailersThenAnotherRequest() async throws {
        try await withServer(Router.small) { port in
            let client = try RawClient(port: port)
            try await client.send(
                Self.chunkedPost
                    + "5;name=\"va;lue\"\r\nabcde\r\nA ;b\r\n0123456789\r\n000\r\nTrailer: x\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            let answer = try await client.until("hello")
            #expect(answer.statuses == [200, 200])
            #expect(answer.contains("\r\n\r\nabcde0123456789HTTP/1.1"))
            client.close()
        }
    }

    @Test func aChunkedBodyOverTheLimitIsCountedAndRefused() async throws {
        try await withServer({
            $0.on("POST", "/", body: .buffered(limit: 1000)) { .bytes($0.body, contentType: "text/plain") }
        }) { port in
            let client = try RawClient(port: port)
            try await client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            try await client.send(String(repeating: "1F4\r\n" + String(repeating: "a", count: 500) + "\r\n", count: 3))
            #expect(try await client.all().statuses == [413])
            client.close()
        }
    }

    @Test func expectedContinueIsSaidBeforeTheBodyIsRead() async throws {
        try await withServer(Router.small) { port in
            let client = try RawClient(port: port)
            try await client.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            #expect(try await client.until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
            try await client.send("abc")
            let answer = try await client.until("\r\n\r\nabc")
            #expect(answer.statuses == [200])
            client.close()
        }
    }

    @Test func expectOnAnUnknownPathIsRefusedInsteadOfContinued() async throws {
        try await withServer(Router.small) { port in
            let client = try RawClient(port: port)
            try await client.send(
                "POST /nothing HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            #expect(try await client.all().statuses == [404])
            client.close()
        }
    }

    @Test func http10ClosesUnlessItAsksToStay() async throws {
        try await withServer(Router.small) { port in
            let client = try RawClient(port: port)
            try await client.send("GET / HTTP/1.0\r\n\r\n")
            let answer = try await client.all()
            #expect(answer.statuses == [200])
            #expect(answer.contains("Connection: close"))
            client.close()
            let staying = try RawClient(port: port)
            try await staying.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            #expect(try await staying.until("hello").contains("Connection: keep-alive"))
            try await staying.send("GET / HTTP/1.0\r\n\r\n")
            #expect(try await staying.all().statuses == [200])
            staying.close()
        }
    }

    @Test func connectionCloseIsHonoured() async throws {
        try await withServer(Router.small) { port in
            let client = try RawClient(port: port)
            try await client.send(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await client.all().statuses == [200])
            client.close()
        }
    }

    @Test func headHasTheHeadersOfGetAndNoBody() async throws {
        try await withServer({ router in
            Router.small(&router)
            router.on("GET", "/stream") { _ in .stream(contentType: "text/plain") { try await $0.write("hello") } }
        }) { port in
            let client = try RawClient(port: port)
            try await client.send(
                "HEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD /stream HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            let answer = try await client.until("hello")
            #expect(answer.statuses == [200, 200, 200])
            #expect(answer.components(separatedBy: "Content-Length: 5").count == 3)
            #expect(answer.components(separatedBy: "hello").count == 2)
            client.close()
        }
    }

    @Test func aKnownPathWithAnotherMethodNamesThoseItAnswers() async throws {
        try await withServer(Router.small) { port in
            let client = try RawClient(port: port)
            try await client.send("DELETE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(try await client.all().contains("\r\nAllow: GET, HEAD\r\n"))
            client.close()
        }
    }

    @Test func textFromOutsideCannotEndAHeaderLine() async throws {
        try await withServer({ router in
            router.on("GET", "/") { request in
                var headers: HTTPFields = ["X-Back": request.query("q") ?? "", "X\r\nEvil": "1"]
                headers["Content-Length"] = "1"
                headers["Transfer-Encoding"] = "chunked"
                return .bytes(Array("hello".utf8), contentType: "text/plain\r\nEvil: 1", headers: headers)
            }
        }) { port in
            let client = try RawClient(port: port)
            try await client.send("GET /?q=a%0d%0aSet-Cookie:%20x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            let answer = try await client.all()
            #expect(answer.contains("\r\nX-Back: a  Set-Cookie: x\r\n"))
            #expect(answer.components(separatedBy: "Content-Length").count == 2)
            #expect(!answer.contains("\r\nEvil"))
            #expect(!answer.contains("chunked"))
            client.close()
        }
    }
}
