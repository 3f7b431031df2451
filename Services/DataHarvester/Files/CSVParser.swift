import Foundation

/// Reads CSV (RFC 4180 and what people call CSV) from UTF-8 bytes that come in parts: quoted line breaks, `""`, CRLF, LF and CR,
/// blank lines passed over. Holds at most one row and one part.
///
/// A row that cannot be read becomes a failure with its line, and the next line goes on: also behind a quote that is never closed.
struct CSVParser: Sendable {
    struct Field: Sendable {
        /// In the buffer, quotes excluded.
        var start: Int
        var end: Int
        /// Where text follows a closing quote (`"a"b`), the end of that text; else equal to `end`.
        var tail: Int
        /// `""` inside.
        var hasEscapes: Bool
    }
    enum Item: Sendable, Equatable {
        /// The fields are in `fields` until the next call.
        case record(line: Int)
        case failure(line: Int, type: String, message: String)
    }

    let delimiter: UInt8
    let maximumRowBytes: Int
    private var buffer: [UInt8] = []
    private var position = 0
    /// Offset of `buffer[0]` in the text.
    private var base: Int
    private(set) var line: Int
    private(set) var fields: [Field] = []
    private var isComplete = false
    private var isSkipping = false

    /// `offset` and `line` of the first byte that will be appended.
    init(delimiter: UInt8, maximumRowBytes: Int, offset: Int = 0, line: Int = 1) {
        self.delimiter = delimiter
        self.maximumRowBytes = maximumRowBytes
        base = offset
        self.line = line
    }

    /// Offset of the next record.
    var offset: Int { base + position }

    mutating func append(_ bytes: [UInt8]) {
        if position > 0 {
            buffer.removeFirst(position)
            base += position
            position = 0
        }
        buffer += bytes
    }

    /// Nothing more will be appended.
    mutating func finish() { isComplete = true }

    /// `nil`: give more bytes, or, after `finish`, the end.
    mutating func next() -> Item? {
        while true {
            if isSkipping, !skipLine() { return nil }
            guard position < buffer.count else { return nil }
            let first = line
            switch scan() {
            case .blank(let end):
                position = end
                line += 1
            case .record(let end, let lines):
                let size = end - position
                position = end
                line += lines
                if size > maximumRowBytes { return Self.tooLong(first, maximumRowBytes) }
                return .record(line: first)
            case .incomplete(let quote):
                let isTooLong = buffer.count - position > maximumRowBytes
                guard isComplete || isTooLong else { return nil }
                return giveUp(openQuote: quote, first: first)
            }
        }
    }

    /// The field's text; `nil` where its bytes are no UTF-8.
    func text(_ field: Field) -> String? {
        buffer.withUnsafeBufferPointer { bytes in
            if !field.hasEscapes, field.tail == field.end {
                return String(validating: UnsafeBufferPointer(rebasing: bytes[field.start..<field.end]), as: UTF8.self)
            }
            var unescaped: [UInt8] = []
            unescaped.reserveCapacity(field.tail - field.start)
            var index = field.start
            while index < field.end {
                unescaped.append(bytes[index])
                index += bytes[index] == Self.quote ? 2 : 1
            }
            if field.tail > field.end { unescaped += bytes[(field.end + 1)..<field.tail] }
            return String(validating: unescaped, as: UTF8.self)
        }
    }

    func isEmpty(_ field: Field) -> Bool { field.start == field.end && field.tail == field.end }

    /// Whether a byte 0 is in one of the fields.
    func hasZeroByte(_ field: Field) -> Bool {
        buffer.withUnsafeBytes { memchr($0.baseAddress! + field.start, 0, field.tail - field.start) != nil }
    }

    // MARK: Scanning

    private static let quote = UInt8(ascii: "\"")
    private static let lineFeed = UInt8(ascii: "\n")
    private static let carriageReturn = UInt8(ascii: "\r")

    private enum Scan {
        case record(end: Int, lines: Int)
        case blank(end: Int)
        case incomplete(openQuote: Int?)
    }

