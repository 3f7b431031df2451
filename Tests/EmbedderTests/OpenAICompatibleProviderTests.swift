import HTTPClient
import HTTPServer
import ServiceRuntime
import Testing
import WireProtocol

@testable import Embedder

struct OpenAICompatibleProviderTests {
    private func provider(
        _ server: StubEmbeddingsServer, sendsDimensions: Bool = false, timeout: Duration = .seconds(10)
    ) -> OpenAICompatibleProvider {
        OpenAICompatibleProvider(
            baseURL: server.url + "/v1", key: "sk-test", model: "text-embedding-3-small", dimensions: 4,
            sendsDimensions: sendsDimensions, limits: ProviderLimits(timeout: timeout), client: HTTPClient(log: .silent)
        )
    }
    private func call(_ texts: [String] = ["red chair", "blue \"table\"\n", "été"]) -> EmbeddingCall {
        EmbeddingCall(texts: texts, model: "text-embedding-3-small", dimensions: 4, task: .document)
    }

    @Test(arguments: [true, false])
    func takesBase64AndNumbersInTheOrderOfTheirIndex(asNumbers: Bool) async throws {
        let server = try await StubEmbeddingsServer { request, _ in
            StubEmbeddingsServer.answer(request, asNumbers: asNumbers)
        }
        let answer = try await provider(server).embed(call())
        #expect(answer.tokens == 7)
        for (result, text) in zip(answer.results, call().texts) {
            let vector = try result.get()
            #expect(zip(vector, FakeProvider.vector(of: text)).allSatisfy { abs($0 - $1) < 1e-6 })
        }
        await server.stop()
    }

    /// As the official SDK does it (`specs/recorded/official-sdk-requests.jsonl`).
    @Test func sendsWhatTheOfficialClientSends() async throws {
        let server = try await StubEmbeddingsServer { request, _ in StubEmbeddingsServer.answer(request) }
        _ = try await provider(server, sendsDimensions: true).embed(call(["a", "b"]))
        #expect(server.requests.map(\.authorization) == ["Bearer sk-test"])
        #expect(
            server.requests[0].body == [
                "input": ["a", "b"], "model": "text-embedding-3-small", "dimensions": 4, "encoding_format": "base64",
            ])
        await server.stop()
    }

    @Test func doesWithoutAParameterTheServerRefuses() async throws {
        let server = try await StubEmbeddingsServer { request, _ in
            for name in ["encoding_format", "dimensions"] where request.body[name] != nil {
                return .json(
                    ["error": ["message": .string("Unknown parameter: \(name)"), "type": "invalid_request_error"]],
                    status: 400)
            }
            return StubEmbeddingsServer.answer(request, asNumbers: true)
        }
        let provider = provider(server, sendsDimensions: true)
        for _ in 0..<2 { _ = try await provider.embed(call()) }
        #expect(server.requests.count == 4)  // the second call remembers
        await server.stop()
    }

    /// One server has several models: what one of them refuses another may take.
    @Test func eachModelIsAskedForItsOwnSize() async throws {
        let server = try await StubEmbeddingsServer { request, _ in
            let model = request.body["model"]?.string
            if model == "fixed", request.body["dimensions"] != nil {
                return .json(["error": ["message": "fixed does not support dimensions"]] as JSONValue, status: 400)
            }
            return StubEmbeddingsServer.answer(
                request, dimensions: model == "fixed" ? 8 : Int(request.body["dimensions"]?.integer ?? 4))
        }
        let provider = provider(server)
        for (model, dimensions) in [("fixed", 8), ("flexible", 6), ("fixed", 8), ("text-embedding-3-small", 4)] {
            var call = call(["a"])
            (call.model, call.dimensions) = (model, dimensions)
            #expect(try await provider.embed(call).results[0].get().count == dimensions)
        }
        #expect(server.requests.map { $0.body["dimensions"]?.integer } == [8, nil, 6, nil, nil])
        var wrong = call(["a"])
        (wrong.model, wrong.dimensions) = ("fixed", 9)
        await #expect(throws: EmbeddingError.self) {
            _ = try await provider.embed(wrong).results[0].get()
        }
        await server.stop()
    }

    private typealias Reply = @Sendable (StubEmbeddingsServer.Seen) -> HTTPResponse
    private static func data(_ vectors: [(index: Int, embedding: JSONValue)]) -> HTTPResponse {
        .json(["data": .array(vectors.map { ["index": JSONValue($0.index), "embedding": $0.embedding] })])
    }
    private static let badReplies: [(EmbeddingError.Kind, Reply)] = [
        (
            .rateLimited,
            { _ in .json(["error": ["message": "slow"]] as JSONValue, status: 429, headers: ["retry-after": "3"]) }
        ),
        (.serverError, { _ in .text("oops", status: 500) }),
        (.protocolError, { _ in .bytes(Array("<html>a proxy</html>".utf8), contentType: "text/html") }),
        (.protocolError, { _ in .json(["data": "nothing"] as JSONValue) }),
        (.badVector, { _ in data([(0, [1, 0, 0, 0]), (1, [1, 0, 0, 0])]) }),
        (.badVector, { _ in data([(0, [1, 0, 0, 0]), (1, [1, 0, 0, 0]), (1, [1, 0, 0, 0])]) }),
        (.badVector, { _ in data([(0, [1, 0, 0, 0]), (1, [1, 0, 0, 0]), (3, [1, 0, 0, 0])]) }),
        (.spaceUnavailable, { _ in data([(0, [1, 0]), (1, [1, 0]), (2, [1, 0])]) }),
        (
            .connection,
            { _ in
                .stream(contentType: "application/json") { writer in
                    try await writer.write(#"{"data":["#)
                    throw HTTPDisconnected()
                }
            }
        ),
    ]

    @Test(arguments: badReplies.indices)
    func aBadAnswerIsNeverTaken(index: Int) async throws {
        let (kind, reply) = Self.badReplies[index]
        let server = try await StubEmbeddingsServer { request, _ in reply(request) }
        await #expect { try await provider(server).embed(call()) } throws: { error in
            let error = error as? EmbeddingError
            return error?.kind == kind && (kind != .rateLimited || error?.retryAfter == .seconds(3))
        }
        await server.stop()
    }

    @Test func aVectorThatAloneIsBadFailsAlone() async throws {
        let server = try await StubEmbeddingsServer { _, _ in
            Self.data([
                (0, [3, 0, 4, 0]), (1, .string(StubEmbeddingsServer.base64([.nan, 0, 0, 1]))), (2, [0, 0, 0, 0]),
            ])
        }
        let results = try await provider(server).embed(call()).results
        #expect(try results[0].get() == [0.6, 0, 0.8, 0])
        for result in results.dropFirst() { #expect(throws: EmbeddingError.self) { try result.get() } }
        await server.stop()
    }

    @Test func aServerThatIsGoneIsAConnectionFailure() async throws {
        let server = try await StubEmbeddingsServer { request, _ in StubEmbeddingsServer.answer(request) }
        await server.stop()
        await #expect { try await provider(server).embed(call()) } throws: {
            ($0 as? EmbeddingError)?.kind == .connection
        }
    }

    @Test func aServerThatDoesNotAnswerTimesOut() async throws {
        let released = Shutdown()
        let server = try await StubEmbeddingsServer { request, _ in
            await released.wait()
            return StubEmbeddingsServer.answer(request)
        }
        await #expect { try await provider(server, timeout: .milliseconds(200)).embed(call()) } throws: {
            ($0 as? EmbeddingError)?.kind == .timeout
        }
        released.request()
        await server.stop()
    }
}
