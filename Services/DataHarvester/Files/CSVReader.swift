import Datasources
import WireProtocol

/// One pass over a CSV file, in pages. The next page goes on where the last one ended, with nothing read twice.
actor CSVReader {
    struct Limits: Sendable {
        /// A longer row fails by itself; so does one whose quote is not closed within it.
        var rowBytes = 1 << 20
        /// A page ends behind the row that fills it.
        var pageBytes = 8 << 20
    }
    private let file: any FileBytes
    private let limits: Limits
    private let encoding: FileSettings.Encoding?
    private let givenDelimiter: UInt8?
    private var text: TextFile
    private var opened: (dialect: CSVDialect, parser: CSVParser)?
    private var isFileDone = false

    init(file: any FileBytes, encoding: FileSettings.Encoding?, delimiter: UInt8?, limits: Limits) {
        self.file = file
        self.encoding = encoding
        self.limits = limits
        givenDelimiter = delimiter
        text = TextFile(encoding: encoding)
    }

    struct Description: Sendable {
        var columns: [String]
        var delimiter: UInt8
        var encoding: FileSettings.Encoding
        var isGzip: Bool
        var notes: [String]
    }

    func describe() async throws -> Description {
        let dialect = try await open()
        return Description(
            columns: dialect.columns, delimiter: dialect.delimiter, encoding: text.encoding, isGzip: text.isGzip,
            notes: dialect.notes)
    }

    /// Where the next page starts.
    var checkpoint: CSVCheckpoint? {
        opened.map { CSVCheckpoint(offset: $0.parser.offset, line: $0.parser.line, fingerprint: file.fingerprint) }
    }

    /// Goes on from a checkpoint of another pass over the same file.
    func seek(to checkpoint: CSVCheckpoint) async throws {
        let dialect = try await open()
        guard checkpoint.offset != opened?.parser.offset else { return }
        text = TextFile(encoding: encoding, from: checkpoint.offset)
        isFileDone = false
        opened = (
            dialect,
            CSVParser(
                delimiter: dialect.delimiter, maximumRowBytes: limits.rowBytes, offset: checkpoint.offset,
                line: checkpoint.line)
        )
    }

    /// Up to `limit` rows. `wanted`: only rows that it accepts, seen by their columns.
    func page(limit: Int, wanted: (@Sendable (JSONObject) -> Bool)? = nil) async throws -> SourcePage {
        let dialect = try await open()
        var page = SourcePage(columns: dialect.columns)
        var bytes = 0
        while page.rows.count + page.failures.count < limit, bytes < limits.pageBytes {
            let before = opened?.parser.offset ?? 0
            guard let item = opened?.parser.next() else {
                if isFileDone {
                    page.isExhausted = true
                    break
                }
                try await readMore()
                continue
            }
            bytes += (opened?.parser.offset ?? 0) - before
            switch item {
            case .failure(let line, let type, let message):
                page.failures.append(
                    RowFailure(identifier: "line \(line)", failure: .init(type: type, message: message)))
            case .record(let line):
                switch row(line, dialect) {
                case .success(let row): if wanted?(row.values) ?? true { page.rows.append(row) }
                case .failure(let problem): page.failures.append(problem.failure)
                }
            }
        }
        page.next = checkpoint?.text
        return page
    }

    /// The rest of the file's records, counted without reading their fields.
    func count() async throws -> Int {
        _ = try await open()
        var count = 0
        while true {
            if opened?.parser.next() != nil {
                count += 1
            } else if isFileDone {
                return count
            } else {
                try await readMore()
            }
        }
    }

    // MARK: Rows

    private struct Malformed: Error { var failure: RowFailure }

    private func row(_ line: Int, _ dialect: CSVDialect) -> Result<SourceRow, Malformed> {
        guard let parser = opened?.parser else { preconditionFailure("a row of a file that is not open") }
        func fail(_ type: String, _ message: String) -> Result<SourceRow, Malformed> {
            .failure(
                Malformed(
                    failure: RowFailure(
                        identifier: "line \(line)", failure: .init(type: type, message: "line \(line): \(message)"))))
        }
        guard parser.fields.count == dialect.columns.count else {
            return fail("row_malformed", "expected \(dialect.columns.count) columns, got \(parser.fields.count)")
        }
        var members: [(name: String, value: JSONValue)] = []
        members.reserveCapacity(dialect.columns.count)
        for (name, field) in zip(dialect.columns, parser.fields) {
            if parser.isEmpty(field) {
                members.append((name, ""))
                continue
            }
            if parser.hasZeroByte(field) { return fail("invalid_encoding", "column \(name) holds a zero byte") }
            guard let text = parser.text(field) else {
                return fail(
                    "invalid_encoding",
                    "column \(name) is not \(self.text.encoding.rawValue) text: if the file has another encoding, set connectionConfig.encoding"
                )
            }
            members.append((name, .string(text)))
        }
        return .success(SourceRow(position: "line \(line)", values: JSONObject(unique: members)))
    }

    // MARK: Input

    private func open() async throws -> CSVDialect {
        if let opened { return opened.dialect }
        var sample: [UInt8] = []
        var isWhole = false
        while sample.count < 64 << 10, !isWhole { isWhole = try await !part { sample += $0 } }
        while true {
            do {
                let dialect = try CSVDialect(
                    sample: sample, isWhole: isWhole, given: givenDelimiter, maximumRowBytes: limits.rowBytes)
                var parser = CSVParser(
                    delimiter: dialect.delimiter, maximumRowBytes: limits.rowBytes, offset: dialect.offset,
                    line: dialect.line)
                parser.append(Array(sample[dialect.offset...]))
                if isWhole { parser.finish() }
                isFileDone = isWhole
                opened = (dialect, parser)
                return dialect
            } catch {
                // A header longer than the sample.
                guard !isWhole, sample.count <= limits.rowBytes else { throw error }
                isWhole = try await !part { sample += $0 }
            }
        }
    }

    private func readMore() async throws {
        try Task.checkCancellation()
        let hasMore = try await part { opened?.parser.append($0) }
        if !hasMore {
            opened?.parser.finish()
            isFileDone = true
        }
    }

    /// Gives the next part of the text to `take`. False at the end.
    private func part(_ take: ([UInt8]) -> Void) async throws -> Bool {
        while true {
            switch try text.next() {
            case .text(let bytes):
                take(bytes)
                return true
            case .needsBytes(let offset): try text.accept(try await file.bytes(at: offset))
            case .end: return false
            }
        }
    }
}

/// Where a pass over a file stands: as text, what `sync_cursors.after` holds.
struct CSVCheckpoint: Sendable, Equatable {
    /// In the decoded text.
    var offset: Int
    var line: Int
    var fingerprint: String

    init(offset: Int, line: Int, fingerprint: String) {
        self.offset = offset
        self.line = line
        self.fingerprint = fingerprint
    }
    init?(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 2)
        guard parts.count == 3, let offset = Int(parts[0]), let line = Int(parts[1]), offset >= 0, line >= 1 else {
            return nil
        }
        self.init(offset: offset, line: line, fingerprint: String(parts[2]))
    }
    var text: String { "\(offset):\(line):\(fingerprint)" }
}
