import ServiceRuntime

/// An HTTP/1.1 server.
package final class HTTPServer: Service {
    package init(
        host: String, port: Int, router: Router, limits: HTTPLimits = .init(), log: Log, metrics: Metrics, loops: Int = 1,
        accessLog: Bool = true
    ) {}
    package func start() async throws -> Int { throw HTTPDisconnected() }
    package func run(until shutdown: Shutdown) async throws { await shutdown.wait() }
    package func stop() async {}
}
