import CEpoll
import Foundation
import ServiceRuntime
import Synchronization

/// An HTTP/1.1 server (RFC 9112) on epoll. Handlers run on the loop of their connection: they must not block, and heavy work
/// belongs into `BlockingPool`.
package final class HTTPServer: Service {
    private struct Running {
        var port: Int
        var listener: Int32
        var sets: [ConnectionSet]
        var drained: [Shutdown]
    }
    private let host: String
    private let port: Int
    private let loops: Int
    private let context: ServerContext
    private let running = Mutex<Running?>(nil)

    /// `port` 0 takes any free one; `start()` says which.
    package init(
        host: String, port: Int, router: Router, limits: HTTPLimits = .init(), log: Log, metrics: Metrics,
        loops: Int = 1,
        accessLog: Bool = true
    ) {
        self.host = host
        self.port = port
        self.loops = max(1, loops)
        context = ServerContext(router: router, limits: limits, log: log, metrics: metrics, accessLog: accessLog)
        metrics.beforeScrape { [weak context] metrics in
            guard let context else { return }
            metrics.set(
                "suite_http_connections", Double(context.openConnections.load(ordering: .relaxed)),
                help: "Open connections.")
        }
    }

    /// Listens and serves from now on. Returns the port. Throws: `HTTPServerError`.
    package func start() async throws -> Int { try startNow() }

    private func startNow() throws(HTTPServerError) -> Int {
        try running.withLock { running throws(HTTPServerError) in
            if let running { return running.port }
            let listener = socket_listen(host, Int32(port), 1024)
            guard listener >= 0 else {
                throw .cannotListen(host: host, port: port, reason: String(cString: strerror(-listener)))
            }
            var started = Running(port: Int(socket_port(listener)), listener: listener, sets: [], drained: [])
            for _ in 0..<loops {
                let loop = try EventLoop(tick: tick)
                let drained = Shutdown()
                started.sets.append(
                    try ConnectionSet(loop: loop, listener: listener, context: context, drained: drained))
                started.drained.append(drained)
            }
            for set in started.sets { set.loop.start(set) }
            running = started
            context.log.info("http.listening", ["host": .string(host), "port": .integer(Int64(started.port))])
            return started.port
        }
    }

    /// A quarter of the shortest limit, so that none is missed by much.
    private var tick: Duration {
        let limits = context.limits
        let shortest =
            [limits.head, limits.stall, limits.body, limits.idle, limits.drain, limits.eventKeepAlive, limits.probe]
            .min() ?? limits.head
        return min(.milliseconds(250), max(.milliseconds(5), shortest / 4))
    }

    package func run(until shutdown: Shutdown) async throws {
        _ = try await start()
        await shutdown.wait()
        await stop()
    }

    /// Accepts no more, lets requests in flight finish within `limits.drain`, then cancels them. A cancelled caller does not
    /// wait for them.
    package func stop() async {
        let taken = running.withLock { running in
            defer { running = nil }
            return running
        }
        guard let running = taken else { return }
        for set in running.sets { await set.loop.run { set.closeDoor() } }
        // Before the first idle connection is closed: its client would connect again, and find nobody behind an open port.
        socket_close(running.listener)
        for set in running.sets { set.loop.execute { set.drain() } }
        for drained in running.drained { await drained.wait() }
        for set in running.sets where Task.isCancelled { set.loop.execute { set.cancelAll() } }
    }
}
