import ServiceRuntime

/// One numbered step of a module's tables, with its way back.
package struct Migration: Sendable, Equatable {
    package var number: Int
    package var name: String
    /// SQL, any number of statements; runs in one transaction.
    package var up: String
    package var down: String

    package init(number: Int, name: String, up: String, down: String) {
        self.number = number
        self.name = name
        self.up = up
        self.down = down
    }

    /// From files embedded in the program: `PackageResources.m0001_initial_up_sql`.
    package init(_ number: Int, _ name: String, up: [UInt8], down: [UInt8]) {
        self.init(
            number: number, name: name, up: String(decoding: up, as: UTF8.self),
            down: String(decoding: down, as: UTF8.self))
    }
}

package enum MigrationError: RetryableError, Equatable, CustomStringConvertible {
    /// The file is not the one that was applied: a change needs a new number.
    case changed(module: String, number: Int, name: String)
    /// Applied by a newer program; this one has no way back from it.
    case unknown(module: String, number: Int, name: String)
    case failed(module: String, number: Int, name: String, reason: PostgresError)

    package var isRetryable: Bool { if case .failed(_, _, _, let reason) = self { reason.isRetryable } else { false } }

    package var description: String {
        switch self {
        case .changed(let module, let number, let name):
            "migration \(module) \(number) (\(name)): the file differs from what was applied"
        case .unknown(let module, let number, let name):
            "migration \(module) \(number) (\(name)) is applied, but this program does not have it"
        case .failed(let module, let number, let name, let reason): "migration \(module) \(number) (\(name)): \(reason)"
        }
    }
}
