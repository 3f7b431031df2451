import Foundation
import Redis
import ServiceRuntime
import Synchronization

/// The proof that a consumer lives: `lease:<id>` in Redis, renewed from a thread and a connection of its own, so that neither
/// a busy pool nor a long pipeline makes a living consumer look dead.
///
/// Renewed by PEXPIRE, which a full Redis still allows. Ages by a clock that goes on while the machine sleeps.
final class Lease: Sendable {
    private struct State {
        var renewedAt: ContinuousClock.Instant?
        var generation = 0
        var stopped = false
        var waiters: [CheckedContinuation<Void, Never>] = []
        var attempted = false
        /// Of the newest registration that was sent; more than `generation` while it has not been answered.
        var sentGeneration = 0

        mutating func renew(at time: ContinuousClock.Instant) {
            renewedAt = time
            generation = sentGeneration
        }
    }
    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)
    private let id: String
    private let duration: Duration
    private let redis: RedisConnection
    private let log: Log

    init(id: String, redisURL: String, duration: Duration, log: Log) {
        self.id = id
        self.duration = duration
        self.log = log
        redis = RedisConnection(url: redisURL, log: log, timeout: duration / 4)
    }

    /// False past two thirds of the lease without a renewal: then start nothing that has an effect.
    var isHeld: Bool {
        state.withLock { state in
            guard let renewed = state.renewedAt, !state.stopped else { return false }
            return ContinuousClock.now - renewed < duration * 2 / 3
        }
    }
    /// Grows each time the lease had to be created anew: what was held before may be somebody else's. It is the value of the
    /// key, too, so that a claim knows exactly which lease it was made under.
    var generation: Int { state.withLock { $0.generation } }
    /// A claim was made under this one: it may know of a new lease before the renewing thread has had its answer.
    func sawGeneration(_ generation: Int) { state.withLock { $0.generation = max($0.generation, generation) } }

    /// Starts renewing; returns after the first attempt, successful or not.
    func start() async {
        let thread = Thread { self.work() }
        thread.name = "lease"
        thread.stackSize = 1 << 19
        thread.start()
        await withCheckedContinuation { continuation in
            let attempted = state.withLock { state in
                if !state.attempted { state.waiters.append(continuation) }
                return state.attempted
            }
            if attempted { continuation.resume() }
        }
    }

    /// Renews now rather than at the next beat.
    func renewSoon() { wake.signal() }

    func stop() {
        state.withLock { $0.stopped = true }
        wake.signal()
    }

    private func work() {
        while !state.withLock({ $0.stopped }) {
            let renewed = renew()
            let waiters = state.withLock { state in
                defer { state.waiters = [] }
                state.attempted = true
                return state.waiters
            }
            waiters.forEach { $0.resume() }
            let pause = renewed ? duration / 4 : duration / 20
            _ = wake.wait(timeout: .now() + .milliseconds(max(1, Int(pause / .milliseconds(1)))))
        }
        redis.close()
    }

    private func renew() -> Bool {
        let before = ContinuousClock.now
        let milliseconds = RedisArgument(Int(duration / .milliseconds(1)))
        do throws(RedisError) {
            if try redis.sendAndWait(["PEXPIRE", RedisArgument(QueueKey.lease(id)), milliseconds]).integer == 1 {
                state.withLock { $0.renew(at: before) }
            } else {
                let next = state.withLock { state in
                    state.sentGeneration += 1
                    return state.sentGeneration
                }
                _ = try redis.sendAndWait([
                    "EVAL", RedisArgument(QueueScripts.register.source), "2", RedisArgument(QueueKey.lease(id)),
                    RedisArgument(QueueKey.consumers), RedisArgument(id), milliseconds,
                    RedisArgument(next),
                ])
                state.withLock { $0.renew(at: before) }
                if next > 1 { log.warning("queue.lease_lost", ["consumer": .string(id)]) }
            }
            return true
        } catch {
            if error != .closed { log.warning("queue.lease_not_renewed", ["error": .string("\(error)")]) }
            return false
        }
    }
}
