import ServiceRuntime
import Synchronization
import WireProtocol

package typealias PostgresTransaction = PostgresConnection

/// How long a connection may take.
package struct PostgresLimits: Sendable, Equatable {
    /// Opening a session.
    package var connect: Duration
    /// One statement; after it the session is given up.
    package var statement: Duration
    /// Waiting for a free connection of the pool.
    package var acquire: Duration
    package init(connect: Duration = .seconds(5), statement: Duration = .seconds(120), acquire: Duration = .seconds(10))
    {
        self.connect = connect
        self.statement = statement
        self.acquire = acquire
    }
}

struct PostgresSettings: Sendable {
    var url: String
    var applicationName: String
    var limits: PostgresLimits
}

/// Up to `size` connections, opened when they are first needed and lent in the order of asking.
package final class PostgresPool: Sendable {
    private struct State {
        var idle: [PostgresConnection] = []
        var lent = 0
        var nextWaiter = 0
        var waiters: [(id: Int, continuation: CheckedContinuation<Result<PostgresConnection, PostgresError>, Never>)] =
            []
        var closed = false

        /// `nil` when all are in use.
        mutating func lend(_ settings: PostgresSettings, _ size: Int) -> Result<PostgresConnection, PostgresError>? {
            if closed { return .failure(.connectionFailed(reason: "the pool is closed")) }
            guard lent < size else { return nil }
            lent += 1
            return .success(idle.popLast() ?? PostgresConnection(settings))
        }
    }
    private let state = Mutex(State())
    private let settings: PostgresSettings
    private let size: Int
    private let log: Log
    private let metrics: Metrics?

    package init(
        url: String, size: Int, log: Log, metrics: Metrics? = nil, applicationName: String,
        limits: PostgresLimits = PostgresLimits()
    ) {
        settings = PostgresSettings(url: url, applicationName: applicationName, limits: limits)
        self.size = max(1, size)
        self.log = log
        self.metrics = metrics
        metrics?.beforeScrape { [weak self] metrics in
            guard let self else { return }
            let (lent, waiting) = state.withLock { ($0.lent, $0.waiters.count) }
            metrics.set("suite_postgres_connections_lent", Double(lent), help: "Connections of the pool in use")
            metrics.set("suite_postgres_waiting", Double(waiting), help: "Tasks that wait for a connection")
        }
    }

    /// Runs one statement on any connection. Throws as `PostgresConnection.query`.
    package func query(
        _ sql: String, _ values: [PostgresValue] = [], binary: Bool = false
    ) async throws(PostgresError) -> PostgresRows {
        let connection = try await acquire()
        let outcome: Result<PostgresRows, PostgresError>
        do throws(PostgresError) {
            outcome = .success(try await connection.query(sql, values, binary: binary))
        } catch {
            outcome = .failure(error)
        }
        release(connection)  // one statement leaves no transaction open
        return try outcome.get()
    }

    /// Lends one connection. A transaction left open is rolled back.
    @discardableResult
    package func withConnection<R: Sendable>(_ body: (PostgresConnection) async throws -> R) async throws -> R {
        let connection = try await acquire()
        do {
            let result = try await body(connection)
            await connection.leaveClean()
            release(connection)
            return result
        } catch {
            await connection.leaveClean()
            release(connection)
            throw error
        }
    }

    /// Runs `body` in a transaction: committed when it returns, rolled back when it throws, run again from its start after a
    /// serialization failure or a deadlock (at most `retries` times), so it must have no other effects or harmless ones.
    /// Throws: `connectionLost` from the commit itself leaves open whether it took effect.
    @discardableResult
    package func transaction<R: Sendable>(
        retries: Int = 3, _ body: (PostgresTransaction) async throws -> R
    ) async throws -> R {
        try await transaction("BEGIN", retries: retries, body)
    }

    /// The same, for reading only: one snapshot for all statements.
    package func snapshot<R: Sendable>(_ body: (PostgresTransaction) async throws -> R) async throws -> R {
        try await transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", retries: 3, body)
    }

    private func transaction<R: Sendable>(
        _ begin: String, retries: Int, _ body: (PostgresTransaction) async throws -> R
    ) async throws -> R {
        var conflicts = 0
        while true {
            do {
                return try await withConnection { connection in
                    try await connection.begin(begin)
                    let result = try await body(connection)
                    try await connection.commit()
                    return result
                }
            } catch let error as PostgresError where error.isConflict && conflicts < retries {
                conflicts += 1
                metrics?.add(
                    "suite_postgres_conflicts_total",
                    help: "Transactions run again after a deadlock or serialization failure")
                log.debug("postgres.conflict", ["state": JSONValue(error.sqlState), "conflicts": JSONValue(conflicts)])
                // The server has already waited `deadlock_timeout`; only keep two losers from meeting in step again.
                try await Task.sleep(for: .milliseconds(Int.random(in: 0...(10 << conflicts))))
            }
        }
    }

    /// Takes no more work; connections in use are closed when they come back.
    package func close() {
        let (idle, waiters) = state.withLock { state in
            state.closed = true
            defer {
                state.idle = []
                state.waiters = []
            }
            return (state.idle, state.waiters)
        }
        _ = idle
        for waiter in waiters {
            waiter.continuation.resume(returning: .failure(.connectionFailed(reason: "the pool is closed")))
        }
    }

    // MARK: - Lending

    private func acquire() async throws(PostgresError) -> PostgresConnection {
        if Task.isCancelled { throw .cancelled }
        let (id, ready) = state.withLock { state in
            state.nextWaiter += 1
            return (state.nextWaiter, state.waiters.isEmpty ? state.lend(settings, size) : nil)
        }
        if let ready { return try ready.get() }
        let limit = settings.limits.acquire
        // Begins when the waiter is in: one that ended before would find nobody to tell.
        let timer = Mutex<Task<Void, any Error>?>(nil)
        defer { timer.withLock { $0?.cancel() } }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let ready: Result<PostgresConnection, PostgresError>? = state.withLock { state in
                    if Task.isCancelled { return .failure(.cancelled) }
                    if let ready = state.lend(settings, size) { return ready }
                    state.waiters.append((id, continuation))
                    return nil
                }
                if let ready { return continuation.resume(returning: ready) }
                timer.withLock {
                    $0 = Task { [weak self] in
                        try await Task.sleep(for: limit)
                        self?.giveUp(id, .poolExhausted(after: limit))
                    }
                }
            }
        } onCancel: {
            giveUp(id, .cancelled)
        }
        return try result.get()
    }

    private func giveUp(_ id: Int, _ error: PostgresError) {
        let waiter = state.withLock { state in
            state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
        }
        waiter?.continuation.resume(returning: .failure(error))
    }

    private func release(_ connection: PostgresConnection) {
        let waiter = state.withLock { state in
            if !state.waiters.isEmpty { return Optional(state.waiters.removeFirst()) }
            state.lent -= 1
            if !state.closed { state.idle.append(connection) }
            return nil
        }
        waiter?.continuation.resume(returning: .success(connection))
    }
}

extension PostgresPool {
    /// The pool of a service, as it was told to reach PostgreSQL.
    package convenience init(_ settings: DatabaseSettings, service: String, metrics: Metrics, log: Log) {
        self.init(url: settings.url, size: settings.poolSize, log: log, metrics: metrics, applicationName: service)
    }
}

extension HealthChecks {
    package func add(_ pool: PostgresPool, as name: String = "postgres") {
        add(name, isRequired: true) { _ = try await pool.query("SELECT 1") }
    }
}
