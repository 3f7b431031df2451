/// A query as a user wrote it: one SELECT or WITH statement, with placeholders that are bound as parameters.
///
/// What is refused here is refused for the reason it gives; the server's own limits (a derived table, a read-only transaction, one
/// statement a call) hold what a reader of text cannot see.
struct SQLTemplate: Sendable, Equatable {
    enum Dialect: Sendable { case postgresql, mysql, mssql, odbc }
    enum Placeholder: String, CaseIterable, Sendable { case offset, limit, after, since, codes }
    enum Part: Sendable, Equatable {
        case sql(String)
        case placeholder(Placeholder)
        /// `IN ({{codes}})`, both words included.
        case inCodes(negated: Bool)
    }
    private(set) var parts: [Part] = []
    /// Where each part starts in the template, in characters from 0.
    private var origins: [Int] = []

    var placeholders: Set<Placeholder> {
        Set(
            parts.compactMap {
                switch $0 {
                case .sql: nil
                case .placeholder(let placeholder): placeholder
                case .inCodes: .codes
                }
            })
    }

    /// Throws: `refusedQuery` with the place.
    init(_ text: String, dialect: Dialect) throws(SourceError) {
        var scanner = SQLScanner(text, dialect)
        try scanner.scan()
        (parts, origins) = (scanner.parts, scanner.origins)
        foldInLists()
    }

    /// The statement with each placeholder written by `write`; `place` maps positions in it (from 0) back to the template.
    func rendered(_ write: (Part) -> String) -> (sql: String, place: @Sendable (Int) -> Int?) {
        var sql = ""
        var spans: [(start: Int, origin: Int, isText: Bool)] = []
        for (part, origin) in zip(parts, origins) {
            if case .sql(let text) = part {
                spans.append((sql.unicodeScalars.count, origin, true))
                sql += text
            } else {
                spans.append((sql.unicodeScalars.count, origin, false))
                sql += write(part)
            }
        }
        let end = sql.unicodeScalars.count
        return (
            sql,
            { [spans] position in
                guard position >= 0, position <= end, let span = spans.last(where: { $0.start <= position }) else {
                    return nil
                }
                return span.isText ? span.origin + position - span.start : span.origin
            }
        )
    }

    /// `x IN ({{codes}})` becomes one part, which each dialect writes as it can bind a list.
    private mutating func foldInLists() {
        var index = 1
        while index + 1 < parts.count {
            if parts[index] == .placeholder(.codes), case .sql(let before) = parts[index - 1],
                case .sql(let after) = parts[index + 1],
                let opening = before.firstMatch(of: /(?i)\s(not\s+)?in\s*\(\s*$/),
                let closing = after.firstMatch(of: /^\s*\)/)
            {
                parts[index - 1] = .sql(String(before[..<opening.range.lowerBound]))
                parts[index] = .inCodes(negated: opening.output.1 != nil)
                origins[index + 1] += after[closing.range].unicodeScalars.count
                parts[index + 1] = .sql(String(after[closing.range.upperBound...]))
            }
            index += 1
        }
    }
}

/// Finds quotes, comments, brackets, the end and the placeholders of one statement.
private struct SQLScanner {
    private let scalars: [Unicode.Scalar]
    private let dialect: SQLTemplate.Dialect
    private var index = 0
    private var depth = 0
    private var firstWord: String?
    private var pending: [Unicode.Scalar] = []
    private var pendingOrigin = 0
    private(set) var parts: [SQLTemplate.Part] = []
    private(set) var origins: [Int] = []

    init(_ text: String, _ dialect: SQLTemplate.Dialect) {
        scalars = Array(text.unicodeScalars)
        self.dialect = dialect
    }

    private func refused(_ message: String, at index: Int) -> SourceError {
        SourceError(.refusedQuery, message, field: "queryTemplate", position: index + 1)
    }

    private func at(_ offset: Int) -> Unicode.Scalar? { index + offset < scalars.count ? scalars[index + offset] : nil }

    mutating func scan() throws(SourceError) {
        while let scalar = at(0) {
            switch scalar {
            case "'":
                try quoted("'", escapes: dialect == .mysql || isEscapeString)
            case "\"": try quoted("\"", escapes: dialect == .mysql)
            case "`" where dialect == .mysql: try quoted("`", escapes: false)
            case "[" where dialect == .mssql: try quoted("]", escapes: false)
            case "-" where at(1) == "-": lineComment()
            case "#" where dialect == .mysql: lineComment()
            case "/" where at(1) == "*": try blockComment()
            case "$" where dialect == .postgresql: try dollar()
            case "{" where at(1) == "{": try placeholder()
            case ";":
                try end()
                return finish()
            case "(":
                depth += 1
                take()
            case ")":
                depth -= 1
                guard depth >= 0 else { throw refused("a ) closes nothing", at: index) }
                take()
            case "\0": throw refused("the query holds a zero byte", at: index)
            default:
                if firstWord == nil, isWordStart(scalar) { try readFirstWord() } else { take() }
            }
        }
        try check(at: scalars.count)
        finish()
    }

    private mutating func take() {
        if pending.isEmpty { pendingOrigin = index }
        pending.append(scalars[index])
        index += 1
    }

    private mutating func flush() {
        guard !pending.isEmpty else { return }
        var text = ""
        text.unicodeScalars.append(contentsOf: pending)
        parts.append(.sql(text))
        origins.append(pendingOrigin)
        pending = []
    }

    private mutating func finish() { flush() }

