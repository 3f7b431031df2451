import Postgres
import ServiceRuntime
import Synchronization
import TestServers
import Testing

@Suite struct MigratorTests {
    private let first = Migration(
        number: 1, name: "first", up: "CREATE TABLE a (n int); CREATE TABLE b (n int);", down: "DROP TABLE a, b")
    private let second = Migration(
        number: 2, name: "second", up: "ALTER TABLE a ADD m int", down: "ALTER TABLE a DROP m")

    private func makePool() async throws -> PostgresPool {
        PostgresPool(
            url: try await PostgresServer.shared().createDatabase("migrator"), size: 4, log: .silent,
            applicationName: "tests")
    }

    @Test func runsOnceForProcessesThatStartTogether() async throws {
        let pool = try await makePool()
        let migrator = Migrator(pool: pool, module: "m", migrations: [second, first])
        let applied = try await withThrowingTaskGroup(of: [Int].self) { group in
            for _ in 1...4 { group.addTask { try await migrator.up() } }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(applied == [1, 2])
        try await migrator.verify()
        #expect(try await migrator.down(to: 0) == [2, 1])
        #expect(try await migrator.status().map(\.state) == [.pending, .pending])
        #expect(try await migrator.up() == [1, 2])
    }

    @Test func aChangedFileIsRefused() async throws {
        let pool = try await makePool()
        try await Migrator(pool: pool, module: "m", migrations: [first]).up()
        var changed = first
        changed.up += " -- later"
        await #expect(throws: MigrationError.changed(module: "m", number: 1, name: "first")) {
            try await Migrator(pool: pool, module: "m", migrations: [changed, second]).up()
        }
    }

    @Test func aFailedStepLeavesNothing() async throws {
        let pool = try await makePool()
        let broken = Migration(number: 1, name: "broken", up: "CREATE TABLE c (n int); SELECT 1/0", down: "")
        await #expect(throws: MigrationError.self) {
            try await Migrator(pool: pool, module: "m", migrations: [broken]).up()
        }
        #expect(try await pool.query("SELECT to_regclass('c')")[0].isNull(0))
        #expect(try await Migrator(pool: pool, module: "m", migrations: [first]).up() == [1])
    }

    @Test func theCommandTellsTheStatus() async throws {
        let pool = try await makePool()
        let migrators = [Migrator(pool: pool, module: "m", migrations: [first, second])]
        let lines = Mutex<[String]>([])
        func run(_ words: String...) async throws {
            try await MigrationCommand(arguments: ["service"] + words)?.run(migrators) { line in
                lines.withLock { $0.append(line) }
            }
        }
        try await run("migrate", "up")
        try await run("migrate", "down")
        try await run("migrate", "status")
        let output = lines.withLock { $0 }
        #expect(output.prefix(2) == ["m: applied 1, 2", "m: taken back 2"])
        #expect(output[2].hasPrefix("m 1 first: applied 20"))
        #expect(output[3] == "m 2 second: pending")
    }

    @Test func theCommandLineIsACommandOrNothing() throws {
        func command(_ words: String...) throws -> MigrationCommand? {
            try MigrationCommand(arguments: ["bin/service"] + words, options: ["--accept-loss"], others: ["copy ..."])
        }
        #expect(try command() == nil)
        #expect(try command("--accept-loss") == nil)
        #expect(try command("migrate", "down", "0") == .down(to: 0))
        for words in [
            ["migrate"], ["migrate", "sideways"], ["migrate", "down", "all"], ["migrate", "up", "2"], ["migrat"],
            ["--help"],
        ] {
            let error = #expect(throws: UsageError.self) { try MigrationCommand(arguments: ["bin/service"] + words) }
            #expect(error?.usage == "service [migrate up | down [number] | status | verify]")
        }
        #expect(throws: UsageError.self) { try refuseWords(["embedder", "foo"]) }
    }
}
