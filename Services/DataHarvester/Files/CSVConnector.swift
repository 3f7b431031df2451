import Datasources
import WireProtocol

/// CSV files, packed with gzip or not, uploaded or on the mounted folder.
actor CSVConnector: Connector {
    private let file: any FileBytes
    private let settings: JSONObject
    /// Empty while nobody has said yet which column it is: then for a preview only.
    private let key: String
    private let limits: CSVReader.Limits
    /// The pass that full reads go on with.
    private var current: CSVReader?

    init(file: any FileBytes, settings: JSONObject, key: String, limits: CSVReader.Limits = .init()) {
        self.file = file
        self.settings = settings
        self.key = key
        self.limits = limits
    }

    nonisolated var keysPerRead: Int { 50_000 }

    private func reader() -> CSVReader {
        CSVReader(
            file: file, encoding: settings["encoding"]?.string.flatMap(FileSettings.Encoding.init(name:)),
            delimiter: settings["delimiter"]?.string.flatMap(FileSettings.delimiter), limits: limits)
    }

    func test() async throws -> SourceTest {
        let description = try await reader().describe()
        return SourceTest(
            server: "CSV, \(description.encoding.rawValue)\(description.isGzip ? ", gzip" : "")",
            details: JSONObject([
                ("file", .string(file.name)), ("bytes", JSONValue(file.size)),
                ("columns", .array(description.columns.map(JSONValue.string))),
                ("delimiter", .string(String(decoding: [description.delimiter], as: UTF8.self))),
                ("notes", .array(description.notes.map(JSONValue.string))),
            ]))
    }

    func count() async throws -> SourceCount { SourceCount(rows: try await reader().count()) }

    func readPage(after cursor: String?, limit: Int, window: ChangeWindow?) async throws -> SourcePage {
        // Taken out while it works: a second caller gets a pass of its own.
        var reader = current ?? self.reader()
        current = nil
        var notes: [String] = []
        if let cursor {
            if let checkpoint = CSVCheckpoint(cursor), checkpoint.fingerprint == file.fingerprint {
                try await reader.seek(to: checkpoint)
            } else {
                notes.append("the file is not the one that was read before: it is read again from its start")
                reader = self.reader()
            }
        } else {
            reader = self.reader()
            let description = try await reader.describe()
            guard key.isEmpty || description.columns.contains(key) else { throw missing(key, description.columns) }
            notes = description.notes
        }
        var page = try await reader.page(limit: limit)
        page.notes = notes + page.notes
        current = reader
        return page
    }

    func readByKeys(_ keys: [String]) async throws -> SourcePage {
        let wanted = Set(keys)
        let key = key
        let reader = reader()
        var found = SourcePage(isExhausted: true)
        while true {
            let page = try await reader.page(limit: 10_000) { row in
                RecordTemplate.keyText(row[key]).map(wanted.contains) ?? false
            }
            found.rows += page.rows
            if page.isExhausted { return found }
        }
    }

    func clock() async throws -> String? { nil }
    func close() async { current = nil }

    private func missing(_ column: String, _ columns: [String]) -> SourceError {
        SourceError(
            .missingColumn, "the file has no column \(column); it has \(columns.prefix(50).joined(separator: ", "))",
            field: "fieldMapping.id")
    }
}
