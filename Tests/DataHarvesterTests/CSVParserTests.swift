import Datasources
import Testing
import WireProtocol

@testable import DataHarvester

/// Rows as arrays of texts, failures as their messages, in order.
private func parse(_ text: [UInt8], delimiter: Character = ",", part: Int = .max, limit: Int = 1 << 20) -> [[String]] {
    var parser = CSVParser(delimiter: delimiter.asciiValue ?? 44, maximumRowBytes: limit)
    var found: [[String]] = []
    func drain() {
        while let item = parser.next() {
            switch item {
            case .record(let line):
                found.append(["\(line)"] + parser.fields.map { field in parser.text(field) ?? "<invalid>" })
            case .failure(let line, let type, let message): found.append(["\(line)", type, message])
            }
        }
    }
    var start = 0
    while start < text.count {
        let end = part == .max ? text.count : min(start + part, text.count)
        parser.append(Array(text[start..<end]))
        drain()
        start = end
    }
    parser.finish()
    drain()
    return found
}

@Suite struct CSVParserTests {
    @Test(arguments: [1, 2, 3, 7, Int.max]) func readsWhatPeopleCallCSV(part: Int) {
        let text = "a,b\r\n\"x, \"\"y\"\"\",2\n\n\"two\nlines\r\nthree\",\"\"\rlast,\"q\"tail\n,\n\"end\""
        #expect(
            parse(Array(text.utf8), part: part) == [
                ["1", "a", "b"], ["2", "x, \"y\"", "2"], ["4", "two\nlines\r\nthree", ""], ["7", "last", "qtail"],
                ["8", "", ""], ["9", "end"],
            ])
    }

    @Test(arguments: [1, 5, Int.max]) func anUnclosedQuoteCostsItsLineOnly(part: Int) {
        let text = "a,b\n1,\"open\n2,x\n3,y\n"
        #expect(
            parse(Array(text.utf8), part: part) == [
                ["1", "a", "b"],
                [
                    "2", "row_malformed",
                    "line 2: the quote that opens in column 2 is not closed before the end of the file",
                ],
                ["3", "2", "x"], ["4", "3", "y"],
            ])
    }

    @Test(arguments: [64, Int.max]) func looksForTheEndOfAQuoteWithinTheLimitOnly(part: Int) {
        let text = "a,b\n1,\"open\n" + String(repeating: "2,x\n", count: 1000)
        let found = parse(Array(text.utf8), part: part, limit: 256)
        #expect(
            found[1] == [
                "2", "row_malformed", "line 2: the quote that opens in column 2 is not closed within 256 bytes",
            ])
        #expect(found.count == 1002)
        #expect(found.last == ["1002", "2", "x"])
    }

    @Test(arguments: [64, 5000, Int.max]) func aLongLineFailsAloneAndNamesTheLimit(part: Int) {
        for long in [String(repeating: "x", count: 3000), "\"" + String(repeating: "y", count: 3000) + "\""] {
            let found = parse(Array("a,b\n1,\(long)\n2,z\n".utf8), part: part, limit: 1000)
            #expect(
                found == [
                    ["1", "a", "b"], ["2", "row_too_large", "line 2: the row is longer than 1000 bytes"],
                    ["3", "2", "z"],
                ])
        }
    }

    @Test func badBytesAreTold() {
        #expect(
            parse(Array("a,b\n1,".utf8) + [0xC0, 0xAF] + Array("\n2,x".utf8)) == [
                ["1", "a", "b"], ["2", "1", "<invalid>"], ["3", "2", "x"],
            ])
    }
}

@Suite struct CSVSourceTests {
    private func connector(
        _ content: [UInt8], _ settings: JSONObject = JSONObject(), key: String = "id", part: Int = 1 << 20,
        limits: CSVReader.Limits = .init()
    ) -> CSVConnector {
        CSVConnector(file: MemoryFile(content: content, partBytes: part), settings: settings, key: key, limits: limits)
    }
    private func all(_ connector: CSVConnector, limit: Int = 2) async throws -> (
        rows: [JSONObject], failures: [RowFailure]
    ) {
        var (rows, failures): ([JSONObject], [RowFailure]) = ([], [])
        var cursor: String?
        while true {
            let page = try await connector.readPage(after: cursor, limit: limit, window: nil)
            rows += page.rows.map(\.values)
            failures += page.failures
            if page.isExhausted { return (rows, failures) }
            cursor = page.next
        }
    }
    private static let text = "id;name\n1;Söl\n2;\"a;b\"\n3;€\n"
    private let expected = [
        JSONObject([("id", "1"), ("name", "Söl")]), JSONObject([("id", "2"), ("name", "a;b")]),
        JSONObject([("id", "3"), ("name", "€")]),
    ]

