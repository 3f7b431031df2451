import CPostgres
import Foundation

/// A session of libpq. Waits with a deadline: a server that went silent costs its connection, not the thread.
struct PostgresSession: ~Copyable {
    private let handle: OpaquePointer

    private init(adopting handle: OpaquePointer) { self.handle = handle }
    deinit { PQfinish(handle) }

    /// Throws: `connectionFailed`, or the server's own refusal with its SQLSTATE.
    static func open(
        _ url: String, applicationName: String, within limit: Duration
    ) throws(PostgresError) -> PostgresSession {
        guard isReadable(url) else { throw .connectionFailed(reason: "the database URL cannot be read") }
        // What the URL says comes after `options`, so it wins.
        let settings = [
            ("options", "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=iso_8601"), ("dbname", url),
            ("fallback_application_name", applicationName), ("client_encoding", "UTF8"), ("tcp_user_timeout", "15000"),
        ]
        let names = settings.map { strdup($0.0) }
        let values = settings.map { strdup($0.1) }
        defer { (names + values).forEach { free($0) } }
        let handle = PQconnectStartParams(
            names.map { UnsafePointer($0) } + [nil], values.map { UnsafePointer($0) } + [nil], 1)
        guard let handle else { throw .connectionFailed(reason: "out of memory") }
        let session = PostgresSession(adopting: handle)
        // Only the verbose form tells the SQLSTATE of a refused connection.
        PQsetErrorVerbosity(handle, PQERRORS_VERBOSE)
        PQsetNoticeProcessor(handle, { _, _ in }, nil)
        let deadline = ContinuousClock.now + limit
        var next = PGRES_POLLING_WRITING
        while PQstatus(handle) != CONNECTION_BAD {
            if next == PGRES_POLLING_OK {
                PQsetErrorVerbosity(handle, PQERRORS_DEFAULT)
                guard PQsetnonblocking(handle, 1) == 0 else { break }
                return session
            }
            guard next != PGRES_POLLING_FAILED else { break }
            let events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT
            guard session.wait(for: Int16(events), until: deadline) else {
                throw .connectionFailed(reason: "no answer within \(limit)")
            }
            next = PQconnectPoll(handle)
        }
        throw session.connectionError()
    }

    /// libpq's own words about a bad URL could repeat a part of the password: `u:p@ss:w@host` has the port `w@host`.
    private static func isReadable(_ url: String) -> Bool {
        guard let parsed = PQconninfoParse(url, nil) else { return false }
        defer { PQconninfoFree(parsed) }
        var option = parsed
        while let keyword = option.pointee.keyword {
            if strcmp(keyword, "port") == 0, let port = option.pointee.val {
                return String(cString: port).allSatisfy { $0 == "," || $0.isASCII && $0.isNumber }
            }
            option += 1
        }
        return true
    }

    /// `FATAL:  28P01: password authentication failed for user "x"` and what follows, or a reason without a code.
    private func connectionError() -> PostgresError {
        let text = String(cString: PQerrorMessage(handle))
        let lines = text.split(separator: "\n").map(String.init)
        for line in lines {
            guard let range = line.range(of: #"(FATAL|ERROR|[A-Z]+):  [0-9A-Z]{5}: "#, options: .regularExpression)
            else { continue }
            return .server(
                sqlState: String(line[range].dropLast(2).suffix(5)), message: String(line[range.upperBound...]))
        }
        return .connectionFailed(reason: lines.first ?? "unknown")
    }

    private func lost() -> PostgresError {
        let text = String(cString: PQerrorMessage(handle))
        return .connectionLost(reason: text.split(separator: "\n").first.map(String.init) ?? "the session ended")
    }

    /// False when the time is over.
    private func wait(for events: Int16, until deadline: ContinuousClock.Instant) -> Bool {
        var descriptor = pollfd(fd: PQsocket(handle), events: events, revents: 0)
        while true {
            let left = deadline - .now
            guard left > .zero else { return false }
            let milliseconds = min(
                Int64(Int32.max),
                left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000 + 1)
            let ready = poll(&descriptor, 1, Int32(milliseconds))
            if ready > 0 { return true }
            if ready < 0, errno != EINTR { return true }  // libpq will find out what is wrong
        }
    }

    /// Looks, without a round trip, whether the server has ended the session meanwhile.
    var isUsable: Bool {
        guard PQstatus(handle) == CONNECTION_OK else { return false }
        var descriptor = pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0)
        guard poll(&descriptor, 1, 0) > 0 else { return true }
        // Nobody asked: outside a transaction that is most often the farewell, and another session is cheap.
        return isInTransaction && PQconsumeInput(handle) == 1 && PQstatus(handle) == CONNECTION_OK
    }

    var isInTransaction: Bool { PQtransactionStatus(handle) != PQTRANS_IDLE }

    /// What cancels the running statement, from any thread.
    func cancellation() -> Cancellation? { PQgetCancel(handle).map(Cancellation.init) }

    /// Sendable: a `PGcancel` is never written to, and `PQcancel` may be called from any thread.
    final class Cancellation: @unchecked Sendable {
        private let handle: OpaquePointer
        fileprivate init(_ handle: OpaquePointer) { self.handle = handle }
        deinit { PQfreeCancel(handle) }
        func send() {
            var reason = [CChar](repeating: 0, count: 256)
            _ = PQcancel(handle, &reason, 256)  // refused means finished or lost: the waiting side learns which
        }
    }

    // MARK: - Statements

    enum Command {
        /// Several statements, no parameters.
        case script(String)
        case parameters(String, EncodedParameters)
        case prepare(name: String, String, types: [UInt32])
        case prepared(name: String, EncodedParameters)
    }

