import Foundation
import Synchronization
import Testing

@testable import HTTPServer

/// Bodies that are read or written while the other side still works.
@Suite struct StreamingTests {
    private static let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test func aStreamIsSentInChunksAndTheConnectionStays() async throws {
        try await withServer({ router in
            router.on("GET", "/") { _ in
                .stream(contentType: "text/csv") { writer in
                    try await writer.write("hello ")
                    try await BlockingPool.run {}
                    try await writer.write("")
                    try await writer.write("0123456789abcdef")
                }
            }
        }) { port in
            let client = try RawClient(port: port)
            for _ in 0..<2 {
                try await client.send(Self.get)
                let answer = try await client.until("\r\n0\r\n\r\n")
                #expect(answer.hasSuffix("\r\n\r\n6\r\nhello \r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"))
                #expect(answer.contains("Transfer-Encoding: chunked") && !answer.contains("Content-Length"))
            }
            try await client.send("GET / HTTP/1.0\r\n\r\n")
            #expect(try await client.all().hasSuffix("\r\n\r\nhello 0123456789abcdef"))
            client.close()
        }
    }

    @Test func aStreamThatFailsDoesNotLookComplete() async throws {
        struct Broken: Error {}
        let lines = LogLines()
        try await withServer(
            log: lines.log(),
            { router in
                router.on("GET", "/") { _ in
                    .stream(contentType: "text/plain") { writer in
                        try await writer.write("half")
                        throw Broken()
                    }
                }
            }
        ) { port in
            let client = try RawClient(port: port)
            try await client.send(Self.get)
            #expect(try await client.all().hasSuffix("4\r\nhalf\r\n"))
            client.close()
        }
        #expect(lines.all.contains { $0.contains("http.stream_failed") })
    }

    @Test func aWriterWaitsForItsClientAndLearnsThatItHasGone() async throws {
        let written = Mutex(0)
        let ended = Signal()
        try await withServer({ router in
            router.on("GET", "/") { _ in
                .stream(contentType: "text/plain") { writer in
                    defer { ended.fire() }
                    while true {
                        try await writer.write([UInt8](repeating: 97, count: 100_000))
                        written.withLock { $0 += 100_000 }
                    }
                }
            }
        }) { port in
            let client = try RawClient(port: port)
            try await client.send(Self.get)
            _ = try await client.receive(until: { $0.utf8.count > 1_000_000 })
            client.abort()
            await ended.wait()
            #expect(written.withLock { $0 } < 64 << 20)
        }
    }

    @Test func aProducerOnAnotherExecutorCanWrite() async throws {
        actor Elsewhere {
            nonisolated let executor = PrivateExecutor()
            nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
            func produce(_ writer: HTTPBodyWriter) async throws {
                for _ in 0..<50 { try await writer.write([UInt8](repeating: 0x7E, count: 50_000)) }
            }
        }
        try await withServer({
            $0.on("GET", "/") { _ in .stream(contentType: "text/plain") { try await Elsewhere().produce($0) } }
        }) { port in
            let client = try RawClient(port: port)
            try await client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(try await client.all().utf8.count(where: { $0 == 0x7E }) == 2_500_000)
            client.close()
        }
    }

