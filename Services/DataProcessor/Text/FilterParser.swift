import WireProtocol

/// Reads a filter expression by recursive descent. Depth and size are limited; a failure names the place.
struct FilterParser {
    struct Failure: Error, Equatable { let message: String }

    private static let maximumDepth = 32
    private static let maximumTokens = 1_000

    private enum Kind: Equatable {
        case word(String), name(String), text(String), number(JSONValue), symbol(String), end
    }
    private struct Token {
        var kind: Kind
        var position: Int
    }
    typealias Node = FilterExpression.Node
    private var tokens: [Token]
    private var next = 0
    private var depth = 0

    init(_ text: String) throws(Failure) {
        tokens = try Self.tokens(of: text)
        guard tokens.count <= Self.maximumTokens else {
            throw Failure(message: "has more than \(Self.maximumTokens) words and signs")
        }
    }

    mutating func parse() throws(Failure) -> Node {
        let node = try condition()
        guard current == .end else { throw unexpected("'and', 'or' or the end") }
        return node
    }

    // MARK: - Grammar

    private mutating func condition() throws(Failure) -> Node {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else {
            throw Failure(message: "is nested deeper than \(Self.maximumDepth) levels")
        }
        var nodes = [try conjunction()]
        while take("or") { nodes.append(try conjunction()) }
        return nodes.count == 1 ? nodes[0] : .any(nodes)
    }

    private mutating func conjunction() throws(Failure) -> Node {
        var nodes = [try negation()]
        while take("and") { nodes.append(try negation()) }
        return nodes.count == 1 ? nodes[0] : .all(nodes)
    }

    private mutating func negation() throws(Failure) -> Node {
        var isNegated = false
        while take("not") { isNegated.toggle() }
        let node = try test()
        return isNegated ? .not(node) : node
    }

    private mutating func test() throws(Failure) -> Node {
        let left = try value()
        if case .symbol(let sign) = current, let comparison = Self.comparisons[sign] {
            next += 1
            return .compare(comparison, left, try value())
        }
        if take("is") {
            let isNegated = take("not")
            guard take("null") else { throw unexpected("'null'") }
            return isNegated ? .not(.isNull(left)) : .isNull(left)
        }
        let isNegated = take("not")
        let node: Node
        if take("in") {
            node = .within(left, try list())
        } else if take("contains") {
            node = .contains(left, try value())
        } else if take("matches") {
            node = .matches(left, try pattern())
        } else if isNegated {
            throw unexpected("'in', 'contains' or 'matches'")
        } else {
            return left
        }
        return isNegated ? .not(node) : node
    }

    private mutating func value() throws(Failure) -> Node {
        if let literal = takeLiteral() { return .literal(literal) }
        switch current {
        case .name(let name):
            next += 1
            return .field(name)
        case .word(let word) where !Self.keywords.contains(word.lowercased()):
            next += 1
            return .field(word)
        case .symbol("("):
            next += 1
            let node = try condition()
            try expect(")")
            return node
        default: throw unexpected("a field, a value or '('")
        }
    }

    private mutating func list() throws(Failure) -> [JSONValue] {
        try expect("(")
        var values: [JSONValue] = []
        repeat {
            guard let literal = takeLiteral() else { throw unexpected("a value") }
            values.append(literal)
        } while takeSymbol(",")
        try expect(")")
        return values
    }

    private mutating func pattern() throws(Failure) -> RegularExpression {
        let position = tokens[next].position
        guard case .text(let pattern) = current else { throw unexpected("a pattern in quotes") }
        next += 1
        do {
            return try RegularExpression(pattern)
        } catch {
            throw Failure(message: "has a pattern at position \(position) that \(error.message)")
        }
    }

    private mutating func takeLiteral() -> JSONValue? {
        let literal: JSONValue
        switch current {
        case .text(let text): literal = .string(text)
        case .number(let number): literal = number
        case .word(let word):
            switch word.lowercased() {
            case "true": literal = true
            case "false": literal = false
            case "null": literal = .null
            default: return nil
            }
        default: return nil
        }
        next += 1
        return literal
    }

