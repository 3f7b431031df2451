import Foundation
import ServiceRuntime
import Synchronization

/// One connection on a thread of its own. Opens its session when it is first used and again when the old one is lost.
///
/// In a transaction all statements of the body go through the same connection: `PostgresTransaction` is this type.
package actor PostgresConnection {
    private nonisolated let executor: BlockingExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    private let settings: PostgresSettings
    private var session: PostgresSession?
    private var statements = StatementCache()
    /// A lost session must not be replaced inside a transaction: what was done before would be missing.
    private var mayReconnect = true
    private nonisolated let running = RunningStatement()

    init(_ settings: PostgresSettings) {
        self.settings = settings
        executor = BlockingExecutor(label: "postgres")
    }

    // MARK: - Statements

    /// Runs one statement. `binary` asks for results in binary form: worth it for `bytea` and many integers; texts, booleans,
    /// integers, floats, uuid, bytea and jsonb can be read from it.
    /// Throws: `cancelled` when the waiting task is cancelled, after the server was told to stop.
    package nonisolated func query(
        _ sql: String, _ values: [PostgresValue] = [], binary: Bool = false
    ) async throws(PostgresError) -> PostgresRows {
        let parameters = try EncodedParameters(values)
        return try await cancellable { await $0.run(sql, parameters, binary: binary, as: $1) }
    }

    /// Runs several statements without parameters, as one implicit transaction unless one is open.
    package nonisolated func script(_ sql: String) async throws(PostgresError) {
        _ = try await call { session, deadline throws(PostgresError) in
            try session.execute(.script(sql), binary: false, until: deadline)
        }
    }

    /// `COPY ... FROM STDIN`: the bytes of the format that `sql` names. Gives the number of rows.
    @discardableResult
    package nonisolated func copyIn(_ sql: String, _ bytes: [UInt8]) async throws(PostgresError) -> Int {
        try await call { session, deadline throws(PostgresError) in
            try session.startCopy(sql, until: deadline)
            try session.putCopy(bytes, until: deadline)
            return try session.endCopyIn(until: deadline)
        }
    }

    /// `COPY ... FROM STDIN` in pieces, as they come: a big load needs no big buffer. An error of `pieces` rolls the COPY back.
    @discardableResult
    package nonisolated func copyIn<Pieces: AsyncSequence>(_ sql: String, pieces: Pieces) async throws -> Int
    where Pieces.Element == [UInt8] {
        try await startCopy(sql)
        do {
            for try await piece in pieces {
                try await call { session, deadline throws(PostgresError) in try session.putCopy(piece, until: deadline)
                }
            }
        } catch {
            await endFailedCopy()
            throw error
        }
        return try await call { session, deadline throws(PostgresError) in try session.endCopyIn(until: deadline) }
    }

    /// `COPY ... TO STDOUT`: `consume` gets each piece (a row, in text and csv); the server waits for it.
    package nonisolated func copyOut(_ sql: String, _ consume: ([UInt8]) async throws -> Void) async throws {
        try await startCopy(sql)
        do {
            while let piece = try await nextCopy() { try await consume(piece) }
        } catch {
            await abandon()
            throw error
        }
    }

    private nonisolated func startCopy(_ sql: String) async throws(PostgresError) {
        try await call { session, deadline throws(PostgresError) in try session.startCopy(sql, until: deadline) }
    }

    private nonisolated func nextCopy() async throws(PostgresError) -> [UInt8]? {
        try await call { session, deadline throws(PostgresError) in try session.nextCopy(until: deadline) }
    }

    // MARK: - Transactions and lending

    func begin(_ sql: String) async throws(PostgresError) {
        _ = try await query(sql)
        mayReconnect = false
    }

    func commit() async throws(PostgresError) {
        defer { mayReconnect = true }
        guard try await query("COMMIT").commandTag == "COMMIT" else {
            throw .server(sqlState: "25P02", message: "a statement of the transaction had failed: rolled back")
        }
    }

    /// Leaves no transaction open, whatever happened; also when the task is cancelled.
    func leaveClean() {
        mayReconnect = true
        guard session?.isInTransaction == true else { return }
        let outcome = perform(nil) { session, deadline throws(PostgresError) in
            try session.execute(.script("ROLLBACK"), binary: false, until: deadline)
        }
        if case .failure = outcome { abandon() }
    }

    private func endFailedCopy() {
        let outcome = perform(nil) { session, deadline throws(PostgresError) in
            try session.endCopyIn(failure: "the source failed", until: deadline)
        }
        // The failure is ours: the server's answer to it is an error, and the session goes on.
        if case .failure(.connectionLost) = outcome { abandon() }
    }

    /// Ends the session; the next statement opens another.
    package func abandon() {
        session = nil
        statements = StatementCache()
        running.state.withLock { $0.cancellation = nil }
    }

    // MARK: - On the connection's thread

    private func run(
        _ sql: String, _ parameters: EncodedParameters, binary: Bool, as ticket: Ticket
    ) -> Result<PostgresRows, PostgresError> {
        perform(ticket) { session, deadline throws(PostgresError) in
            switch statements.use(sql, parameters.types) {
            case .once: return try session.execute(.parameters(sql, parameters), binary: binary, until: deadline)
            case .prepared(let name):
                do throws(PostgresError) {
                    return try session.execute(.prepared(name: name, parameters), binary: binary, until: deadline)
                } catch {
                    // The tables behind the plan have changed, or somebody ran DISCARD: plan again next time.
                    if error.sqlState == "0A000" || error.sqlState == "26000" {
                        statements.forget(sql, parameters.types)
                    }
                    throw error
                }
            case .prepare(let name):
                _ = try session.execute(
                    .prepare(name: name, sql, types: parameters.types), binary: false, until: deadline)
                statements.remember(name, sql, parameters.types)
                return try session.execute(.prepared(name: name, parameters), binary: binary, until: deadline)
            }
        }
    }

    private nonisolated func call<R: Sendable>(
        _ body: @Sendable (borrowing PostgresSession, ContinuousClock.Instant) throws(PostgresError) -> R
    ) async throws(PostgresError) -> R {
        try await cancellable { await $0.attempt($1, body) }
    }

    private func attempt<R: Sendable>(
        _ ticket: Ticket,
        _ body: @Sendable (borrowing PostgresSession, ContinuousClock.Instant) throws(PostgresError) -> R
    ) -> Result<R, PostgresError> {
        perform(ticket, body)
    }

    /// Runs `body` on a usable session and drops a session that broke.
    private func perform<R>(
        _ ticket: Ticket?, _ body: (borrowing PostgresSession, ContinuousClock.Instant) throws(PostgresError) -> R
    ) -> Result<R, PostgresError> {
        do throws(PostgresError) {
            try ensureSession()
            if let ticket, !begins(ticket) { throw .cancelled }
            defer { running.state.withLock { $0.current = nil } }
            return .success(try body(session!, .now + settings.limits.statement))
        } catch {
            if case .connectionLost = error { abandon() }
            if let sqlState = error.sqlState, sqlState.hasPrefix("57P"), session?.isUsable != true { abandon() }
            if error.sqlState == "57014", ticket?.isCancelled.load(ordering: .relaxed) == true {
                return .failure(.cancelled)
            }
            return .failure(error)
        }
    }

    private func ensureSession() throws(PostgresError) {
        if session?.isUsable == true { return }
        guard mayReconnect else { throw .connectionLost(reason: "the session ended inside a transaction") }
        abandon()
        session = try PostgresSession.open(
            settings.url, applicationName: settings.applicationName, within: settings.limits.connect)
        let cancellation = session?.cancellation()
        running.state.withLock { $0.cancellation = cancellation }
    }

    // MARK: - Cancellation

    /// One call's place in line, and whether its task was cancelled.
    private final class Ticket: Sendable {
        let isCancelled = Atomic<Bool>(false)
    }

    private final class RunningStatement: Sendable {
        struct State: Sendable {
            var cancellation: PostgresSession.Cancellation?
            var current: Ticket?
        }
        let state = Mutex(State())
    }

    private func begins(_ ticket: Ticket) -> Bool {
        running.state.withLock { $0.current = ticket }
        guard ticket.isCancelled.load(ordering: .sequentiallyConsistent) else { return true }
        running.state.withLock { $0.current = nil }
        return false
    }

    /// Runs `work` on the connection's thread; cancelling the task cancels that statement alone.
    private nonisolated func cancellable<R: Sendable>(
        _ work: @Sendable (PostgresConnection, Ticket) async -> Result<R, PostgresError>
    ) async throws(PostgresError) -> R {
        let ticket = Ticket()
        let result = await withTaskCancellationHandler {
            await work(self, ticket)
        } onCancel: {
            ticket.isCancelled.store(true, ordering: .sequentiallyConsistent)
            if running.state.withLock({ $0.current === ticket }) { cancel(ticket) }
        }
        return try result.get()
    }

    /// `PQcancel` opens a connection: not on the thread of whoever cancels. The lock keeps the next statement away meanwhile. A
    /// request that came between two steps of one call is lost, so it is repeated until the call is over.
    private nonisolated func cancel(_ ticket: Ticket) {
        Thread.detachNewThread { [running] in
            while running.state.withLock({ running in
                guard running.current === ticket else { return false }
                running.cancellation?.send()
                return true
            }) { usleep(200_000) }
        }
    }
}
