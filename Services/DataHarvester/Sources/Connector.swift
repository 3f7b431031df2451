import WireProtocol

/// A source of records: a database, a file, an interface. Reads only, in pages from a checkpoint; safe to call from several tasks.
protocol Connector: Sendable {
    /// Whether the source can be reached and read with what was given: says who answered.
    func test() async throws -> SourceTest
    /// What a full sync would read.
    func count() async throws -> SourceCount
    /// Up to `limit` rows after `cursor` (`nil`: from the start), in the source's own order, and the cursor behind them.
    /// `window`: only rows that changed in it, where the source can tell.
    func readPage(after cursor: String?, limit: Int, window: ChangeWindow?) async throws -> SourcePage
    /// Those of `keys` that the source has (now).
    func readByKeys(_ keys: [String]) async throws -> SourcePage
    /// How many keys one `readByKeys` should ask for: a file is read through for each call.
    var keysPerRead: Int { get }
    /// The source's own time before the first read of an incremental sync, as its `updatedAt` column is compared; `nil` where the
    /// source cannot tell what changed, so that an incremental sync reads all.
    func clock() async throws -> String?
    func close() async
}

/// One row as the source gives it, columns in its order.
struct SourceRow: Sendable, Equatable {
    /// Where it stands, for messages: `line 17`; empty in a database.
    var position = ""
    var values: JSONObject
}

struct SourcePage: Sendable {
    var rows: [SourceRow] = []
    /// Rows that could not be read; each counts as one.
    var failures: [RowFailure] = []
    /// Behind the last row of this page.
    var next: String?
    var isExhausted = false
    /// The source's columns, in its order.
    var columns: [String] = []
    /// What the reader should know: a header that was renamed, a file that was replaced.
    var notes: [String] = []
}

/// A row that cannot become a record, and why.
struct RowFailure: Sendable, Equatable {
    /// The record's key where it is known, else where the row stands.
    var identifier: String
    var failure: RecordFailure
    var isKey = false
}

struct SourceTest: Sendable {
    /// `PostgreSQL 15.10`, `CSV, UTF-8, 10 columns`.
    var server: String
    var details = JSONObject()
}

struct SourceCount: Sendable, Equatable {
    var rows: Int
    var isExact = true
}

/// Rows whose `updatedAt` is at or after `since` and not after `until`, in the source's own form.
struct ChangeWindow: Sendable, Equatable {
    var since: String?
    var until: String?
}

/// Why a source cannot be read. Never holds a password or a row's value.
struct SourceError: Error, Equatable, Sendable, CustomStringConvertible {
    enum Code: String, Sendable {
        case unreachable, timedOut = "timed_out", wrongCredentials = "wrong_credentials", unknownDatabase =
            "unknown_database"
        case tlsFailed = "tls_failed", refusedRole = "refused_role", refusedQuery = "refused_query", invalidQuery =
            "invalid_query"
        case missingColumn = "missing_column", permissionDenied = "permission_denied", addressRefused =
            "address_refused"
        case fileNotFound = "file_not_found", unreadableFile = "unreadable_file", unsupported, connectionLost =
            "connection_lost"
        case busy
    }
    var code: Code
    var message: String
    /// The setting to change: `connectionConfig.password`, `queryTemplate`.
    var field: String?
    /// In the query template: characters from 1.
    var position: Int?

    init(_ code: Code, _ message: String, field: String? = nil, position: Int? = nil) {
        self.code = code
        self.message = message
        self.field = field
        self.position = position
    }

    var isRetryable: Bool {
        switch code {
        case .unreachable, .timedOut, .connectionLost, .busy: true
        default: false
        }
    }
    var description: String {
        let place = [field, position.map { "at character \($0)" }].compactMap { $0 }.joined(separator: ", ")
        return "\(code.rawValue): \(message)" + (place.isEmpty ? "" : " (\(place))")
    }
}
