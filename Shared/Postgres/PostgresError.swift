import ServiceRuntime

/// Why a statement or a connection failed. Texts come from the server or the client library; neither repeats a password,
/// and details that could hold a row's values are left out.
package enum PostgresError: RetryableError, Equatable {
    /// No session could be opened: refused, unknown host, no answer in time.
    case connectionFailed(reason: String)
    /// The session ended under the statement. Whether a commit took effect is unknown.
    case connectionLost(reason: String)
    /// The server's own error, also while a session is opened: `28P01` wrong password, `3D000` unknown database.
    case server(sqlState: String, message: String)
    /// The pool had no free connection in time.
    case poolExhausted(after: Duration)
    /// The task that waited was cancelled; the statement was cancelled too.
    case cancelled

    package var isRetryable: Bool {
        switch self {
        case .connectionFailed, .connectionLost, .poolExhausted: true
        case .server(let sqlState, _):
            // serialization, deadlock, too many connections, starting up, shut down by an administrator or a crash
            ["40001", "40P01", "53300", "57P01", "57P02", "57P03"].contains(sqlState)
        case .cancelled: false
        }
    }

    package var sqlState: String? { if case .server(let sqlState, _) = self { sqlState } else { nil } }

    /// The transaction lost against another one and may simply run again.
    package var isConflict: Bool { sqlState == "40001" || sqlState == "40P01" }
}

extension PostgresError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .connectionFailed(let reason): "PostgreSQL: no connection: \(reason)"
        case .connectionLost(let reason): "PostgreSQL: connection lost: \(reason)"
        case .server(let sqlState, let message): "PostgreSQL: \(sqlState): \(message)"
        case .poolExhausted(let wait): "PostgreSQL: no free connection within \(wait)"
        case .cancelled: "PostgreSQL: cancelled"
        }
    }
}
