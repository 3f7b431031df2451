import Foundation
import Postgres
import ServiceRuntime
import Synchronization
import TestServers
import Testing

private func makePool(size: Int = 4, limits: PostgresLimits = PostgresLimits()) async throws -> PostgresPool {
    let url = try await PostgresServer.shared().createDatabase("postgres")
    return PostgresPool(url: url, size: size, log: .silent, applicationName: "tests", limits: limits)
}

private func failure(of pool: PostgresPool) async -> PostgresError? {
    do throws(PostgresError) {
        _ = try await pool.query("SELECT 1")
        return nil
    } catch {
        return error
    }
}

@Suite struct PostgresValueTests {
    @Test(arguments: [false, true]) func valuesComeBackAsTheyWereBound(binary: Bool) async throws {
        let pool = try await makePool()
        let uuid = "3f2b9c1e-5a0d-4a53-8f0e-0d8f1c5b7a11"
        for _ in 1...3 {  // unprepared, prepared now, prepared before
            let row = try await pool.query(
                "SELECT $1::text, $2::bool, $3::int8, $4::float8, $5::bytea, $6::uuid, $7::jsonb, NULL::text, $8::int4",
                [
                    .text("añ\"'\\"), .bool(true), .int(.min), .double(-0.1), .bytes([0, 255, 92]), .uuid(uuid),
                    .json(Array(#"{"a":[1,null]}"#.utf8)), .text("7"),
                ], binary: binary)[0]
            #expect(row.text(0) == "añ\"'\\")
            #expect(row.bool(1) == true)
            #expect(row.int(2) == .min)
            #expect(row.double(3) == -0.1)
            #expect(row.bytes(4) == [0, 255, 92])
            #expect(row.text(5) == uuid)
            #expect(row.text(6) == #"{"a": [1, null]}"#)
            #expect(row.isNull(7) && row.text(7) == nil)
            #expect(row.int("int4") == 7)
        }
    }

    @Test func arraysUnnest() async throws {
        let pool = try await makePool()
        let rows = try await pool.query(
            "SELECT * FROM unnest($1::text[], $2::int8[], $3::bytea[], $4::bool[], $5::uuid[], $6::float8[])",
            [
                .textArray(["a", nil, ""]), .int8Array([1, -2, 3]), .byteaArray([[1], nil, []]),
                .boolArray([true, false, true]),
                .uuidArray(Array(repeating: "3F2B9C1E-5A0D-4A53-8F0E-0D8F1C5B7A11", count: 3)),
                .doubleArray([0.5, 1, 2]),
            ])
        #expect(rows.map { $0.text(0) } == ["a", nil, ""])
        #expect(rows.map { $0.int(1) } == [1, -2, 3])
        #expect(rows.map { $0.bytes(2) } == [[1], nil, []])
        #expect(rows.map { $0.bool(3) } == [true, false, true])
        #expect(rows[2].text(4) == "3f2b9c1e-5a0d-4a53-8f0e-0d8f1c5b7a11")
        #expect(rows[0].double(5) == 0.5)
        #expect(try await pool.query("SELECT * FROM unnest($1::text[])", [.textArray([])]).isEmpty)
        #expect(try await pool.query("SELECT $1::bytea", [.bytes([])])[0].bytes(0) == [])
    }

    @Test func aZeroByteIsRefusedNotCut() async throws {
        let pool = try await makePool()
        await #expect(
            throws: PostgresError.server(sqlState: "22021", message: "a text with a zero byte cannot be stored")
        ) {
            try await pool.query("SELECT $1::text", [.text("a\u{0}b")])
        }
    }

    @Test func columnsTellNameAndType() async throws {
        let columns = try await makePool().query(
            #"SELECT 1::int8 AS n, 'x'::jsonb - 'x' AS "Doc", 1.5::numeric AS price LIMIT 0"#.replacing(
                "'x'::jsonb - 'x'", with: "'{}'::jsonb")
        ).columns
        #expect(columns.map(\.name) == ["n", "Doc", "price"])
        #expect(columns.map(\.type) == [20, 3802, 1700])
    }
}

