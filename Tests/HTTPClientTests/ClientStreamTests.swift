import HTTPServer
import ServiceRuntime
import Synchronization
import Testing

@testable import HTTPClient

struct ClientStreamTests {
    private static let part = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }

    /// Writes until it is refused.
    private static func refusal(of upload: ClientUpload) async -> HTTPClientError {
        while true {
            do { try await upload.write(part) } catch { return error }
        }
    }

    private func serve(_ build: (inout Router) -> Void) async throws -> (
        url: String, server: HTTPServer, client: HTTPClient
    ) {
        var router = Router()
        build(&router)
        let server = HTTPServer(host: "127.0.0.1", port: 0, router: router, log: .silent, metrics: Metrics())
        return ("http://127.0.0.1:\(try await server.start())", server, HTTPClient(log: .silent))
    }

    @Test func anAnswerIsReadAsItComesAndNoFasterThanItIsTaken() async throws {
        let written = Mutex(0)
        let (url, server, client) = try await serve { router in
            router.on("GET", "/") { _ in
                .stream(contentType: "x/y", status: 203) { writer in
                    for _ in 0..<400 {
                        try await writer.write(Self.part)
                        written.withLock { $0 += Self.part.count }
                    }
                }
            }
        }
        let stream = try await client.stream(ClientRequest(url: url))
        #expect(stream.status == 203)
        #expect(stream.headers.contains { $0.name.lowercased() == "content-type" && $0.value == "x/y" })
        // Another request goes on while this one waits: the thread does not.
        #expect(try await client.send(ClientRequest(url: "\(url)/none")).status == 404)
        #expect(written.withLock { $0 } < 20_000_000, "everything was sent although nothing was taken")
        var (count, isRight) = (0, true)
        while let bytes = try await stream.next() {
            for (index, byte) in bytes.enumerated() {
                isRight = isRight && byte == Self.part[(count + index) % Self.part.count]
            }
            count += bytes.count
        }
        #expect(count == 20_000_000 && isRight)
        await server.stop()
    }

    @Test(arguments: [true, false]) func aBodyIsSentAsItComes(hasLength: Bool) async throws {
        let (url, server, client) = try await serve { router in
            router.on("PUT", "/", body: .streaming(limit: 1 << 30)) { request in
                var (count, isRight) = (0, true)
                for try await bytes in request.bodyStream {
                    for (index, byte) in bytes.enumerated() {
                        isRight = isRight && byte == Self.part[(count + index) % Self.part.count]
                    }
                    count += bytes.count
                }
                return .text("\(count) \(isRight) \(request.headers["content-length"] ?? "none")")
            }
        }
        for _ in 0..<2 {
            let upload = ClientUpload(length: hasLength ? 10_000_000 : nil)
            var request = ClientRequest(method: "PUT", url: url)
            request.upload = upload
            let stream = try await withThrowingTaskGroup(of: Void.self) { [request] group in
                group.addTask {
                    for _ in 0..<200 { try await upload.write(Self.part) }
                    upload.finish()
                }
                let stream = try await client.stream(request)
                try await group.waitForAll()
                return stream
            }
            var text: [UInt8] = []
            while let bytes = try await stream.next() { text += bytes }
            #expect(String(decoding: text, as: UTF8.self) == "10000000 true \(hasLength ? "10000000" : "none")")
        }
        await server.stop()
    }

    @Test func anEarlyAnswerEndsTheUpload() async throws {
        let (url, server, client) = try await serve { router in
            router.on("PUT", "/", body: .streaming(limit: 1000)) { request in
                _ = try await request.bodyStream.collected()
                return .empty()
            }
        }
        let upload = ClientUpload(length: 100_000_000)
        var request = ClientRequest(method: "PUT", url: url)
        request.upload = upload
        await withTaskGroup(of: Void.self) { [request] group in
            group.addTask { #expect(await Self.refusal(of: upload) == .closed) }
            let status = (try? await client.stream(request))?.status
            #expect(status == 413 || status == nil)  // the connection may break before the answer is read
            await group.waitForAll()
        }
        await server.stop()
    }

    @Test func lettingGoOfAnAnswerEndsItsTransfer() async throws {
        let ended = Shutdown()
        let (url, server, client) = try await serve { router in
            router.on("GET", "/") { _ in
                .stream(contentType: "x/y") { writer in
                    defer { ended.request() }
                    while true { try await writer.write(Self.part) }
                }
            }
        }
        do {
            let stream = try await client.stream(ClientRequest(url: url))
            #expect(try await stream.next()?.isEmpty == false)
        }
        await ended.wait()
        await server.stop()
    }

    @Test func aBodyThatBreaksOffIsNoAnswer() async throws {
        let (url, server, client) = try await serve { router in
            router.on("PUT", "/", body: .streaming(limit: 1 << 30)) { request in
                _ = try await request.bodyStream.collected()
                return .empty()
            }
        }
        let upload = ClientUpload(length: nil)
        var request = ClientRequest(method: "PUT", url: url)
        request.upload = upload
        try await upload.write([1, 2, 3])
        upload.fail()
        let answered = try? await client.stream(request)
        #expect(answered == nil)
        await server.stop()
        // Nobody there, and a writer that would wait for ever.
        let other = ClientUpload(length: nil)
        request.upload = other
        await withTaskGroup(of: Void.self) { [request] group in
            group.addTask { #expect(await Self.refusal(of: other) == .closed) }
            let answered = try? await client.stream(request)
            #expect(answered == nil)
            await group.waitForAll()
        }
    }
}