    @Test func aLargeAnswerArrivesWhole() async throws {
        let body = (0..<3_000_000).map { UInt8(truncatingIfNeeded: 97 + $0 % 26) }
        try await withServer({ $0.on("GET", "/") { _ in .bytes(body, contentType: "text/plain") } }) { port in
            let client = try RawClient(port: port)
            try await client.send(
                "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            let answer = try await client.all()
            #expect(answer.statuses == [200, 200])
            #expect(answer.utf8.suffix(3_000_000).elementsEqual(body))
            client.close()
        }
    }

    // MARK: - Events

    @Test func eventsHaveTheirFieldsAndKeepAliveComments() async throws {
        let release = Signal()
        var limits = HTTPLimits()
        limits.eventKeepAlive = .milliseconds(20)
        try await withServer(
            limits: limits,
            { router in
                router.on("GET", "/") { _ in
                    .events { writer in
                        try await writer.send(id: "7\nevil: 1", event: "progress", data: "one\ntwo\r\nthree")
                        await release.wait()
                        try await writer.send(data: "last")
                    }
                }
            }
        ) { port in
            let client = try RawClient(port: port)
            try await client.send(Self.get)
            let answer = try await client.until(": keep-alive\n\n", times: 2)
            #expect(answer.contains("Content-Type: text/event-stream"))
            #expect(answer.contains("id: 7 evil: 1\nevent: progress\ndata: one\ndata: two\ndata: three\n\n"))
            release.fire()
            #expect(try await client.until("\r\n0\r\n\r\n").contains("data: last\n\n"))
            client.close()
        }
    }

    @Test func anEventClientThatGoesIsNoticedWithoutAnEvent() async throws {
        let (started, ended) = (Signal(), Signal())
        var limits = HTTPLimits()
        limits.probe = .milliseconds(10)
        limits.eventKeepAlive = .milliseconds(20)
        try await withServer(
            limits: limits,
            { router in
                router.on("GET", "/") { _ in
                    .events { _ in
                        started.fire()
                        try? await Task.sleep(for: .seconds(60))
                        ended.fire()
                    }
                }
            }
        ) { port in
            let client = try RawClient(port: port)
            try await client.send(Self.get)
            await started.wait()
            client.close()
            await ended.wait()
        }
    }

    // MARK: - Request bodies

    private static func streamed(_ limit: Int, _ handler: @escaping Handler) -> (inout Router) -> Void {
        { $0.on("POST", "/", body: .streaming(limit: limit), handler) }
    }

    @Test func aBodyIsReadWhileItArrives() async throws {
        let first = Signal()
        try await withServer(
            Self.streamed(100) { request in
                var text = ""
                for try await piece in request.bodyStream {
                    text += String(decoding: piece, as: UTF8.self) + "|"
                    first.fire()
                }
                return .text(text)
            }
        ) { port in
            let client = try RawClient(port: port)
            try await client.send(
                "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
            _ = try await client.until("100 Continue\r\n\r\n")
            try await client.send("3\r\nabc\r\n")
            await first.wait()
            try await client.send("3\r\ndef\r\n0\r\n\r\n")
            #expect(try await client.until("abc|def|").statuses == [200])
            try await client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            #expect(try await client.all().contains("Content-Length: 0"))
            client.close()
        }
    }

    @Test func aSlowReaderGetsALargeBodyWhole() async throws {
        let body = (0..<2_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try await withServer(
            Self.streamed(1 << 30) { request in
                var sum = 0
                var count = 0
                for try await piece in request.bodyStream {
                    try await BlockingPool.run {}
                    count += piece.count
                    sum = piece.reduce(sum) { $0 &* 31 &+ Int($1) }
                }
                return .text("\(count) \(sum)")
            }
        ) { port in
            let client = try RawClient(port: port)
            async let sending: Void = client.send(
                Array("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\nConnection: close\r\n\r\n".utf8)
                    + body)
            let answer = try await client.all()
            try await sending
            #expect(answer.hasSuffix("\(body.count) \(body.reduce(0) { $0 &* 31 &+ Int($1) })"))
            client.close()
        }
    }

    @Test(arguments: [
        ("Transfer-Encoding: chunked\r\n\r\n20\r\n", 413), ("Content-Length: 32\r\n\r\n", 413),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeX", 400),
    ])
    func whatIsWrongWithAStreamedBodyIsThrownToItsReader(_ rest: String, _ status: Int) async throws {
        try await withServer(
            Self.streamed(16) { request in .bytes(try await request.bodyStream.collected(), contentType: "text/plain") }
        ) { port in
            let client = try RawClient(port: port)
            try await client.send("POST / HTTP/1.1\r\nHost: a\r\n\(rest)\(String(repeating: "a", count: 32))")
            #expect(try await client.all().statuses == [status])
            client.close()
        }
    }

    @Test func aHandlerThatDoesNotReadItsBodyAnswersAndCloses() async throws {
        try await withServer(Self.streamed(1 << 30) { _ in throw Problem.forbidden() }) { port in
            let client = try RawClient(port: port)
            try await client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
            #expect(try await client.all().statuses == [403])
            client.close()
        }
    }

    @Test func aClientThatGoesInTheMiddleEndsTheStream() async throws {
        let (started, ended) = (Signal(), Signal())
        try await withServer(
            Self.streamed(1 << 30) { request in
                defer { ended.fire() }
                for try await _ in request.bodyStream { started.fire() }
                return .text("all")
            }
        ) { port in
            let client = try RawClient(port: port)
            try await client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
            await started.wait()
            client.abort()
            await ended.wait()
        }
    }
}

/// A thread that is not the server's.
final class PrivateExecutor: SerialExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        Thread.detachNewThread { [self] in job.runSynchronously(on: asUnownedSerialExecutor()) }
    }
}
