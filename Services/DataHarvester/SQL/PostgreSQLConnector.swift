import Foundation
import Postgres
import ServiceRuntime
import WireProtocol

/// PostgreSQL, read with what a user wrote and no more: the template inside `SELECT * FROM (...)`, one statement a call, values bound,
/// in a read-only transaction that is always rolled back, as a role that is no superuser.
actor PostgreSQLConnector: Connector {
    struct Settings: Sendable {
        var connection: JSONObject
        /// Without it and without a table: for a test of the connection only.
        var queryTemplate: String?
        /// Empty while nobody has said yet which column it is: then for a preview only.
        var key: String
        var updatedAt: String?
        var allowSuperuser = false
        var statementTimeout: Duration = .seconds(60)
        var policy = NetworkPolicy()
        /// How far an incremental sync looks back behind the last watermark.
        var overlap: Duration = .seconds(300)
    }
    private struct Opened {
        var pool: PostgresPool
        var version: String
        var keyType: String
        /// What `{{after}}` is compared with: the key, or while there is none what the query itself names.
        var afterType: String
        var updatedType: String?
    }
    private let settings: Settings
    private var opened: Opened?
    private var opening: Task<Opened, any Error>?
    /// Halved when a page turns out to be big.
    private var pageRows = Int.max
    private static let pageBytes = 32 << 20

    init(_ settings: Settings) { self.settings = settings }

    nonisolated var keysPerRead: Int { 1000 }

    func close() async {
        opened?.pool.close()
        opened = nil
    }

    // MARK: The connector

    func test() async throws -> SourceTest {
        let opened = try await open()
        return SourceTest(
            server: "PostgreSQL \(opened.version)", details: JSONObject([("keyType", .string(opened.keyType))]))
    }

    func count() async throws -> SourceCount {
        let opened = try await open()
        var statement = try Statement(settings)
        statement.addRows(opened, after: nil, limit: nil)
        let rows = try await run("SELECT count(*) FROM (\(statement.sql)) AS c", statement, in: opened)
        return SourceCount(rows: Int(rows[0].int(0) ?? 0))
    }

    func clock() async throws -> String? {
        guard let column = settings.updatedAt else { return nil }
        let opened = try await open()
        if opened.updatedType == "timestamp with time zone" {
            return try await run("SELECT now()::text", Statement(settings), in: opened)[0].text(0)
        }
        // A time without a zone, or a counter: only the rows know how far it is.
        var statement = try Statement(settings)
        statement.addRows(opened, after: nil, limit: nil)
        return try await run(
            "SELECT max(q.\(quoted(column)))::text FROM (\(statement.sql)) AS q", statement, in: opened)[0].text(0)
    }

    func readPage(after cursor: String?, limit: Int, window: ChangeWindow?) async throws -> SourcePage {
        let opened = try await open()
        let limit = max(1, min(limit, pageRows))
        var statement = try Statement(settings)
        let cursor = Cursor(cursor, statement.template.placeholders)
        // One row more tells whether the last key goes on behind the page.
        let isByKey = cursor.isByKey && !settings.key.isEmpty
        statement.addPage(
            opened, cursor, limit: isByKey ? limit + 1 : limit, window: window, overlap: settings.overlap)
        let rows = try await run(statement.sql, statement, in: opened)
        var page = try page(rows.prefix(limit), of: rows.columns, cursor: cursor, limit: limit)
        if isByKey, rows.count > limit, let index = rows.columns.firstIndex(where: { $0.name == settings.key }),
            let key = rows[limit - 1].text(index), key == rows[limit].text(index)
        {
            let inPage = rows.prefix(limit).count { $0.text(index) == key }
            page.failures += try await repetitions(of: key, beyond: inPage, cursor, window, opened)
        }
        return page
    }

    /// The next page begins behind `key`: its rows that no page would have are told, not lost.
    private func repetitions(
        of key: String, beyond known: Int, _ cursor: Cursor, _ window: ChangeWindow?, _ opened: Opened
    ) async throws -> [RowFailure] {
        var statement = try Statement(settings)
        statement.addPage(opened, cursor, limit: nil, window: window, overlap: settings.overlap)
        let parameter = statement.bind(.text(key))
        statement.wrap(
            "SELECT count(*) FROM (", ") AS r WHERE r.\(quoted(settings.key)) = \(parameter)::\(opened.keyType)")
        let count = Int(try await run(statement.sql, statement, in: opened)[0].int(0) ?? 0)
        let failure = RecordFailure(
            type: "duplicate_key", message: "the key comes \(count) times: another row was taken")
        return Array(
            repeating: RowFailure(identifier: key, failure: failure, isKey: true), count: max(0, count - known))
    }

    func readByKeys(_ keys: [String]) async throws -> SourcePage {
        let opened = try await open()
        do {
            return try await read(keys, castingTo: opened.keyType, in: opened)
        } catch let error as SourceError where error.code == .invalidQuery && opened.keyType != "text" {
            // A key that is no value of the column's type: compare as texts.
            return try await read(keys, castingTo: nil, in: opened)
        }
    }

    private func read(_ keys: [String], castingTo type: String?, in opened: Opened) async throws -> SourcePage {
        var statement = try Statement(settings)
        statement.addRows(opened, after: nil, limit: nil, codes: type == nil ? nil : keys)
        let column = "q.\(quoted(settings.key))"
        let parameter = statement.bind(.textArray(keys))
        let condition =
            type.map { "\(column) = ANY(\(parameter)::text[]::\($0)[])" }
            ?? "\(column)::text = ANY(\(parameter)::text[])"
        let rows = try await run("SELECT * FROM (\(statement.sql)) AS q WHERE \(condition)", statement, in: opened)
        var page = try page(rows[...], of: rows.columns, cursor: .start, limit: .max)
        page.isExhausted = true
        return page
    }

    // MARK: Cursors

    /// `k:` and the last key, `n:` and how many rows without a key were read, `o:` and an offset.
    enum Cursor: Equatable {
        case start, key(String), nullKeys(Int), offset(Int)

        init(_ text: String?, _ placeholders: Set<SQLTemplate.Placeholder>) {
            let body = text.map { String($0.dropFirst(2)) } ?? ""
            switch text?.first {
            case "k": self = .key(body)
            case "n": self = .nullKeys(Int(body) ?? 0)
            case "o": self = .offset(Int(body) ?? 0)
            default: self = placeholders.contains(.offset) && !placeholders.contains(.after) ? .offset(0) : .start
            }
        }
        var isByKey: Bool {
            switch self {
            case .start, .key: true
            case .nullKeys, .offset: false
            }
        }
        var text: String? {
            switch self {
            case .start: nil
            case .key(let key): "k:\(key)"
            case .nullKeys(let count): "n:\(count)"
            case .offset(let offset): "o:\(offset)"
            }
        }
    }

    private func page(
        _ rows: PostgresRows.SubSequence, of columns: [PostgresColumn], cursor: Cursor, limit: Int
    ) throws(SourceError) -> SourcePage {
        let names = columns.map(\.name)
        let keyIndex = names.firstIndex(of: settings.key)
        if keyIndex == nil, !settings.key.isEmpty { throw Self.missing(settings.key, names) }
        let readings = columns.map { PostgreSQLValues.reading(of: $0.type) }
        var page = SourcePage(columns: names)
        page.rows.reserveCapacity(rows.count)
        var bytes = 0
        for row in rows {
            var members: [(name: String, value: JSONValue)] = []
            members.reserveCapacity(names.count)
            for (index, name) in names.enumerated() {
                let value = row.withBytes(index) { buffer in
                    bytes += buffer.count
                    return PostgreSQLValues.value(buffer, readings[index])
                }
                members.append((name, value ?? .null))
            }
            page.rows.append(SourceRow(values: JSONObject(unique: members)))
        }
        if bytes > Self.pageBytes, rows.count > 1 { pageRows = max(1, rows.count / 2) }
        guard let keyIndex else {
            page.isExhausted = true
            return page
        }
        let last = rows.last.flatMap { $0.text(keyIndex) }
        let placeholders = try Statement(settings).template.placeholders
        switch cursor {
        case .start, .key:
            if placeholders.contains(.after) {
                // A template may limit itself: only an empty page is the end.
                page.isExhausted = rows.isEmpty
                page.next = last.map { Cursor.key($0).text } ?? cursor.text
            } else if rows.count < limit {
                page.next = Cursor.nullKeys(0).text
            } else {
                page.next = last.map { Cursor.key($0).text } ?? cursor.text
            }
        case .nullKeys(let count):
            page.isExhausted = rows.count < limit
            page.next = Cursor.nullKeys(count + rows.count).text
        case .offset(let offset):
            page.isExhausted = rows.isEmpty
            page.next = Cursor.offset(offset + rows.count).text
        }
        return page
    }

    // MARK: Statements

    /// A statement being written, and its bound values.
    private struct Statement {
        let template: SQLTemplate
        private let settings: Settings
        private(set) var sql = ""
        private(set) var values: [PostgresValue] = []
        /// From positions in `sql` to positions in the template, both from 0.
        private(set) var place: @Sendable (Int) -> Int? = { _ in nil }
        private var prefix = 0

        init(_ settings: Settings) throws(SourceError) {
            self.settings = settings
            if let text = settings.queryTemplate {
                template = try SQLTemplate(text, dialect: .postgresql)
            } else if let table = settings.connection["table"]?.string {
                let parts =
                    settings.connection["schema"]?.string.map { [$0, table] }
                    ?? table.split(separator: ".").map(String.init)
                template = try SQLTemplate(
                    "SELECT * FROM \(parts.map(quoted).joined(separator: "."))", dialect: .postgresql)
            } else {
                throw SourceError(.refusedQuery, "there is neither a query nor a table", field: "queryTemplate")
            }
        }

        mutating func bind(_ value: PostgresValue) -> String {
            values.append(value)
            return "$\(values.count)"
        }

        /// The template with its placeholders bound. Opened `nil`: for its columns only.
        mutating func addRows(
            _ opened: Opened?, after: String?, limit: Int?, offset: Int = 0, since: String? = nil,
            codes: [String]? = nil
        ) {
            var bound: [String: String] = [:]
            var values = values
            func parameter(_ name: String, _ value: PostgresValue, _ type: String) -> String {
                if let known = bound[name] { return known }
                values.append(value)
                let text = "$\(values.count)::\(type)"
                bound[name] = text
                return text
            }
            func write(_ part: SQLTemplate.Part) -> String {
                guard let opened else {
                    if case .inCodes(let negated) = part { return negated ? " <> ALL (NULL)" : " = ANY (NULL)" }
                    return "NULL"
                }
                let list = codes.map { PostgresValue.textArray($0) } ?? .null
                switch part {
                case .placeholder(.limit): return parameter("limit", PostgresValue(limit), "bigint")
                case .placeholder(.offset): return parameter("offset", .int(Int64(offset)), "bigint")
                case .placeholder(.after) where opened.afterType.isEmpty: return "NULL"
                case .placeholder(.after):
                    let lowest = Self.lowest(opened.afterType)
                    return parameter("after", (after ?? lowest).map(PostgresValue.text) ?? .null, opened.afterType)
                case .placeholder(.since):
                    let type = opened.updatedType ?? "timestamp with time zone"
                    return parameter("since", (since ?? Self.lowest(type)).map(PostgresValue.text) ?? .null, type)
                case .placeholder(.codes) where opened.keyType.isEmpty: return "NULL"
                case .inCodes(let negated) where opened.keyType.isEmpty:
                    return negated ? " <> ALL (NULL)" : " = ANY (NULL)"
                case .placeholder(.codes): return parameter("codes", list, "text[]::\(opened.keyType)[]")
                case .inCodes(let negated):
                    return
                        " \(negated ? "<> ALL" : "= ANY") (\(parameter("codes", list, "text[]::\(opened.keyType)[]")))"
                case .sql(let text): return text
                }
            }
            let rendered = template.rendered(write)
            self.values = values
            // A line of its own: the template may end in a comment.
            sql = rendered.sql + "\n"
            place = rendered.place
        }

        /// `limit` nil: all that is left.
        mutating func addPage(_ opened: Opened, _ cursor: Cursor, limit: Int?, window: ChangeWindow?, overlap: Duration)
        {
            var after: String?
            var offset = 0
            if case .key(let key) = cursor { after = key }
            if case .offset(let count) = cursor { offset = count }
            addRows(opened, after: after, limit: limit, offset: offset, since: window?.since)
            let placeholders = template.placeholders
            let key = "q.\(quoted(settings.key))"
            var conditions: [String] = []
            if let column = settings.updatedAt, let type = opened.updatedType, let window {
                if let since = window.since {
                    let parameter = "\(bind(.text(since)))::\(type)"
                    let back = type.hasPrefix("timestamp") ? " - interval '\(overlap.components.seconds) seconds'" : ""
                    conditions.append("q.\(quoted(column)) >= \(parameter)\(back)")
                }
                if let until = window.until {
                    conditions.append("q.\(quoted(column)) <= \(bind(.text(until)))::\(type)")
                }
            }
            var order = ""
            var tail = ""
            switch cursor {
            case .offset:
                if !placeholders.contains(.limit) { tail = " LIMIT \(bind(PostgresValue(limit)))" }
            case .start where settings.key.isEmpty: tail = " LIMIT \(bind(PostgresValue(limit)))"
            case .start, .key:
                if case .key(let last) = cursor, !placeholders.contains(.after) {
                    conditions.append("\(key) > \(bind(.text(last)))::\(opened.keyType)")
                }
                if !placeholders.contains(.after) { conditions.append("\(key) IS NOT NULL") }
                order = " ORDER BY \(key)"
                tail = " LIMIT \(bind(PostgresValue(limit)))"
            case .nullKeys(let count):
                conditions.append("\(key) IS NULL")
                tail = " OFFSET \(bind(.int(Int64(count)))) LIMIT \(bind(PostgresValue(limit)))"
            }
            let filter = conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND ")
            wrap("SELECT * FROM (", ") AS q\(filter)\(order)\(tail)")
        }

        mutating func wrap(_ before: String, _ after: String) {
            sql = before + sql + after
            prefix += before.unicodeScalars.count
        }

        /// `position`: from 1, in `sql`, or in `sql` behind `more` further characters.
        func origin(_ position: Int, before more: Int) -> Int? { place(position - 1 - prefix - more).map { $0 + 1 } }

        /// What comes before every key: an empty cursor.
        private static func lowest(_ type: String) -> String? {
            switch type {
            case "smallint": "-32768"
            case "integer": "-2147483648"
            case "bigint": "-9223372036854775808"
            case "numeric": "-1e1000"
            case "real", "double precision": "-Infinity"
            case "uuid": "00000000-0000-0000-0000-000000000000"
            case "date", "timestamp without time zone", "timestamp with time zone": "-infinity"
            case "text", "character varying", "bpchar", "name": ""
            default: nil
            }
        }
    }

    /// Runs `sql`, which holds `statement.sql` once, and takes it back.
    private func run(_ sql: String, _ statement: Statement, in opened: Opened) async throws -> PostgresRows {
        let before = sql.range(of: statement.sql).map { sql[..<$0.lowerBound].unicodeScalars.count } ?? 0
        return try await Self.readOnly(opened.pool) { transaction in
            do {
                return try await transaction.query(sql, statement.values)
            } catch let error as PostgresError {
                throw Self.sourceError(error) { statement.origin($0, before: before) }
            }
        }
    }

    private struct RolledBack: Error { var rows: PostgresRows }

    /// Never commits: what a function of the query wrote is gone (`lo_create` writes even in a read-only transaction).
    private static func readOnly(
        _ pool: PostgresPool, _ body: @Sendable (PostgresTransaction) async throws -> PostgresRows
    ) async throws -> PostgresRows {
        do {
            return try await pool.snapshot { transaction -> PostgresRows in
                throw RolledBack(rows: try await body(transaction))
            }
        } catch let done as RolledBack {
            return done.rows
        } catch let error as PostgresError {
            throw sourceError(error) { _ in nil }
        }
    }

    // MARK: Opening

    private func open() async throws -> Opened {
        if let opened { return opened }
        if let opening { return try await opening.value }
        let settings = settings
        let task = Task { try await Self.connect(settings) }
        opening = task
        defer { opening = nil }
        let opened = try await task.value
        self.opened = opened
        return opened
    }

    private static func connect(_ settings: Settings) async throws -> Opened {
        // First what needs no server.
        let hasRows = settings.queryTemplate != nil || settings.connection["table"]?.string != nil
        var probe = hasRows ? try Statement(settings) : nil
        probe?.addRows(nil, after: nil, limit: nil)
        let address = try DatabaseAddress(settings.connection, defaultPort: 5432)
        let reached = try await NetworkAddress.reach(host: address.host, port: address.port, policy: settings.policy)
        let pool = PostgresPool(
            url: connectionText(address, hostAddress: reached.text, timeout: settings.statementTimeout), size: 2,
            log: .silent,
            applicationName: "suite-harvester",
            limits: PostgresLimits(connect: .seconds(10), statement: settings.statementTimeout + .seconds(10)))
        let role = try await readOnly(pool) { transaction in
            try await transaction.query(
                """
                SELECT current_setting('server_version'), r.rolsuper, r.rolsuper OR pg_has_role(r.oid, 'pg_execute_server_program', 'MEMBER')
                    OR pg_has_role(r.oid, 'pg_read_server_files', 'MEMBER') OR pg_has_role(r.oid, 'pg_write_server_files', 'MEMBER')
                FROM pg_roles r WHERE r.rolname = current_user
                """)
        }
        if role.first?.bool(2) == true, !settings.allowSuperuser {
            throw SourceError(
                .refusedRole,
                "\(address.user) is a superuser or may run programs and read files of the server: use a role that may only read the tables",
                field: "connectionConfig.user")
        }
        let version = role.first?.text(0) ?? ""
        guard let probing = probe else { return Opened(pool: pool, version: version, keyType: "", afterType: "") }
        let text = "SELECT * FROM (\(probing.sql)) AS q LIMIT 0"
        let shape = try await readOnly(pool) { transaction in
            do {
                return try await transaction.query(text)
            } catch let error as PostgresError {
                throw sourceError(error) { probing.origin($0, before: 15) }
            }
        }
        let columns = shape.columns
        let names = columns.map(\.name)
        if let repeated = names.first(where: { name in names.count(where: { $0 == name }) > 1 }) {
            throw SourceError(
                .invalidQuery, "the query gives two columns called \(repeated): name them apart with AS",
                field: "queryTemplate")
        }
        func type(of column: String, field: String) async throws -> String {
            guard let found = columns.first(where: { $0.name == column }) else {
                throw missing(column, names, field: field)
            }
            let oid = Int64(found.type == 705 ? 25 : found.type)
            let rows = try await readOnly(pool) {
                try await $0.query("SELECT format_type($1::bigint::oid, -1)", [.int(oid)])
            }
            return rows[0].text(0) ?? "text"
        }
        let keyType = settings.key.isEmpty ? "" : try await type(of: settings.key, field: "fieldMapping.id")
        var afterType = keyType
        if keyType.isEmpty, let query = settings.queryTemplate,
            let compared = query.firstMatch(of: /(\w+)"?\s*>=?\s*\{\{\s*after/).map({ String($0.output.1) }),
            names.contains(compared)
        {
            afterType = try await type(of: compared, field: "queryTemplate")
        }
        var updatedType: String?
        if let column = settings.updatedAt { updatedType = try await type(of: column, field: "fieldMapping.updatedAt") }
        return Opened(pool: pool, version: version, keyType: keyType, afterType: afterType, updatedType: updatedType)
    }

    private static func missing(_ column: String, _ names: [String], field: String = "fieldMapping.id") -> SourceError {
        SourceError(
            .missingColumn, "the query gives no column \(column); it gives \(names.prefix(50).joined(separator: ", "))",
            field: field)
    }

    /// Nothing is taken from this process's environment or home: no `PGPASSWORD`, no password file.
    private static func connectionText(_ address: DatabaseAddress, hostAddress: String, timeout: Duration) -> String {
        let milliseconds = timeout.components.seconds * 1000
        let options = [
            "TimeZone=UTC", "DateStyle=ISO", "IntervalStyle=iso_8601", "default_transaction_read_only=on",
            "statement_timeout=\(milliseconds)", "lock_timeout=5000", "idle_in_transaction_session_timeout=60000",
        ].map { "-c \($0)" }.joined(separator: " ")
        let members = [
            ("host", address.host), ("hostaddr", hostAddress), ("port", "\(address.port)"),
            ("dbname", address.database),
            ("user", address.user), ("password", address.password), ("sslmode", address.tls), ("options", options),
            ("passfile", "/nonexistent"), ("gssencmode", "disable"),
        ]
        return members.map { name, value in
            let escaped = value.replacing("\\", with: "\\\\").replacing("'", with: "\\'")
            return "\(name)='\(escaped)'"
        }.joined(separator: " ")
    }

    // MARK: Errors

    private static func sourceError(_ error: PostgresError, place: (Int) -> Int?) -> any Error {
        switch error {
        case .cancelled: return CancellationError()
        case .connectionLost: return SourceError(.connectionLost, "the server closed the connection")
        case .poolExhausted: return SourceError(.busy, "no connection was free")
        case .connectionFailed(let reason):
            let isTLS = ["SSL", "certificate", "TLS"].contains { reason.contains($0) }
            return isTLS
                ? SourceError(.tlsFailed, reason, field: "connectionConfig.tls")
                : SourceError(
                    reason.contains("no answer within") ? .timedOut : .unreachable, reason,
                    field: "connectionConfig.host")
        case .server(let state, let message):
            var text = message
            var position: Int?
            if let found = message.firstMatch(of: /\s\(at character (\d+)\)$/) {
                position = Int(found.output.1).flatMap(place)
                text = String(message[..<found.range.lowerBound])
            }
            return sourceError(state, text, position)
        }
    }

    private static func sourceError(_ state: String, _ message: String, _ position: Int?) -> SourceError {
        func query(_ code: SourceError.Code, _ text: String) -> SourceError {
            SourceError(code, text, field: "queryTemplate", position: position)
        }
        switch state {
        case "28P01": return SourceError(.wrongCredentials, message, field: "connectionConfig.password")
        case "28000":
            let wantsTLS = message.contains("no encryption") || message.contains("SSL")
            return wantsTLS
                ? SourceError(.tlsFailed, message, field: "connectionConfig.tls")
                : SourceError(.wrongCredentials, message, field: "connectionConfig.user")
        case "3D000": return SourceError(.unknownDatabase, message, field: "connectionConfig.database")
        case "42501": return query(.permissionDenied, message)
        case "25006": return query(.refusedQuery, "only reading is allowed: \(message)")
        case "57014": return query(.timedOut, "the query took longer than the time limit")
        case "55P03": return SourceError(.busy, message)
        case "53300", "57P03", "53400": return SourceError(.busy, message)
        case "57P01", "57P02": return SourceError(.connectionLost, message)
        default:
            // A data exception quotes the value, which is a customer's.
            let message = state.hasPrefix("22") ? message.replacing(/"[^"]*"/, with: "\"…\"") : message
            if ["42", "22", "0A", "21", "2F", "P0", "25"].contains(String(state.prefix(2))) {
                return query(.invalidQuery, "\(message) (SQLSTATE \(state))")
            }
            return SourceError(
                state.hasPrefix("53") || state.hasPrefix("08") ? .busy : .unreachable, "\(message) (SQLSTATE \(state))")
        }
    }
}

/// An identifier, with its quotes doubled.
func quoted(_ identifier: String) -> String { "\"" + identifier.replacing("\"", with: "\"\"") + "\"" }
