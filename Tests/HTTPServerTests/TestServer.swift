import ServiceRuntime
import Synchronization

@testable import HTTPServer

/// A server on a free port for the length of a closure.
func withServer<Value>(
    limits: HTTPLimits = HTTPLimits(), loops: Int = 1, log: Log = .silent, metrics: Metrics = Metrics(),
    accessLog: Bool = false,
    _ routes: (inout Router) -> Void, _ body: (Int) async throws -> Value
) async throws -> Value {
    var router = Router()
    routes(&router)
    let server = HTTPServer(
        host: "127.0.0.1", port: 0, router: router, limits: limits, log: log, metrics: metrics, loops: loops,
        accessLog: accessLog)
    let port = try await server.start()
    do {
        let value = try await body(port)
        await server.stop()
        return value
    } catch {
        await server.stop()
        throw error
    }
}

extension Router {
    /// `GET /` says hello; `POST /echo` gives the body back.
    static func small(_ router: inout Router) {
        router.on("GET", "/") { _ in .text("hello") }
        router.on("POST", "/echo", body: .buffered(limit: 10 << 20)) {
            .bytes($0.body, contentType: "application/octet-stream")
        }
    }
}

/// The lines of a log, for tests that read them.
final class LogLines: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func log() -> Log { Log(service: "test", write: { [self] line in lines.withLock { $0.append(line) } }) }
}
