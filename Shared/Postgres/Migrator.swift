/// Brings one module's tables to the newest form, once, whatever number of processes starts at the same moment: they wait for each other
/// at an advisory lock. What was applied stands in `suite_migrations` with a checksum.
package struct Migrator: Sendable {
    package let module: String
    private let pool: PostgresPool
    private let migrations: [Migration]

    package init(pool: PostgresPool, module: String, migrations: [Migration]) {
        self.pool = pool
        self.module = module
        self.migrations = migrations.sorted { $0.number < $1.number }
    }

    package struct Status: Sendable, Equatable {
        package enum State: String, Sendable { case applied, pending, changed, unknown }
        package var number: Int
        package var name: String
        package var state: State
        /// RFC 3339, UTC.
        package var appliedAt: String?
    }

    /// Applies what is missing, in order. Migrations of a newer program are left alone. Gives the numbers applied.
    @discardableResult
    package func up() async throws -> [Int] {
        try await locked { connection in
            let applied = try await statuses(connection)
            if let changed = applied.first(where: { $0.state == .changed }) {
                throw MigrationError.changed(module: module, number: changed.number, name: changed.name)
            }
            let pending = applied.filter { $0.state == .pending }.map(\.number)
            for migration in migrations where pending.contains(migration.number) {
                try await run(migration, connection, migration.up) {
                    _ = try await connection.query(
                        """
                        INSERT INTO suite_migrations (module, number, name, checksum)
                        VALUES ($1, $2, $3, encode(sha256(convert_to($4, 'UTF8')), 'hex'))
                        """, [.text(module), .int(Int64(migration.number)), .text(migration.name), .text(migration.up)])
                }
            }
            return pending
        }
    }

    /// Takes back everything above `number`, newest first; without one, the newest alone. Gives the numbers taken back.
    @discardableResult
    package func down(to number: Int? = nil) async throws -> [Int] {
        try await locked { connection in
            let applied = try await statuses(connection).filter { $0.state != .pending }.sorted {
                $0.number > $1.number
            }
            let target = number ?? (applied.first.map { $0.number - 1 } ?? 0)
            var undone: [Int] = []
            for status in applied where status.number > target {
                guard let migration = migrations.first(where: { $0.number == status.number }) else {
                    throw MigrationError.unknown(module: module, number: status.number, name: status.name)
                }
                try await run(migration, connection, migration.down) {
                    _ = try await connection.query(
                        "DELETE FROM suite_migrations WHERE module = $1 AND number = $2",
                        [.text(module), .int(Int64(migration.number))])
                }
                undone.append(status.number)
            }
            return undone
        }
    }

    package func status() async throws -> [Status] { try await locked { try await statuses($0) } }

    /// Throws: `MigrationError` for the first file that differs from what was applied, or that this program does not have.
    package func verify() async throws {
        for status in try await status() {
            switch status.state {
            case .applied, .pending: break
            case .changed: throw MigrationError.changed(module: module, number: status.number, name: status.name)
            case .unknown: throw MigrationError.unknown(module: module, number: status.number, name: status.name)
            }
        }
    }

    // MARK: - Steps

    private static let lock: Int64 = 0x5355_4954_4501  // "SUITE", 1

    private func locked<R: Sendable>(_ body: (PostgresConnection) async throws -> R) async throws -> R {
        try await pool.withConnection { connection in
            _ = try await connection.query("SELECT pg_advisory_lock($1)", [.int(Self.lock)])
            do {
                try await connection.script(
                    """
                    CREATE TABLE IF NOT EXISTS suite_migrations (
                        module text NOT NULL, number integer NOT NULL, name text NOT NULL, checksum text NOT NULL,
                        applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (module, number))
                    """)
                let result = try await body(connection)
                _ = try await connection.query("SELECT pg_advisory_unlock($1)", [.int(Self.lock)])
                return result
            } catch {
                await connection.abandon()  // ends the lock with its session
                throw error
            }
        }
    }

    private func statuses(_ connection: PostgresConnection) async throws -> [Status] {
        let rows = try await connection.query(
            """
            SELECT a.number, coalesce(a.name, m.name), to_char(a.applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                   coalesce(a.checksum = encode(sha256(convert_to(m.up, 'UTF8')), 'hex'), false), m.number, m.number IS NULL
            FROM (SELECT * FROM suite_migrations WHERE module = $1) a
            FULL JOIN (SELECT * FROM unnest($2::int8[], $3::text[], $4::text[]) AS m(number, name, up)) m USING (number)
            ORDER BY coalesce(a.number, m.number)
            """,
            [
                .text(module), .int8Array(migrations.map { Int64($0.number) }), .textArray(migrations.map(\.name)),
                .textArray(migrations.map(\.up)),
            ])
        return rows.map { row in
            let state: Status.State =
                row.isNull(0) ? .pending : row.bool(5) == true ? .unknown : row.bool(3) == true ? .applied : .changed
            return Status(
                number: Int(row.int(0) ?? row.int(4) ?? 0), name: row.text(1) ?? "", state: state,
                appliedAt: row.text(2))
        }
    }

    /// One migration and its line in the table, in one transaction.
    private func run(
        _ migration: Migration, _ connection: PostgresConnection, _ sql: String, record: () async throws -> Void
    ) async throws {
        do {
            _ = try await connection.query("BEGIN")
            try await connection.script(sql)
            try await record()
            _ = try await connection.query("COMMIT")
        } catch let error as PostgresError {
            throw MigrationError.failed(module: module, number: migration.number, name: migration.name, reason: error)
        }
    }
}