@Suite struct PostgresPoolTests {
    @Test func tellsWhyThereIsNoConnection() async throws {
        let server = try await PostgresServer.shared()
        let url = try await server.createDatabase()
        func pool(_ url: String) -> PostgresPool {
            PostgresPool(url: url, size: 1, log: .silent, applicationName: "tests")
        }
        let wrongPassword = await failure(of: pool(url.replacing("suite:suite@", with: "suite:s3cret@")))
        #expect(wrongPassword?.sqlState == "28P01")
        #expect(wrongPassword?.isRetryable == false)
        #expect(!"\(wrongPassword!)".contains("s3cret"))
        #expect(await failure(of: pool(server.url(of: "nowhere")))?.sqlState == "3D000")
        let refused = await failure(of: pool("postgresql://suite:suite@127.0.0.1:\(freePort())/x"))
        guard case .connectionFailed(let reason) = refused else {
            return #expect(Bool(false), "\(String(describing: refused))")
        }
        #expect(reason.contains("refused"))
        #expect(
            await failure(of: pool("postgresql://u:p@ss:w@h:x/db"))
                == .connectionFailed(reason: "the database URL cannot be read"))
    }

    @Test func aServerErrorTellsItsStateAndTheConnectionGoesOn() async throws {
        let pool = try await makePool(size: 1)
        await #expect(throws: PostgresError.server(sqlState: "22012", message: "division by zero")) {
            try await pool.query("SELECT 1/0")
        }
        #expect(try await pool.query("SELECT 1")[0].int(0) == 1)
    }

    @Test func reconnectsAfterTheServerEndedTheSession() async throws {
        let pool = try await makePool(size: 2)
        let id = try await pool.withConnection { one in
            let id = try await one.query("SELECT pg_backend_pid()")[0].int(0)!
            _ = try await pool.query("SELECT pg_terminate_backend($1::int4, 5000)", [.text("\(id)")])
            return id
        }
        for _ in 1...4 { #expect(try await pool.query("SELECT pg_backend_pid()")[0].int(0) != id) }
    }

    @Test func aLostSessionIsNotReplacedInsideATransaction() async throws {
        let pool = try await makePool(size: 2)
        await #expect(throws: PostgresError.self) {
            try await pool.transaction { transaction in
                let id = try await transaction.query("SELECT pg_backend_pid()")[0].int(0)!
                _ = try await pool.query("SELECT pg_terminate_backend($1::int4, 5000)", [.text("\(id)")])
                _ = try await transaction.query("SELECT 1")
            }
        }
        #expect(try await pool.query("SELECT 1").count == 1)
    }

    @Test func cancellingTheTaskCancelsTheStatement() async throws {
        let pool = try await makePool(size: 1)
        let watcher = try await makePool(size: 1)
        let started = ContinuousClock.now
        let task = Task { try await pool.query("SELECT pg_sleep(60) AS long_one") }
        while try await watcher.query(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%long_one' AND state = 'active' AND wait_event = 'PgSleep'"
        ).isEmpty {}
        task.cancel()
        await #expect(throws: PostgresError.cancelled) { try await task.value }
        #expect(ContinuousClock.now - started < .seconds(20))
        #expect(try await pool.query("SELECT 1")[0].int(0) == 1)
    }

    @Test func aFullPoolLetsWaitOnlySoLong() async throws {
        let pool = try await makePool(size: 1, limits: PostgresLimits(acquire: .milliseconds(20)))
        try await pool.withConnection { _ in
            await #expect(throws: PostgresError.poolExhausted(after: .milliseconds(20))) {
                try await pool.query("SELECT 1")
            }
        }
        #expect(try await pool.query("SELECT 1").count == 1)
    }

    @Test func manyTasksShareFewConnections() async throws {
        let pool = try await makePool(size: 2)
        let sum = try await withThrowingTaskGroup(of: Int64.self) { group in
            for n in 1...200 { group.addTask { try await pool.query("SELECT $1::int8", [.int(Int64(n))])[0].int(0)! } }
            return try await group.reduce(0, +)
        }
        #expect(sum == 20100)
    }

    @Test func aPlanOutlivesAChangeOfItsTable() async throws {
        let pool = try await makePool(size: 1)
        _ = try await pool.query("CREATE TABLE t (a int)")
        for _ in 1...3 { _ = try await pool.query("SELECT * FROM t") }
        _ = try await pool.query("ALTER TABLE t ADD b int")
        _ = await #expect(throws: PostgresError.self) { try await pool.query("SELECT * FROM t") }
        #expect(try await pool.query("SELECT * FROM t").columns.count == 2)
    }
}

