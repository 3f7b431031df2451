import Dispatch
import ServiceRuntime
import Synchronization

/// A connection for ordinary commands, shared by any number of callers: what they queue while a pipeline is under way goes
/// out together as the next one.
///
/// Connects at the first command and again whenever the connection is lost, with growing, jittered pauses. A command that
/// was in flight then fails with a retryable error and is never sent twice; one that was not sent yet waits up to two
/// seconds for the server to come back.
/// Invariant: the commands of one `pipeline` reach the server together, with nobody else's between them.
package final class RedisConnection: Sendable {
    private let worker: RedisWorker
    private let timeout: Duration

    /// - Parameter timeout: how long a reply may be silent, and a command wait for a connection.
    package init(url: String, log: Log, timeout: Duration = .seconds(5), maximumPending: Int = 100_000) {
        self.timeout = timeout
        worker = RedisWorker(maximumPending: maximumPending)
        worker.start(Result { () throws(RedisError) in try RedisURL(url) }, label: "redis", log: log)
    }

    deinit { worker.close() }

    package func send(_ command: [RedisArgument]) async throws(RedisError) -> RedisValue {
        try await pipeline([command])[0].get()
    }
    package func send(_ command: RedisArgument...) async throws(RedisError) -> RedisValue { try await send(command) }

    /// Several commands in one round trip. An error reply is a value (`RedisValue.error`), a lost connection is thrown.
    package func pipeline(
        _ commands: [[RedisArgument]], timeout: Duration? = nil
    ) async throws(RedisError) -> [RedisValue] {
        if commands.isEmpty { return [] }
        let timeout = timeout ?? self.timeout
        return try await withCheckedContinuation { continuation in
            worker.submit(
                .init(commands: commands, deadline: .now + timeout, timeout: timeout) {
                    continuation.resume(returning: $0)
                })
        }.get()
    }

    /// Blocks the calling thread: only for a thread of its own, for which Swift's pool may be late (a lease).
    package func sendAndWait(_ command: [RedisArgument]) throws(RedisError) -> RedisValue {
        let answer = Answer()
        worker.submit(.init(commands: [command], deadline: .now + timeout, timeout: timeout) { answer.give($0) })
        return try answer.wait()[0].get()
    }

    private final class Answer: Sendable {
        private let result = Mutex<Result<[RedisValue], RedisError>>(.failure(.closed))
        private let given = DispatchSemaphore(value: 0)
        func give(_ value: Result<[RedisValue], RedisError>) {
            result.withLock { $0 = value }
            given.signal()
        }
        func wait() throws(RedisError) -> [RedisValue] {
            given.wait()
            return try result.withLock { $0 }.get()
        }
    }

    /// Fails what waits and what is in flight with `closed`.
    package func close() { worker.close() }
}

/// A connection and a thread for one caller's commands that wait in the server (`BLMOVE`).
package final class RedisBlockingConnection: Sendable {
    private let worker = RedisWorker(maximumPending: 16)

    package init(url: String, log: Log) {
        worker.start(Result { () throws(RedisError) in try RedisURL(url) }, label: "redis-blocking", log: log)
    }

    deinit { worker.close() }

    /// - Parameter timeout: the time the command itself may wait in the server. The socket gets two seconds more.
    package func send(_ command: [RedisArgument], timeout: Duration) async throws(RedisError) -> RedisValue {
        let replies = try await withCheckedContinuation { continuation in
            worker.submit(
                .init(commands: [command], deadline: .now + timeout, timeout: timeout + .seconds(2)) {
                    continuation.resume(returning: $0)
                })
        }.get()
        return try replies[0].get()
    }

    /// Ends a wait at once; it fails with `closed`, even though the server may have moved an element for it.
    package func close() { worker.close() }
}

extension HealthChecks {
    package func add(_ redis: RedisConnection, as name: String = "redis", isRequired: Bool = true) {
        add(name, isRequired: isRequired) { _ = try await redis.send("PING") }
    }
}
