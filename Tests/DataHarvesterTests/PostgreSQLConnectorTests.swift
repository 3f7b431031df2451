import Foundation
import Postgres
import ServiceRuntime
import TestServers
import Testing
import WireProtocol

@testable import DataHarvester

/// A database with a table of products, and the connection of a plain role.
struct SourceFixture {
    let server: PostgresServer
    let database: String
    let pool: PostgresPool

    init() async throws {
        server = try await PostgresServer.shared()
        let url = try await server.createDatabase("source")
        database = String(url.split(separator: "/").last ?? "")
        pool = PostgresPool(url: url, size: 2, log: .silent, metrics: nil, applicationName: "fixture")
        try await execute(
            """
            CREATE TABLE products (id bigint PRIMARY KEY, sku text, name text, price numeric(10,2), changed timestamptz);
            INSERT INTO products SELECT n, 'S-' || n, 'Product ' || n, n * 1.25, timestamptz '2024-01-01' + n * interval '1 hour'
            FROM generate_series(1, 2500) n
            """)
    }

    func execute(_ sql: String) async throws {
        try await pool.withConnection { connection in try await connection.script(sql) }
    }

    var connection: JSONObject {
        JSONObject([
            ("host", "127.0.0.1"), ("port", JSONValue(server.port)), ("database", .string(database)), ("user", "suite"),
            ("password", "suite"),
        ])
    }

    func connector(
        _ query: String? = nil, table: String? = nil, key: String = "id", updatedAt: String? = nil,
        changing: [String: JSONValue] = [:],
        timeout: Duration = .seconds(20)
    ) -> PostgreSQLConnector {
        var connection = connection
        if let table { connection["table"] = .string(table) }
        for (name, value) in changing { connection[name] = value }
        return PostgreSQLConnector(
            .init(
                connection: connection, queryTemplate: query, key: key, updatedAt: updatedAt, statementTimeout: timeout)
        )
    }
}

/// All rows, page by page.
func readAll(_ connector: any Connector, limit: Int = 1000, window: ChangeWindow? = nil) async throws -> (
    rows: [JSONObject], pages: Int
) {
    var rows: [JSONObject] = []
    var (cursor, pages): (String?, Int) = (nil, 0)
    while true {
        let page = try await connector.readPage(after: cursor, limit: limit, window: window)
        rows += page.rows.map(\.values)
        pages += 1
        if page.isExhausted { return (rows, pages) }
        cursor = page.next
    }
}

@Suite struct PostgreSQLConnectorTests {
    @Test(arguments: [nil, "SELECT * FROM twice WHERE code > {{after}} ORDER BY code LIMIT {{limit}}"])
    func rowsOfAKeyThatGoesOnBehindItsPageAreToldNotLost(_ query: String?) async throws {
        let fixture = try await SourceFixture()
        try await fixture.execute(
            """
            CREATE TABLE twice (code text, name text);
            INSERT INTO twice SELECT 'a' || n, 'one' FROM generate_series(1, 8) n;
            INSERT INTO twice SELECT 'b', 'many ' || n FROM generate_series(1, 25) n;
            INSERT INTO twice VALUES ('c', 'last')
            """)
        let connector = fixture.connector(query, table: query == nil ? "twice" : nil, key: "code")
        let first = try await connector.readPage(after: nil, limit: 10, window: nil)
        #expect(first.rows.count == 10)
        #expect(first.failures.count == 23)
        #expect(first.failures.allSatisfy { $0.identifier == "b" && $0.isKey && $0.failure.type == "duplicate_key" })
        let second = try await connector.readPage(after: first.next, limit: 10, window: nil)
        #expect(second.rows.map { $0.values["code"] } == ["c"])
        #expect(second.failures.isEmpty)
    }

