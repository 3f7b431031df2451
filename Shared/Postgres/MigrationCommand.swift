/// `<service> migrate up|down|status|verify`: runs it and gives true, so that `main` ends; false for any other arguments.
///
/// `down` takes back the newest migration of each module, or with a number (`down 0`) everything above it.
/// Throws: `MigrationError`, `PostgresError`; `verify` throws at the first difference.
package func runMigrationCommand(
    arguments: [String], migrators: [Migrator], write: (String) -> Void = { print($0) }
) async throws -> Bool {
    guard arguments.count >= 2, arguments[1] == "migrate" else { return false }
    switch arguments.dropFirst(2).first {
    case "up":
        for migrator in migrators { write("\(migrator.module): applied \(describe(try await migrator.up()))") }
    case "down":
        let target = arguments.dropFirst(3).first.flatMap { Int($0) }
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
    default:
        write("usage: \(arguments[0]) migrate up | down [number] | status | verify")
    }
    return true
}

private func describe(_ numbers: [Int]) -> String {
    numbers.isEmpty ? "nothing" : numbers.map(String.init).joined(separator: ", ")
}
