import Foundation
import Resilience
import ServiceRuntime
import Synchronization

/// The thread behind a connection: takes whatever callers have queued, writes it as one pipeline, reads the replies.
final class RedisWorker: Sendable {
    struct Request: Sendable {
        var commands: [[RedisArgument]]
        /// Until when it may wait for a connection.
        var deadline: ContinuousClock.Instant
        /// How long the reply may take to begin or go on.
        var timeout: Duration
        var complete: @Sendable (Result<[RedisValue], RedisError>) -> Void
    }
    private struct State {
        var pending: [Request] = []
        var closed = false
    }
    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)
    private let descriptor = SharedDescriptor()
    private let maximumPending: Int
    /// After this long without a connection, requests fail at once instead of waiting for one.
    private static let patience = Duration.seconds(2)
    private static let backoff = Backoff(base: .milliseconds(50), cap: .seconds(1), attempts: .max)

    init(maximumPending: Int) { self.maximumPending = maximumPending }

    func start(_ url: Result<RedisURL, RedisError>, label: String, log: Log) {
        let thread = Thread { self.work(url, log) }
        thread.name = label
        thread.stackSize = 1 << 20
        thread.start()
    }

    func submit(_ request: Request) {
        let refusal = state.withLock { state -> RedisError? in
            if state.closed { return .closed }
            if state.pending.count >= maximumPending { return .overloaded(pending: state.pending.count) }
            state.pending.append(request)
            return nil
        }
        if let refusal { request.complete(.failure(refusal)) } else { wake.signal() }
    }

    func close() {
        state.withLock { $0.closed = true }
        wake.signal()
        descriptor.interrupt()
    }

    private func take() -> (requests: [Request], closed: Bool) {
        state.withLock { state in
            defer { state.pending = [] }
            return (state.pending, state.closed)
        }
    }

    private func work(_ url: Result<RedisURL, RedisError>, _ log: Log) {
        var session: RedisSession?
        var waiting: [Request] = []
        var outage = Outage()
        while true {
            if waiting.isEmpty { wake.wait() } else { outage.pause(wake) }
            let (requests, closed) = take()
            waiting += requests
            if closed {
                fail(waiting, .closed)
                return
            }
            if waiting.isEmpty { continue }
            if session?.isAlive == false { session = nil }  // ended while idle: nothing was in flight, nothing is lost
            if session == nil {
                if outage.isAttemptDue { session = connect(url, &outage, log) }
                if session == nil {
                    outage.expel(&waiting, failing: fail)
                    continue
                }
            }
            let round = waiting
            waiting = []
            if let error = exchange(round, over: &session) {
                log.warning("redis.connection_lost", ["error": .string("\(error)")])
            }
        }
    }

    private func connect(_ url: Result<RedisURL, RedisError>, _ outage: inout Outage, _ log: Log) -> RedisSession? {
        do throws(RedisError) {
            let session = try RedisSession.connect(url.get(), timeout: .seconds(5), descriptor: descriptor)
            if outage.end() { log.info("redis.reconnected") }
            return session
        } catch {
            if outage.failed(error, retryAfter: Self.backoff) {
                log.warning("redis.unreachable", ["error": .string("\(error)")])
            }
            return nil
        }
    }

    /// One pipeline. An error ends the session; what was not answered fails, and is never sent again.
    private func exchange(_ round: [Request], over session: inout RedisSession?) -> RedisError? {
        var answered = 0
        do throws(RedisError) {
            session?.setTimeout(round.map(\.timeout).max() ?? .seconds(5))
            for request in round { try session?.write(request.commands) }
            for request in round {
                var replies: [RedisValue] = []
                replies.reserveCapacity(request.commands.count)
                for _ in request.commands { replies.append(try session?.read() ?? .null) }
                answered += 1
                request.complete(.success(replies))
            }
            return nil
        } catch {
            session = nil
            fail(Array(round.dropFirst(answered)), state.withLock { $0.closed } ? .closed : error)
            return error
        }
    }

    private func fail(_ requests: [Request], _ error: RedisError) {
        for request in requests { request.complete(.failure(error)) }
    }

    /// The time without a connection: when to try again, and who still waits for it.
    private struct Outage {
        private var since: ContinuousClock.Instant?
        private var nextAttempt = ContinuousClock.now
        private var failures = 0
        private var error = RedisError.connectionFailed(reason: "not tried yet")

        mutating func failed(_ error: RedisError, retryAfter backoff: Backoff) -> Bool {
            failures += 1
            self.error = error
            let now = ContinuousClock.now
            if since == nil { since = now }
            nextAttempt = now + .milliseconds(10) + (backoff.delay(afterFailures: failures) ?? .seconds(1))
            return failures == 1
        }

        mutating func end() -> Bool {
            defer { self = Outage() }
            return failures > 0
        }

        func pause(_ wake: DispatchSemaphore) {
            let (seconds, attoseconds) = (nextAttempt - .now).components
            let nanoseconds = Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
            if nanoseconds > 0 { _ = wake.wait(timeout: .now() + .nanoseconds(nanoseconds)) }
        }

        var isAttemptDue: Bool { since == nil || ContinuousClock.now >= nextAttempt }

        /// Fails the requests that cannot wait any longer.
        func expel(_ waiting: inout [Request], failing fail: ([Request], RedisError) -> Void) {
            guard let since else { return }
            let now = ContinuousClock.now
            let late = now - since > RedisWorker.patience || !error.isRetryable
            fail(waiting.filter { late || $0.deadline <= now }, error)
            waiting.removeAll { late || $0.deadline <= now }
        }
    }
}