    @Test func pagesATableOrAnyQueryByItsKey() async throws {
        let fixture = try await SourceFixture()
        for connector in [
            fixture.connector(table: "products"), fixture.connector(table: "public.products"),
            fixture.connector("SELECT * FROM products WHERE id > {{after}} ORDER BY id LIMIT {{limit}}"),
            fixture.connector(
                "SELECT * FROM products WHERE ({{after}} IS NULL OR id > {{after}}) ORDER BY id LIMIT {{limit}};"),
            fixture.connector("SELECT * FROM products ORDER BY id OFFSET {{offset}} LIMIT {{limit}}"),
            fixture.connector("WITH x AS (SELECT * FROM products) SELECT * FROM x -- all of them"),
        ] {
            let (rows, _) = try await readAll(connector)
            #expect(rows.map { $0["id"]?.integer } == (1...2500).map { Int64($0) })
            #expect(rows.last?["price"]?.double == 3125)
            #expect(try await connector.count() == SourceCount(rows: 2500))
            #expect(try await connector.readByKeys(["7", "2500", "99999", "no number"]).rows.count == 2)
            await connector.close()
        }
    }

    @Test func goesOnFromItsCursorAfterChanges() async throws {
        let fixture = try await SourceFixture()
        let connector = fixture.connector(table: "products")
        let first = try await connector.readPage(after: nil, limit: 1000, window: nil)
        try await fixture.execute(
            "DELETE FROM products WHERE id IN (3, 1000, 1500); INSERT INTO products VALUES (-5, 'x', 'new')")
        let rest = try await fixture.connector(table: "products").readPage(after: first.next, limit: 5000, window: nil)
        #expect(rest.rows.first?.values["id"] == 1001)
        #expect(rest.rows.count == 1499)
    }

    @Test func textKeysKeepTheColumnsOwnOrderAndNullKeysAreFound() async throws {
        let fixture = try await SourceFixture()
        try await fixture.execute(
            """
            CREATE TABLE odd (code varchar(20), fixed char(8), v int);
            INSERT INTO odd SELECT chr(97 + n % 26) || chr(65 + n % 7) || n, n::text, n FROM generate_series(1, 300) n;
            INSERT INTO odd SELECT NULL, 'n' || n, n FROM generate_series(1, 25) n
            """)
        let (rows, _) = try await readAll(fixture.connector(table: "odd", key: "code"), limit: 20)
        #expect(rows.count == 325)
        #expect(Set(rows.compactMap { $0["code"]?.string }).count == 300)
        #expect(rows.filter { $0["code"]?.isNull ?? true }.count == 25)
        let (fixed, _) = try await readAll(fixture.connector(table: "odd", key: "fixed"), limit: 50)
        #expect(fixed.count == 325)
        #expect(try await fixture.connector(table: "odd", key: "fixed").readByKeys(["17", "n3"]).rows.count == 2)
    }