    func execute(_ command: Command, binary: Bool, until deadline: ContinuousClock.Instant) throws(PostgresError)
        -> PostgresRows
    {
        guard send(command, binary: binary) else { throw lost() }
        return try finish(until: deadline)
    }

    private func send(_ command: Command, binary: Bool) -> Bool {
        let format: Int32 = binary ? 1 : 0
        return switch command {
        case .script(let sql): PQsendQuery(handle, sql) == 1
        case .prepare(let name, let sql, let types): PQsendPrepare(handle, name, sql, Int32(types.count), types) == 1
        case .parameters(let sql, let parameters):
            parameters.withPointers {
                PQsendQueryParams(
                    handle, sql, Int32(parameters.count), parameters.types, $0, parameters.lengths, parameters.formats,
                    format)
            } == 1
        case .prepared(let name, let parameters):
            parameters.withPointers {
                PQsendQueryPrepared(
                    handle, name, Int32(parameters.count), $0, parameters.lengths, parameters.formats, format)
            } == 1
        }
    }

    private func flush(until deadline: ContinuousClock.Instant) throws(PostgresError) {
        while true {
            switch PQflush(handle) {
            case 0: return
            case 1:
                guard wait(for: Int16(POLLIN | POLLOUT), until: deadline) else { throw .silent }
                guard PQconsumeInput(handle) == 1 else { throw lost() }
            default: throw lost()
            }
        }
    }

    private func nextResult(until deadline: ContinuousClock.Instant) throws(PostgresError) -> PostgresResult? {
        while PQisBusy(handle) == 1 {
            guard wait(for: Int16(POLLIN), until: deadline) else { throw .silent }
            guard PQconsumeInput(handle) == 1 else { throw lost() }
        }
        return PQgetResult(handle).map(PostgresResult.init(adopting:))
    }

    /// Reads all results: the first error wins, else the last one counts.
    private func finish(until deadline: ContinuousClock.Instant) throws(PostgresError) -> PostgresRows {
        try flush(until: deadline)
        var last: PostgresResult?
        var failure: PostgresError?
        while let result = try nextResult(until: deadline) {
            switch PQresultStatus(result.handle) {
            case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: last = result
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
                throw .server(sqlState: "0A000", message: "COPY runs with copyIn and copyOut")
            default: failure = failure ?? error(of: result)
            }
        }
        if let failure { throw failure }
        guard let last else { throw lost() }
        return PostgresRows(last)
    }

    private func error(of result: PostgresResult) -> PostgresError {
        func field(_ code: Int32) -> String? { PQresultErrorField(result.handle, code).map { String(cString: $0) } }
        guard let sqlState = field(0x43 /* PG_DIAG_SQLSTATE */) else {
            return lost()
        }
        let message = field(0x4D /* PG_DIAG_MESSAGE_PRIMARY */) ?? ""
        // Only errors of the statement itself have one; whoever wrote the statement wants to know where.
        let place = field(0x50 /* PG_DIAG_STATEMENT_POSITION */).map { " (at character \($0))" } ?? ""
        return .server(sqlState: sqlState, message: message + place)
    }

    // MARK: - COPY

    func startCopy(_ sql: String, until deadline: ContinuousClock.Instant) throws(PostgresError) {
        guard PQsendQuery(handle, sql) == 1 else { throw lost() }
        try flush(until: deadline)
        guard let result = try nextResult(until: deadline) else { throw lost() }
        switch PQresultStatus(result.handle) {
        case PGRES_COPY_IN, PGRES_COPY_OUT: return
        case PGRES_FATAL_ERROR:
            let failure = error(of: result)
            while try nextResult(until: deadline) != nil {}
            throw failure
        default:
            while try nextResult(until: deadline) != nil {}
            throw .server(sqlState: "42601", message: "not a COPY FROM STDIN or COPY TO STDOUT")
        }
    }

    func putCopy(_ bytes: [UInt8], until deadline: ContinuousClock.Instant) throws(PostgresError) {
        while true {
            let outcome = bytes.withUnsafeBytes {
                PQputCopyData(handle, $0.baseAddress?.assumingMemoryBound(to: CChar.self), Int32($0.count))
            }
            if outcome == 1 { return try flush(until: deadline) }
            guard outcome == 0 else { throw lost() }
            guard wait(for: Int16(POLLOUT), until: deadline) else { throw .silent }
        }
    }

    /// Rows copied. `failure` makes the server roll the COPY back.
    func endCopyIn(failure: String? = nil, until deadline: ContinuousClock.Instant) throws(PostgresError) -> Int {
        while true {
            let outcome = PQputCopyEnd(handle, failure)
            if outcome == 1 { break }
            guard outcome == 0 else { throw lost() }
            guard wait(for: Int16(POLLOUT), until: deadline) else { throw .silent }
        }
        return try finish(until: deadline).affected
    }

    /// The next piece, `nil` at the end.
    func nextCopy(until deadline: ContinuousClock.Instant) throws(PostgresError) -> [UInt8]? {
        while true {
            var buffer: UnsafeMutablePointer<CChar>?
            let count = PQgetCopyData(handle, &buffer, 1)
            if count > 0, let buffer {
                defer { PQfreemem(buffer) }
                return Array(UnsafeRawBufferPointer(start: buffer, count: Int(count)))
            }
            switch count {
            case 0:
                guard wait(for: Int16(POLLIN), until: deadline) else { throw .silent }
                guard PQconsumeInput(handle) == 1 else { throw lost() }
            case -1:
                _ = try finish(until: deadline)
                return nil
            default: throw lost()
            }
        }
    }
}

extension PostgresError {
    /// The session is of no more use: an answer may still come.
    fileprivate static let silent = PostgresError.connectionLost(reason: "the server did not answer in time")
}
