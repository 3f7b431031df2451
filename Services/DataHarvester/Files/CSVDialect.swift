import Datasources

/// What a CSV file's start tells: its delimiter and its columns.
struct CSVDialect: Sendable, Equatable {
    var delimiter: UInt8
    /// Unique, in order.
    var columns: [String]
    /// Renamed columns.
    var notes: [String]
    /// Where the records start.
    var offset: Int
    var line: Int

    private static let candidates: [UInt8] = [UInt8(ascii: ","), UInt8(ascii: ";"), 0x09, UInt8(ascii: "|")]
    private static let maximumColumns = 16_384

    /// `sample`: the first part of the text; `isWhole` when there is no more.
    init(sample: [UInt8], isWhole: Bool, given: UInt8?, maximumRowBytes: Int) throws(SourceError) {
        var start = 0
        var (line, delimiter) = (1, given)
        // Excel's own first line.
        if sample.count >= 6, sample.starts(with: Array("sep=".utf8)), let end = sample.firstIndex(of: 0x0A), end <= 6 {
            delimiter = delimiter ?? sample[4]
            (start, line) = (end + 1, 2)
        }
        let text = Array(sample[start...])
        let chosen = delimiter ?? Self.detect(text, isWhole: isWhole, maximumRowBytes: maximumRowBytes)
        self.delimiter = chosen
        var parser = CSVParser(delimiter: chosen, maximumRowBytes: maximumRowBytes, offset: start, line: line)
        parser.append(text)
        if isWhole { parser.finish() }
        switch parser.next() {
        case .record(let line):
            var names: [String] = []
            for field in parser.fields {
                if parser.hasZeroByte(field) {
                    throw SourceError(
                        .unreadableFile, "line \(line): the header holds zero bytes: is the file UTF-16?",
                        field: "connectionConfig.encoding")
                }
                guard let name = parser.text(field) else {
                    throw SourceError(
                        .unreadableFile,
                        "line \(line): column \(names.count + 1) of the header is not UTF-8: set connectionConfig.encoding",
                        field: "connectionConfig.encoding")
                }
                names.append(name)
            }
            guard names.count <= Self.maximumColumns else {
                throw SourceError(
                    .unreadableFile, "the header has \(names.count) columns, more than \(Self.maximumColumns)")
            }
            (columns, notes) = Self.unique(names)
        case .failure(_, _, let message): throw SourceError(.unreadableFile, "the header cannot be read: \(message)")
        case nil:
            throw SourceError(.unreadableFile, "the file is empty: it needs a first line with the names of its columns")
        }
        offset = parser.offset
        self.line = parser.line
    }

    /// The delimiter that cuts the first rows into the most equal number of columns.
    private static func detect(_ text: [UInt8], isWhole: Bool, maximumRowBytes: Int) -> UInt8 {
        var best: (delimiter: UInt8, consistent: Int, columns: Int) = (candidates[0], 0, 1)
        for delimiter in candidates {
            var parser = CSVParser(delimiter: delimiter, maximumRowBytes: maximumRowBytes)
            parser.append(text)
            if isWhole { parser.finish() }
            var counts: [Int] = []
            while counts.count < 20, let item = parser.next() {
                if case .record = item { counts.append(parser.fields.count) }
            }
            guard let columns = counts.first, columns > 1 else { continue }
            let consistent = counts.count { $0 == columns }
            if (consistent, columns) > (best.consistent, best.columns) { best = (delimiter, consistent, columns) }
        }
        return best.delimiter
    }

    /// Empty names become `column_3`, repeated ones `name_2`.
    private static func unique(_ names: [String]) -> (columns: [String], notes: [String]) {
        var taken = Set<String>()
        var columns: [String] = []
        var notes: [String] = []
        for (index, name) in names.enumerated() {
            let trimmed = String(name.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
            var unique = trimmed.isEmpty ? "column_\(index + 1)" : trimmed
            var number = 1
            let stem = unique
            while !taken.insert(unique).inserted {
                number += 1
                unique = "\(stem)_\(number)"
            }
            if unique != trimmed {
                notes.append(
                    trimmed.isEmpty
                        ? "column \(index + 1) of the header has no name: it is called \(unique)"
                        : "column \(index + 1) of the header repeats the name \(trimmed): it is called \(unique)")
            }
            columns.append(unique)
        }
        return (columns, notes)
    }
}