    @Test func anErrorAboutAValueDoesNotQuoteIt() async throws {
        let fixture = try await SourceFixture()
        let connector = fixture.connector("SELECT id, sku::integer AS sku FROM products")
        await #expect {
            _ = try await connector.readPage(after: nil, limit: 5, window: nil)
        } throws: { error in
            let text = "\(error)"
            return text.contains("invalid input syntax for type integer") && !text.contains("S-1")
        }
    }

    @Test func valuesComeAsJSON() async throws {
        let fixture = try await SourceFixture()
        let connector = fixture.connector(
            """
            SELECT 1 AS id, 12.50::numeric AS price, 12345678901234567.89::numeric AS exact, 9007199254740993::bigint AS big,
                1.5::float8 AS ratio, 'NaN'::float8 AS nan, true AS flag, NULL::text AS nothing, '{"a":[1,2]}'::jsonb AS doc,
                timestamptz '2024-01-31 12:00:00.5+02' AS moment, timestamptz '2024-01-31 12:00:00+02' AS whole, timestamp '2024-01-31 12:00:00' AS local, date '2024-01-31' AS day,
                '\\x00ff'::bytea AS raw, ARRAY['a b','c"d',NULL] AS words, ARRAY[[1,2],[3,4]] AS grid, 'abc'::char(6) AS padded,
                '3f2b9c1e-5a0d-4a53-8f0e-0d8f1c5b7a11'::uuid AS uuid, interval '1 day' AS span, '[0:1]={1,2}'::int[] AS bounded
            """)
        let row = try #require(try await connector.readPage(after: nil, limit: 5, window: nil).rows.first?.values)
        let expected: JSONValue = [
            "id": 1, "price": 12.5, "exact": "12345678901234567.89", "big": 9_007_199_254_740_993, "ratio": 1.5,
            "nan": nil, "flag": true,
            "nothing": nil, "doc": ["a": [1, 2]], "moment": "2024-01-31T10:00:00.5Z", "local": "2024-01-31T12:00:00Z",
            "whole": "2024-01-31T10:00:00Z",
            "day": "2024-01-31", "raw": "AP8=", "words": ["a b", "c\"d", nil], "grid": [[1, 2], [3, 4]],
            "padded": "abc",
            "uuid": "3f2b9c1e-5a0d-4a53-8f0e-0d8f1c5b7a11", "span": "P1D", "bounded": "[0:1]={1,2}",
        ]
        for (name, value) in expected.object?.members ?? [] { #expect(row[name] == value, "\(name)") }
    }

    @Test func incrementalReadsTheWindow() async throws {
        let fixture = try await SourceFixture()
        let connector = fixture.connector(table: "products", updatedAt: "changed")
        #expect(try await connector.clock()?.hasPrefix("2") == true)
        let window = ChangeWindow(since: "2024-01-01 10:05:00+00", until: "2024-01-01 20:00:00+00")
        #expect(
            try await readAll(connector, window: window).rows.map { $0["id"]?.integer } == (10...20).map { Int64($0) })
        let since = fixture.connector("SELECT * FROM products WHERE changed > {{since}}", updatedAt: "changed")
        #expect(try await readAll(since).rows.count == 2500)
        #expect(try await readAll(since, window: window).rows.count == 10)
    }

    @Test func codesAreBound() async throws {
        let fixture = try await SourceFixture()
        let template = "SELECT * FROM products WHERE {{codes}} IS NULL OR sku IN ( {{codes}} )"
        let connector = fixture.connector(template, key: "sku")
        #expect(try await connector.readByKeys(["S-1", "S-2", "'; DROP TABLE products; --"]).rows.count == 2)
        #expect(try await connector.count().rows == 2500)
    }

    // MARK: What is refused

    private func error(_ connector: PostgreSQLConnector) async -> SourceError? {
        do {
            _ = try await connector.readPage(after: nil, limit: 5, window: nil)
            return nil
        } catch {
            await connector.close()
            return error as? SourceError
        }
    }

    @Test func connectionFailuresAreToldApart() async throws {
        let fixture = try await SourceFixture()
        // Longer than a label may be: no name server is asked, which could be slow or away.
        let noName = String(repeating: "a", count: 64) + ".invalid"
        for (change, code): ([String: JSONValue], SourceError.Code) in [
            (["password": "wrong"], .wrongCredentials), (["user": "nobody"], .wrongCredentials),
            (["database": "gone"], .unknownDatabase),
            (["port": JSONValue(freePort())], .unreachable), (["host": .string(noName)], .unreachable),
            (["tls": "require"], .tlsFailed), (["host": "169.254.169.254"], .addressRefused),
            (["user": "postgres", "password": "postgres"], .refusedRole),
        ] {
            let found = await error(fixture.connector(table: "products", changing: change))
            #expect(found?.code == code, "\(change): \(String(describing: found))")
            #expect(found?.field?.hasPrefix("connectionConfig.") == true)
            #expect(found.map { "\($0)".contains("wrong ") } != true)
        }
    }

    @Test func queriesThatAreNoReadAreRefused() async throws {
        let fixture = try await SourceFixture()
        for query in [
            "DELETE FROM products", "UPDATE products SET name = 'x'", "INSERT INTO products VALUES (9999)",
            "DROP TABLE products",
            "COPY products TO '/tmp/x'", "COPY (SELECT 1) TO PROGRAM 'id'", "SELECT 1; DROP TABLE products",
            "commit; create table x()",
            "SELECT 1) q; DROP TABLE products --", "SELECT 1) UNION (SELECT 2", "VALUES (1)", "", " -- nothing",
            "SELECT 'open",
            "SELECT * FROM products WHERE name = '{{after}}'", "SELECT {{nothing}}", "SELECT $1", "DO $$ BEGIN END $$",
            "WITH d AS (DELETE FROM products RETURNING *) SELECT * FROM d", "SELECT * INTO other FROM products",
            "SELECT * FROM products FOR UPDATE", "SELECT id, lo_create(0) AS made FROM products WHERE id = 1 FOR SHARE",
        ] {
            let found = await error(fixture.connector(query))
            #expect([.refusedQuery, .invalidQuery].contains(found?.code), "\(query): \(String(describing: found))")
        }
        #expect(try await fixture.connector(table: "products").count().rows == 2500)
        // A function may write even here; the rollback takes it back.
        _ = try await fixture.connector("SELECT 1 AS id, lo_create(0) AS made").readPage(
            after: nil, limit: 5, window: nil)
        #expect(try await fixture.pool.query("SELECT count(*) FROM pg_largeobject_metadata")[0].int(0) == 0)
    }

    @Test func errorsNameTheirPlaceInTheTemplate() async throws {
        let fixture = try await SourceFixture()
        for query in [
            "SELECT id, nothing FROM products", "SELECT id FROM products WHERE id > {{after}} AND nothing = 1",
        ] {
            let found = await error(fixture.connector(query))
            #expect(found?.code == .invalidQuery)
            #expect(
                found?.position == query.distance(
                    from: query.startIndex, to: query.firstRange(of: "nothing")!.lowerBound) + 1)
        }
        #expect(await error(fixture.connector(table: "products", key: "gone"))?.code == .missingColumn)
        #expect(await error(fixture.connector("SELECT id, id FROM products"))?.code == .invalidQuery)
        #expect(await error(fixture.connector("SELECT 1 AS id, pg_sleep(5)", timeout: .seconds(1)))?.code == .timedOut)
    }

    @Test func templatesKeepTheirTextAndPlaces() throws {
        let template = try SQLTemplate(
            "SELECT 'a;b', \"c;d\", $x$ e;f {{ $x$, E'\\'' /* ; /* ) */ */ FROM t WHERE k NOT IN ({{codes}}) -- ;\n; -- end",
            dialect: .postgresql)
        let (sql, place) = template.rendered { _ in " <> ALL ($1)" }
        #expect(
            sql == "SELECT 'a;b', \"c;d\", $x$ e;f {{ $x$, E'\\'' /* ; /* ) */ */ FROM t WHERE k <> ALL ($1) -- ;\n")
        #expect(place(0) == 0)
        #expect(place(sql.count - 2) == sql.count - 2 + "NOT IN ({{codes}})".count - "<> ALL ($1)".count)
        let error = #expect(throws: SourceError.self) { try SQLTemplate("SELECT 1; SELECT 2", dialect: .postgresql) }
        #expect(error?.position == 9)
    }
}

@Suite struct NetworkPolicyTests {
    @Test func linkLocalAndMetadataAddressesAreRefused() throws {
        func allows(_ policy: NetworkPolicy, _ text: String) -> Bool {
            policy.allows(NetworkAddress.bytes(of: text) ?? [])
        }
        let open = NetworkPolicy()
        for address in [
            "169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "fd00:ec2::254",
            "64:ff9b::a9fe:a9fe",
        ] {
            #expect(!allows(open, address), "\(address)")
        }
        for address in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "::1", "8.8.8.8"] {
            #expect(allows(open, address), "\(address)")
        }
        let narrow = NetworkPolicy(allowed: ["10.0.0.0/8", "127.0.0.1"].compactMap(NetworkPolicy.Network.init))
        #expect(allows(narrow, "10.200.0.1") && allows(narrow, "127.0.0.1") && allows(narrow, "::ffff:10.0.0.1"))
        #expect(!allows(narrow, "127.0.0.2") && !allows(narrow, "8.8.8.8") && !allows(narrow, "::1"))
    }
}