    @Test(arguments: [1, 3, 1 << 20]) func readsEveryEncoding(part: Int) async throws {
        let text = Self.text
        let utf16 = text.utf16.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
        let big = text.utf16.flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] }
        let windows = text.unicodeScalars.map { $0 == "€" ? 0x80 : UInt8($0.value) }
        let files: [(String, [UInt8], String?)] = [
            ("UTF-8", Array(text.utf8), nil), ("UTF-8 with mark", [0xEF, 0xBB, 0xBF] + Array(text.utf8), nil),
            ("UTF-16 LE with mark", [0xFF, 0xFE] + utf16, nil), ("UTF-16 BE with mark", [0xFE, 0xFF] + big, nil),
            ("UTF-16 BE, told", big, "utf-16be"), ("Windows-1252", windows, "windows-1252"),
        ]
        for (name, bytes, encoding) in files where part > 1 || name == "UTF-8" || encoding != nil {
            let settings = JSONObject([("encoding", JSONValue(encoding))])
            let found = try await all(connector(bytes, settings, part: max(part, 4)))
            #expect(found.rows == expected, "\(name)")
            #expect(found.failures.isEmpty)
        }
    }

    @Test func readsGzipInMembersAndRefusesHalfAFile() async throws {
        let half = Self.text.utf8.count / 2
        let packed = gzip(Array(Self.text.utf8.prefix(half))) + gzip(Array(Self.text.utf8.dropFirst(half)))
        for part in [2, 10, 1 << 20] { #expect(try await all(connector(packed, part: part)).rows == expected) }
        await #expect(throws: SourceError.self) { try await all(connector(Array(packed.dropLast(10)))) }
        await #expect(throws: SourceError.self) {
            try await all(connector(packed.enumerated().map { $0.offset == 20 ? $0.element ^ 0xFF : $0.element }))
        }
    }

    @Test func goesOnFromACheckpointInAnotherReader() async throws {
        for content in [
            Array(Self.text.utf8), [0xEF, 0xBB, 0xBF] + Array(Self.text.utf8), gzip(Array(Self.text.utf8)),
        ] {
            let first = try await connector(content).readPage(after: nil, limit: 1, window: nil)
            let rest = try await connector(content).readPage(after: first.next, limit: 10, window: nil)
            #expect(first.rows.map(\.values) + rest.rows.map(\.values) == expected)
            #expect(rest.rows.first?.position == "line 3")
        }
        let first = try await connector(Array(Self.text.utf8)).readPage(after: nil, limit: 1, window: nil)
        let other = try await connector(Array((Self.text + "4;x\n").utf8)).readPage(
            after: first.next, limit: 10, window: nil)
        #expect(other.rows.count == 4)
        #expect(other.notes.count == 1)
    }

    @Test func raggedAndUnreadableRowsFailAlone() async throws {
        let content = Array("id,name\n1,a\n2\n3,b,c\n4,".utf8) + [0xFF] + Array("\n5,\0\n6,z\n".utf8)
        let found = try await all(connector(content))
        #expect(found.rows.map { $0["id"]?.string } == ["1", "6"])
        #expect(
            found.failures.map { "\($0.failure.type) \($0.failure.message)" } == [
                "row_malformed line 3: expected 2 columns, got 1", "row_malformed line 4: expected 2 columns, got 3",
                "invalid_encoding line 5: column name is not utf-8 text: if the file has another encoding, set connectionConfig.encoding",
                "invalid_encoding line 6: column name holds a zero byte",
            ])
    }

    @Test func aHundredMegabyteLineCostsNoMemory() async throws {
        struct Endless: FileBytes {
            let name = "long", fingerprint = "1", size = 100 << 20
            func bytes(at offset: Int) async throws -> [UInt8] {
                if offset == 0 { return Array("id,name\n1,a\n2,".utf8) }
                if offset < size { return [UInt8](repeating: 120, count: 1 << 20) }
                return offset < size + (1 << 20) ? [UInt8]("\n3,b\n".utf8) + [UInt8](repeating: 10, count: 2 << 20) : []
            }
        }
        let found = try await all(CSVConnector(file: Endless(), settings: JSONObject(), key: "id"))
        #expect(found.rows.map { $0["id"]?.string } == ["1", "3"])
        #expect(found.failures.map(\.failure.message) == ["line 3: the row is longer than 1048576 bytes"])
    }

    @Test func headersAreMadeUsableAndToldAbout() async throws {
        let page = try await connector(Array("id,,name,name\n1,2,3,4\n".utf8)).readPage(
            after: nil, limit: 5, window: nil)
        #expect(page.rows.first?.values.names == ["id", "column_2", "name", "name_2"])
        #expect(page.notes.count == 2)
        for broken in ["", "\n\n"] {
            await #expect(throws: SourceError.self) {
                try await connector(Array(broken.utf8)).readPage(after: nil, limit: 5, window: nil)
            }
        }
        let missing = await #expect(throws: SourceError.self) {
            try await connector(Array("a,b\n1,2\n".utf8)).readPage(after: nil, limit: 5, window: nil)
        }
        #expect(missing?.code == .missingColumn)
    }

    @Test(arguments: [(",", 44), (";", 59), ("\t", 9), ("|", 124)]) func findsTheDelimiter(text: String, byte: Int)
        async throws
    {
        let content = "id\(text)title\(text)price\n1\(text)\"Lamp, red; big\"\(text)1,5\n2\(text)x\(text)2\n"
        let test = try await connector(Array(content.utf8)).test()
        #expect(test.details["columns"]?.array?.count == 3)
        #expect(test.details["delimiter"]?.string?.utf8.first.map(Int.init) == byte)
    }

    @Test func readsByKeysAndCounts() async throws {
        let content = "id,name\n" + (1...5000).map { "\($0),n\($0)\n" }.joined()
        let source = connector(Array(content.utf8))
        #expect(try await source.count() == SourceCount(rows: 5000))
        let found = try await source.readByKeys(["17", "4999", "9999"])
        #expect(found.rows.map { $0.values["name"]?.string } == ["n17", "n4999"])
    }

    @Test func tenThousandColumnsAreRead() async throws {
        let header = (0..<10_000).map { $0 == 0 ? "id" : "c\($0)" }.joined(separator: ",")
        let row = (0..<10_000).map { "\($0)" }.joined(separator: ",")
        let page = try await connector(Array("\(header)\n\(row)\n".utf8)).readPage(after: nil, limit: 5, window: nil)
        #expect(page.rows.first?.values["c9999"] == "9999")
    }
}
