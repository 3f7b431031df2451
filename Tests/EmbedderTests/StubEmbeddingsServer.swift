import Foundation
import HTTPServer
import ServiceRuntime
import Synchronization
import WireProtocol

@testable import Embedder

/// `/v1/embeddings` on a real socket, answering as the test says.
final class StubEmbeddingsServer: Sendable {
    struct Seen: Sendable {
        var authorization: String?
        var body: JSONValue
        var texts: [String] { body["input"]?.array?.compactMap(\.string) ?? [] }
    }
    private let server: HTTPServer
    private let log: RequestLog
    let url: String
    var requests: [Seen] { log.all }

    /// - Parameter reply: gets the request and its number, from 1.
    init(_ reply: @escaping @Sendable (Seen, _ number: Int) async throws -> HTTPResponse) async throws {
        let log = RequestLog()
        self.log = log
        var router = Router()
        router.on("POST", "/v1/embeddings") { request in
            let arrived = Seen(authorization: request.headers["authorization"], body: try request.json())
            return try await reply(arrived, log.add(arrived))
        }
        server = HTTPServer(host: "127.0.0.1", port: 0, router: router, log: .silent, metrics: Metrics())
        url = "http://127.0.0.1:\(try await server.start())"
    }
    func stop() async { await server.stop() }

    private final class RequestLog: Sendable {
        private let list = Mutex<[Seen]>([])
        var all: [Seen] { list.withLock { $0 } }
        func add(_ request: Seen) -> Int {
            list.withLock { list in
                list.append(request)
                return list.count
            }
        }
    }

    static func base64(_ vector: [Float]) -> String { vector.withUnsafeBytes { Data($0).base64EncodedString() } }

    /// What a well-behaved server answers, its vectors in reverse order to see that `index` counts.
    static func answer(_ request: Seen, dimensions: Int = 4, asNumbers: Bool = false) -> HTTPResponse {
        let data = request.texts.enumerated().reversed().map { index, text -> JSONValue in
            let vector = FakeProvider.vector(of: text, dimensions: dimensions)
            let embedding: JSONValue =
                asNumbers ? .array(vector.map { .number(Double($0) * 3) }) : .string(base64(vector))
            return ["object": "embedding", "index": JSONValue(index), "embedding": embedding]
        }
        return .json([
            "object": "list", "model": "m", "data": .array(data), "usage": ["prompt_tokens": 7, "total_tokens": 7],
        ])
    }
}