    private static let comparisons: [String: FilterExpression.Comparison] = [
        "=": .equal, "==": .equal, "!=": .unequal, "<>": .unequal, "<": .less, "<=": .lessOrEqual, ">": .greater,
        ">=": .greaterOrEqual,
    ]
    private static let keywords: Set = ["and", "or", "not", "in", "contains", "matches", "is", "null", "true", "false"]

    // MARK: - Tokens

    private var current: Kind { tokens[next].kind }

    private mutating func take(_ keyword: String) -> Bool {
        guard case .word(let word) = current, word.lowercased() == keyword else { return false }
        next += 1
        return true
    }
    private mutating func takeSymbol(_ symbol: String) -> Bool {
        guard current == .symbol(symbol) else { return false }
        next += 1
        return true
    }
    private mutating func expect(_ symbol: String) throws(Failure) {
        if !takeSymbol(symbol) { throw unexpected("'\(symbol)'") }
    }
    private func unexpected(_ wanted: String) -> Failure {
        if case .end = current { return Failure(message: "ends where \(wanted) is expected") }
        return Failure(message: "needs \(wanted) at position \(tokens[next].position)")
    }

    private static func tokens(of text: String) throws(Failure) -> [Token] {
        let characters = Array(text)
        var tokens: [Token] = []
        var index = 0
        while index < characters.count {
            let character = characters[index]
            let start = index
            if character.isWhitespace {
                index += 1
                continue
            }
            let kind: Kind
            if character == "'" || character == "\"" || character == "`" {
                let content = try quoted(characters, &index)
                kind = character == "`" ? .name(content) : .text(content)
            } else if isDigit(character)
                || character == "-" && index + 1 < characters.count && isDigit(characters[index + 1])
            {
                kind = try number(characters, &index)
            } else if character.isLetter || character == "_" {
                while index < characters.count,
                    characters[index].isLetter || characters[index].isNumber || "_.".contains(characters[index])
                {
                    index += 1
                }
                kind = .word(String(characters[start..<index]))
            } else {
                kind = try symbol(characters, &index)
            }
            tokens.append(Token(kind: kind, position: start))
        }
        tokens.append(Token(kind: .end, position: characters.count))
        return tokens
    }

    /// A doubled quote stands for the quote itself.
    private static func quoted(_ characters: [Character], _ index: inout Int) throws(Failure) -> String {
        let (quote, start) = (characters[index], index)
        var content = ""
        index += 1
        while index < characters.count {
            if characters[index] == quote {
                guard index + 1 < characters.count, characters[index + 1] == quote else {
                    index += 1
                    return content
                }
                index += 1
            }
            content.append(characters[index])
            index += 1
        }
        throw Failure(message: "has a quote at position \(start) that is not closed")
    }

    private static func number(_ characters: [Character], _ index: inout Int) throws(Failure) -> Kind {
        let start = index
        index += 1
        while index < characters.count {
            let isSignOfExponent = "+-".contains(characters[index]) && "eE".contains(characters[index - 1])
            guard isDigit(characters[index]) || ".eE".contains(characters[index]) || isSignOfExponent else { break }
            index += 1
        }
        guard let number = NumberText.read(String(characters[start..<index])) else {
            throw Failure(message: "has no valid number at position \(start)")
        }
        return .number(number)
    }

    private static func symbol(_ characters: [Character], _ index: inout Int) throws(Failure) -> Kind {
        if index + 1 < characters.count {
            let pair = String(characters[index...index + 1])
            if comparisons[pair] != nil {
                index += 2
                return .symbol(pair)
            }
        }
        let single = String(characters[index])
        guard comparisons[single] != nil || ["(", ")", ","].contains(single) else {
            throw Failure(message: "has a sign at position \(index) that means nothing here")
        }
        index += 1
        return .symbol(single)
    }

    private static func isDigit(_ character: Character) -> Bool { character.isASCII && character.isNumber }
}
