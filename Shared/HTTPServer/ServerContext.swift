import ServiceRuntime
import Synchronization

/// What all connections of a server share.
final class ServerContext: Sendable {
    let router: CompiledRouter
    let limits: HTTPLimits
    let log: Log
    let accessLog: Bool
    /// Requests that could not be read.
    let malformed: RouteSeries
    let openConnections = Atomic<Int>(0)
    let bufferedBytes = Atomic<Int>(0)

    init(router: Router, limits: HTTPLimits, log: Log, metrics: Metrics, accessLog: Bool) {
        self.router = CompiledRouter(router, metrics: metrics, log: log)
        self.limits = limits
        self.log = log
        self.accessLog = accessLog
        malformed = RouteSeries(route: "malformed", method: "any", metrics: metrics)
    }
}

/// A limit in the loop's unit.
struct LoopLimits {
    let head: UInt64
    let stall: UInt64
    let body: UInt64
    let idle: UInt64
    let drain: UInt64
    let eventKeepAlive: UInt64
    let probe: UInt64

    init(_ limits: HTTPLimits) {
        func milliseconds(_ duration: Duration) -> UInt64 { UInt64(max(1, duration.milliseconds)) }
        head = milliseconds(limits.head)
        stall = milliseconds(limits.stall)
        body = milliseconds(limits.body)
        idle = milliseconds(limits.idle)
        drain = milliseconds(limits.drain)
        probe = milliseconds(limits.probe)
        eventKeepAlive = milliseconds(limits.eventKeepAlive)
    }
}
