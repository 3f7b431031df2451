import Crypto
import Datasources
import Foundation
import ServiceRuntime
import Testing
import WireProtocol

@testable import DataHarvester

/// A real catalogue, when there is one: `CATALOGUE_CSV=/path/products.csv.gz`, `CATALOGUE_SHA256` of all its fields, each with a zero byte
/// behind it, as Python's csv module reads them; prints what a row costs.
@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["CATALOGUE_CSV"] != nil)) struct RealCatalogueTests
{
    @Test func readsEveryFieldAsPythonDoes() async throws {
        let environment = ProcessInfo.processInfo.environment
        let path = try #require(environment["CATALOGUE_CSV"])
        let content = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        for limit in [1000, 7] {
            let connector = CSVConnector(file: MemoryFile(content: content), settings: JSONObject(), key: "id")
            var digest = IncrementalSHA256()
            var (cursor, rows): (String?, Int) = (nil, 0)
            while true {
                let page = try await connector.readPage(after: cursor, limit: limit, window: nil)
                #expect(page.failures.isEmpty)
                rows += page.rows.count
                for row in page.rows {
                    for member in row.values.members { digest.update(Array((member.value.string ?? "").utf8) + [0]) }
                }
                if page.isExhausted { break }
                cursor = page.next
            }
            #expect(Hex.encode(digest.finish()) == environment["CATALOGUE_SHA256"], "\(rows) rows")
        }
    }

    @Test func costsLittle() async throws {
        let path = try #require(ProcessInfo.processInfo.environment["CATALOGUE_CSV"])
        let content = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        let connector = CSVConnector(file: MemoryFile(content: content), settings: JSONObject(), key: "id")
        let maker = RecordMaker(
            mapping: FieldMapping(
                key: "id",
                fields: [
                    "sku", "ean", "supplier", "title", "short_description", "price_cents", "date_released", "image_url",
                ].map {
                    .init(name: $0, column: $0)
                }),
            template: RecordTemplate(
                mapping: FieldMapping(
                    key: "id",
                    fields: [
                        "sku", "ean", "supplier", "title", "short_description", "price_cents", "date_released",
                        "image_url",
                    ].map {
                        .init(name: $0, column: $0)
                    }), text: TextTemplate(fields: ["title", "supplier", "short_description"]), space: .example),
            operations: [], processor: FakeProcessor())
        var (cursor, rows): (String?, Int) = (nil, 0)
        var (reading, making) = (Duration.zero, Duration.zero)
        while true {
            let start = Self.processorTime
            let page = try await connector.readPage(after: cursor, limit: 1000, window: nil)
            let read = Self.processorTime
            rows += try await maker.make(page).records.count
            reading += read - start
            making += Self.processorTime - read
            if page.isExhausted { break }
            cursor = page.next
        }
        print(
            "CSV gzip: \(rows) rows; read \(reading / .microseconds(rows)) us a row, made \(making / .microseconds(rows)) us a row"
        )
    }

    static var processorTime: Duration {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    @Test func postgresqlCostsLittle() async throws {
        let fixture = try await SourceFixture()
        try await fixture.execute(
            """
            CREATE TABLE big AS SELECT n AS id, 'S-' || n AS sku, 'Product number ' || n AS name, md5(n::text) AS description, 'Brand ' || n % 50 AS brand,
                (n * 1.25)::numeric(10,2) AS price, n % 7 AS rating, now() AS updated_at, n % 2 = 0 AS in_stock, 'category' AS category
            FROM generate_series(1, 100000) n; ALTER TABLE big ADD PRIMARY KEY (id)
            """)
        let connector = fixture.connector(table: "big")
        let start = Self.processorTime
        let (rows, _) = try await readAll(connector)
        print(
            "PostgreSQL: \(rows.count) rows; read \((Self.processorTime - start) / .microseconds(rows.count)) us a row (client)"
        )
    }
}
