import ServiceRuntime

/// `<service> migrate up|down|status|verify`: runs it and gives true, so that `main` ends; false for any other arguments.
///
/// `down` takes back the newest migration of each module, or with a number (`down 0`) everything above it. `others`: what else the
/// service can be told, for the usage text.
/// Throws: `MigrationError`, `PostgresError`; `verify` throws at the first difference; `UsageError` for a word it does not know.
package func runMigrationCommand(
    arguments: [String], migrators: [Migrator], others: [String] = [], write: (String) -> Void = { print($0) }
) async throws -> Bool {
    let words = arguments.dropFirst().filter { !$0.hasPrefix("--") }
    guard let command = words.first else { return false }
    let known = ["migrate up | down [number] | status | verify"] + others
    let usage = UsageError(usage: "\(arguments[0]) [\(known.joined(separator: " | "))]")
    guard command == "migrate" else { throw usage }
    switch arguments.dropFirst(2).first {
    case "up":
        for migrator in migrators { write("\(migrator.module): applied \(describe(try await migrator.up()))") }
    case "down":
        let number = arguments.dropFirst(3).first
        let target = number.flatMap { Int($0) }
        guard (number == nil) == (target == nil) else { throw usage }
        for migrator in migrators.reversed() {
            write("\(migrator.module): taken back \(describe(try await migrator.down(to: target)))")
        }
    case "status":
        for migrator in migrators {
            for status in try await migrator.status() {
                let when = status.appliedAt.map { " \($0)" } ?? ""
                write("\(migrator.module) \(status.number) \(status.name): \(status.state.rawValue)\(when)")
            }
        }
    case "verify":
        for migrator in migrators {
            try await migrator.verify()
            write("\(migrator.module): as applied")
        }
    default: throw usage
    }
    return true
}

private func describe(_ numbers: [Int]) -> String {
    numbers.isEmpty ? "nothing" : numbers.map(String.init).joined(separator: ", ")
}
