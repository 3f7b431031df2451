import ServiceRuntime

/// `<service> migrate up | down [number] | status | verify`, as it stands on the command line.
package enum MigrationCommand: Equatable, Sendable {
    case up
    /// Takes back the newest migration of each module, or with a number (`down 0`) everything above it.
    case down(to: Int?)
    case status, verify

    /// `nil` where there is no command: the service runs. `options` are words that begin with `--` and may stand there then; `others`
    /// is what else the service can be told, for the usage text.
    /// Throws: `UsageError` for words that mean nothing.
    package init?(
        arguments: [String], options: Set<String> = [], others: [String] = []
    ) throws(UsageError) {
        let words = arguments.dropFirst().filter { !options.contains($0) }
        if words.isEmpty { return nil }
        let number = words.dropFirst(2).first.flatMap { Int($0) }
        switch (words.first, words.dropFirst().first, words.count) {
        case ("migrate", "up", 2): self = .up
        case ("migrate", "down", 2): self = .down(to: nil)
        case ("migrate", "down", 3) where number != nil: self = .down(to: number)
        case ("migrate", "status", 2): self = .status
        case ("migrate", "verify", 2): self = .verify
        default:
            throw UsageError(
                arguments, knows: ["migrate up | down [number] | status | verify"] + options.sorted() + others)
        }
    }

    /// Throws: `MigrationError`, `PostgresError`; `verify` throws at the first difference.
    package func run(_ migrators: [Migrator], write: (String) -> Void = { print($0) }) async throws {
        switch self {
        case .up:
            for migrator in migrators { write("\(migrator.module): applied \(describe(try await migrator.up()))") }
        case .down(let number):
            for migrator in migrators.reversed() {
                write("\(migrator.module): taken back \(describe(try await migrator.down(to: number)))")
            }
        case .status:
            for migrator in migrators {
                for status in try await migrator.status() {
                    let when = status.appliedAt.map { " \($0)" } ?? ""
                    write("\(migrator.module) \(status.number) \(status.name): \(status.state.rawValue)\(when)")
                }
            }
        case .verify:
            for migrator in migrators {
                try await migrator.verify()
                write("\(migrator.module): as applied")
            }
        }
    }
}

private func describe(_ numbers: [Int]) -> String {
    numbers.isEmpty ? "nothing" : numbers.map(String.init).joined(separator: ", ")
}