    private mutating func scan() -> Scan {
        fields.removeAll(keepingCapacity: true)
        var fields = fields
        self.fields = []
        defer { self.fields = fields }
        let (start, delimiter, isComplete) = (position, delimiter, isComplete)
        return buffer.withUnsafeBufferPointer { bytes -> Scan in
            let base = bytes.baseAddress!
            let count = bytes.count
            var lines = 1
            var index = start
            while true {
                // One field.
                var field = Field(start: index, end: index, tail: index, hasEscapes: false)
                if index < count, base[index] == Self.quote {
                    let open = index
                    field.start = index + 1
                    index += 1
                    while true {
                        guard index < count, let found = memchr(base + index, Int32(Self.quote), count - index) else {
                            return .incomplete(openQuote: open)
                        }
                        index = UnsafeRawPointer(found) - UnsafeRawPointer(base)
                        if index + 1 == count, !isComplete { return .incomplete(openQuote: open) }
                        guard index + 1 < count, base[index + 1] == Self.quote else { break }
                        field.hasEscapes = true
                        index += 2
                    }
                    field.end = index
                    lines += Self.lineBreaks(base, open + 1, index)
                    index += 1
                    let close = index
                    while index < count, base[index] != delimiter, base[index] != Self.lineFeed,
                        base[index] != Self.carriageReturn
                    {
                        index += 1
                    }
                    field.tail = index > close ? index : field.end
                } else {
                    while index < count, base[index] != delimiter, base[index] != Self.lineFeed,
                        base[index] != Self.carriageReturn
                    {
                        index += 1
                    }
                    field.end = index
                    field.tail = index
                }
                if index == count, !isComplete { return .incomplete(openQuote: nil) }
                fields.append(field)
                if index == count { return .record(end: index, lines: lines) }
                if base[index] == delimiter {
                    index += 1
                    continue
                }
                let isReturn = base[index] == Self.carriageReturn
                if isReturn, index + 1 == count, !isComplete { return .incomplete(openQuote: nil) }
                let end = isReturn && index + 1 < count && base[index + 1] == Self.lineFeed ? index + 2 : index + 1
                if fields.count == 1, index == start { return .blank(end: end) }
                return .record(end: end, lines: lines)
            }
        }
    }

    /// LF, CRLF and CR count once each.
    private static func lineBreaks(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int {
        var breaks = 0
        for index in start..<max(start, end) where base[index] == lineFeed || base[index] == carriageReturn {
            if base[index] == lineFeed, index > start, base[index - 1] == carriageReturn { continue }
            breaks += 1
        }
        return breaks
    }

    /// The row has no end within the limit, or the text ends inside quotes.
    private mutating func giveUp(openQuote: Int?, first: Int) -> Item {
        if let openQuote {
            let opened =
                first + buffer.withUnsafeBufferPointer { Self.lineBreaks($0.baseAddress!, position, openQuote) }
            let column = fields.count + 1
            let breakAfter = buffer[openQuote...].firstIndex { $0 == Self.lineFeed || $0 == Self.carriageReturn }
            let isEnd = isComplete && buffer.count - position <= maximumRowBytes
            if breakAfter != nil || isEnd {
                let reach = isEnd ? "before the end of the file" : "within \(maximumRowBytes) bytes"
                if let breakAfter {
                    let isPair =
                        buffer[breakAfter] == Self.carriageReturn && breakAfter + 1 < buffer.count
                        && buffer[breakAfter + 1] == Self.lineFeed
                    position = breakAfter + (isPair ? 2 : 1)
                    line = opened + 1
                } else {
                    position = buffer.count
                }
                return .failure(
                    line: first, type: "row_malformed",
                    message: "line \(opened): the quote that opens in column \(column) is not closed \(reach)")
            }
        }
        isSkipping = true
        return Self.tooLong(first, maximumRowBytes)
    }

    private static func tooLong(_ line: Int, _ limit: Int) -> Item {
        .failure(line: line, type: "row_too_large", message: "line \(line): the row is longer than \(limit) bytes")
    }

    /// Drops bytes up to the next line. False while there is none yet.
    private mutating func skipLine() -> Bool {
        guard let index = buffer[position...].firstIndex(where: { $0 == Self.lineFeed || $0 == Self.carriageReturn })
        else {
            position = buffer.count
            return false
        }
        if buffer[index] == Self.carriageReturn, index + 1 == buffer.count, !isComplete {
            position = index
            return false
        }
        let isPair =
            buffer[index] == Self.carriageReturn && index + 1 < buffer.count && buffer[index + 1] == Self.lineFeed
        position = index + (isPair ? 2 : 1)
        line += 1
        isSkipping = false
        return true
    }
}
