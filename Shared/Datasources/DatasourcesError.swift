import WireProtocol

package enum DatasourcesError: Error, Equatable {
    /// Everything that is wrong with a datasource, at once.
    case invalid([FieldProblem])
    case nameTaken(String)
    case notFound(id: String)
    case fileTooLarge(limit: Int)
    /// The uploaded file is gone or was replaced while it was read.
    case fileGone
    /// Sealed with a key that is not in `SECRETS_KEY`, or changed.
    case secretsUnreadable(datasource: String, reason: String)
    /// A collection whose versions are not as this asks for: `rebuild`, `switch` and `rollback` say what is missing.
    case wrongVersions(reason: String)
    /// A row of ours that does not read as it was written.
    case corrupt(String)
}

/// One field that is wrong and why; never holds a value that could be a secret.
package struct FieldProblem: Sendable, Equatable {
    /// `connectionConfig.port`
    package var field: String
    package var message: String
    package init(field: String, message: String) {
        self.field = field
        self.message = message
    }
}

extension DatasourcesError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .invalid(let problems):
            "datasource: " + problems.map { "\($0.field): \($0.message)" }.joined(separator: "; ")
        case .nameTaken(let name): "datasource: the name \(name) is taken"
        case .notFound(let id): "datasource: there is none with id \(id)"
        case .fileTooLarge(let limit): "datasource: the file is larger than \(limit) bytes"
        case .fileGone: "datasource: the uploaded file is gone or was replaced"
        case .secretsUnreadable(let name, let reason): "datasource: the secrets of \(name) do not open: \(reason)"
        case .wrongVersions(let reason): reason
        case .corrupt(let reason): "datasource: unreadable row: \(reason)"
        }
    }
}