    private func check(at index: Int) throws(SourceError) {
        guard firstWord != nil else { throw SourceError(.refusedQuery, "the query is empty", field: "queryTemplate") }
        guard depth == 0 else { throw refused("\(depth) ( not closed", at: index) }
    }

    /// Behind the first `;` only blanks and comments may come.
    private mutating func end() throws(SourceError) {
        let semicolon = index
        try check(at: semicolon)
        flush()
        index += 1
        while let scalar = at(0) {
            switch scalar {
            case "-" where at(1) == "-": lineComment()
            case "#" where dialect == .mysql: lineComment()
            case "/" where at(1) == "*": try blockComment()
            case _ where scalar.properties.isWhitespace || scalar == ";": index += 1
            default: throw refused("only one statement may be given: something follows the ;", at: semicolon)
            }
        }
        pending = []
    }

    private func isWordStart(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isAlphabetic || scalar == "_" }

    private mutating func readFirstWord() throws(SourceError) {
        let start = index
        var word = ""
        while let scalar = at(0), isWordStart(scalar) || scalar.properties.numericType != nil {
            word.unicodeScalars.append(scalar)
            take()
        }
        firstWord = word.uppercased()
        guard ["SELECT", "WITH"].contains(word.uppercased()) else {
            throw refused(
                "the query starts with \(word.uppercased().prefix(40)): only one SELECT or WITH statement is run",
                at: start)
        }
    }

    /// PostgreSQL's `E'...'`.
    private var isEscapeString: Bool {
        guard dialect == .postgresql, index > 0, scalars[index - 1] == "e" || scalars[index - 1] == "E" else {
            return false
        }
        guard index > 1 else { return true }
        let before = scalars[index - 2]
        return !(isWordStart(before) || before.properties.numericType != nil || before == "$")
    }

    private mutating func quoted(_ close: Unicode.Scalar, escapes: Bool) throws(SourceError) {
        let start = index
        take()
        while let scalar = at(0) {
            if escapes, scalar == "\\", at(1) != nil {
                take()
                take()
            } else if scalar == close {
                take()
                guard at(0) == close else { return }
                take()
            } else {
                if scalar == "{", at(1) == "{", isPlaceholder {
                    throw refused(
                        "a placeholder stands inside quotes: it is bound as a value and needs none", at: index)
                }
                take()
            }
        }
        throw refused("the quote \(scalars[start]) is not closed", at: start)
    }

    private mutating func lineComment() {
        while let scalar = at(0), scalar != "\n" { _ = scalar; take() }
    }

    private mutating func blockComment() throws(SourceError) {
        let start = index
        // MySQL runs what stands in /*! */.
        if dialect == .mysql, at(2) == "!" { throw refused("comments that are run, /*! */, are refused", at: index) }
        var nesting = 0
        while at(0) != nil {
            if at(0) == "/", at(1) == "*" {
                nesting += dialect == .mysql && nesting > 0 ? 0 : 1
                take()
                take()
            } else if at(0) == "*", at(1) == "/" {
                nesting -= 1
                take()
                take()
                if nesting == 0 { return }
            } else {
                take()
            }
        }
        throw refused("the comment is not closed", at: start)
    }

    /// `$tag$...$tag$`; `$1` is refused, for the placeholders are numbered by us.
    private mutating func dollar() throws(SourceError) {
        let start = index
        if let next = at(1), ("0"..."9").contains(next) {
            throw refused(
                "parameters are written as {{after}}, {{limit}}, {{offset}}, {{since}} or {{codes}}, not as $\(next)",
                at: index)
        }
        if index > 0, isWordStart(scalars[index - 1]) || scalars[index - 1].properties.numericType != nil {
            return take()
        }
        var end = index + 1
        while end < scalars.count, isWordStart(scalars[end]) || scalars[end].properties.numericType != nil { end += 1 }
        guard end < scalars.count, scalars[end] == "$" else { return take() }
        let tag = scalars[start...end]
        for _ in tag { take() }
        while index + tag.count <= scalars.count {
            if scalars[index..<(index + tag.count)].elementsEqual(tag) {
                for _ in tag { take() }
                return
            }
            take()
        }
        throw refused("the dollar quote is not closed", at: start)
    }

    private var placeholderName: (name: String, end: Int)? {
        var end = index + 2
        while end < scalars.count, scalars[end] != "}", end - index < 60 { end += 1 }
        guard end + 1 < scalars.count, scalars[end] == "}", scalars[end + 1] == "}" else { return nil }
        var name = ""
        for scalar in scalars[(index + 2)..<end] where !scalar.properties.isWhitespace {
            name.unicodeScalars.append(scalar)
        }
        return (name, end + 2)
    }
    private var isPlaceholder: Bool { placeholderName.flatMap { SQLTemplate.Placeholder(rawValue: $0.name) } != nil }

    private mutating func placeholder() throws(SourceError) {
        guard let (name, end) = placeholderName else { throw refused("a {{ is not closed by }}", at: index) }
        guard let placeholder = SQLTemplate.Placeholder(rawValue: name) else {
            let known = SQLTemplate.Placeholder.allCases.map { "{{\($0.rawValue)}}" }.joined(separator: ", ")
            throw refused("{{\(name.prefix(40))}} is no placeholder: \(known)", at: index)
        }
        guard firstWord != nil else { throw refused("the query starts with a placeholder", at: index) }
        flush()
        parts.append(.placeholder(placeholder))
        origins.append(index)
        index = end
    }
}