@Suite struct PostgresTransactionTests {
    @Test func throwingRollsBack() async throws {
        struct Stop: Error {}
        let pool = try await makePool()
        _ = try await pool.query("CREATE TABLE t (a int)")
        await #expect(throws: Stop.self) {
            try await pool.transaction { transaction in
                _ = try await transaction.query("INSERT INTO t VALUES (1)")
                throw Stop()
            }
        }
        #expect(try await pool.query("SELECT * FROM t").isEmpty)
    }

    @Test func aSwallowedErrorIsNoCommit() async throws {
        let pool = try await makePool()
        await #expect(throws: PostgresError.self) {
            try await pool.transaction { transaction in _ = try? await transaction.query("SELECT 1/0") }
        }
    }

    @Test func theLoserOfADeadlockRunsAgain() async throws {
        let pool = try await makePool()
        _ = try await pool.query("CREATE TABLE t (id int PRIMARY KEY, n int)")
        _ = try await pool.query("INSERT INTO t VALUES (1, 0), (2, 0)")
        let both = Barrier(2)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for order in [[1, 2], [2, 1]] {
                group.addTask {
                    try await pool.transaction { transaction in
                        let run = await both.nextRun()
                        _ = try await transaction.query("UPDATE t SET n = n + 1 WHERE id = \(order[0])")
                        if run <= 2 { await both.arrive() }
                        _ = try await transaction.query("UPDATE t SET n = n + 1 WHERE id = \(order[1])")
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(await both.runs == 3)
        #expect(try await pool.query("SELECT sum(n)::int8 FROM t")[0].int(0) == 4)
    }

    private actor Barrier {
        private var waiting: [CheckedContinuation<Void, Never>] = []
        private let count: Int
        private(set) var runs = 0
        func nextRun() -> Int {
            runs += 1
            return runs
        }
        init(_ count: Int) { self.count = count }
        func arrive() async {
            if waiting.count + 1 == count { return waiting.forEach { $0.resume() } }
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    @Test func copiesInAndOut() async throws {
        let pool = try await makePool()
        _ = try await pool.query("CREATE TABLE t (n int, s text)")
        let copied = try await pool.transaction { transaction in
            try await transaction.copyIn(
                "COPY t FROM STDIN (FORMAT csv)", Array((1...5000).map { "\($0),x\($0)\n" }.joined().utf8))
        }
        #expect(copied == 5000)
        let pieces = AsyncStream<[UInt8]> { stream in
            for n in 1...10 { stream.yield(Array("\(n)\ty\n".utf8)) }
            stream.finish()
        }
        #expect(try await pool.withConnection { try await $0.copyIn("COPY t FROM STDIN", pieces: pieces) } == 10)
        let lines = Mutex(0)
        try await pool.withConnection { connection in
            try await connection.copyOut("COPY t TO STDOUT") { _ in lines.withLock { $0 += 1 } }
            #expect(try await connection.query("SELECT 1").count == 1)
        }
        #expect(lines.withLock { $0 } == 5010)
        await #expect(throws: PostgresError.self) {
            try await pool.withConnection { try await $0.copyIn("COPY t FROM STDIN", Array("x\ty\n".utf8)) }
        }
        #expect(try await pool.query("SELECT count(*) FROM t")[0].int(0) == 5010)
    }
}
