import WireProtocol

/// Changes texts where they stand: in the named fields, or in every field that holds text (but `_key`).
/// Lists of texts are changed element by element; values that are no text are left alone.
protocol TextOperation: RowOperation {
    var fields: [String]? { get }
    func transform(_ text: String) throws(RowFailure) -> String
}

extension TextOperation {
    func apply(to row: inout Row) throws(RowFailure) {
        if let fields {
            for field in fields {
                guard let value = row[field], let changed = try transform(value, bytes: &row) else { continue }
                row.set(field, changed)
            }
            return
        }
        var members = row.fields.members
        var isChanged = false
        for index in members.indices where members[index].name != Row.keyField {
            guard let changed = try transform(members[index].value, bytes: &row) else { continue }
            members[index].value = changed
            isChanged = true
        }
        if isChanged { row.replaceFields(JSONObject(unique: members)) }
    }

    /// `nil` when there is nothing to change.
    private func transform(_ value: JSONValue, bytes row: inout Row) throws(RowFailure) -> JSONValue? {
        switch value {
        case .string(let text): return .string(try transform(text, charging: &row))
        case .array(var values):
            for index in values.indices {
                if case .string(let text) = values[index] {
                    values[index] = .string(try transform(text, charging: &row))
                }
            }
            return .array(values)
        default: return nil
        }
    }

    private func transform(_ text: String, charging row: inout Row) throws(RowFailure) -> String {
        let changed = try transform(text)
        row.charge(bytes: max(0, changed.utf8.count - text.utf8.count))
        return changed
    }
}

struct Trim: TextOperation {
    static let name = "trim"
    static let about = "Removes white space at both ends of texts."
    static let parameters = [
        Parameter.textFields,
        .optional("collapse", .boolean, default: false, "Also make each run of white space inside one space."),
        .optional("characters", .text(1...100), "The characters to remove, instead of white space."),
    ]
    let fields: [String]?
    private let collapses: Bool
    private let characters: Set<Character>?

    init(_ parameters: Parameters) {
        fields = parameters.texts("fields")
        collapses = parameters.flag("collapse")
        characters = parameters.optionalText("characters").map { Set($0) }
    }

    func transform(_ text: String) -> String {
        let trimmed = characters.map { set in text.trimmed { set.contains($0) } } ?? text.trimmed()
        return collapses ? trimmed.collapsingWhitespace() : String(trimmed)
    }
}

struct Lowercase: TextOperation {
    static let name = "lowercase"
    static let about = "Makes texts lower case (Unicode, no language's own rules)."
    static let parameters = [Parameter.textFields]
    let fields: [String]?
    init(_ parameters: Parameters) { fields = parameters.texts("fields") }
    func transform(_ text: String) -> String { text.lowercased() }
}

struct Uppercase: TextOperation {
    static let name = "uppercase"
    static let about = "Makes texts upper case (Unicode, no language's own rules)."
    static let parameters = [Parameter.textFields]
    let fields: [String]?
    init(_ parameters: Parameters) { fields = parameters.texts("fields") }
    func transform(_ text: String) -> String { text.uppercased() }
}

struct Replace: TextOperation {
    static let name = "replace"
    static let about =
        "Replaces what a regular expression matches. A pattern that takes too long on a text fails that row."
    static let parameters = [
        Parameter.writtenFields, .pattern,
        .optional(
            "replacement", .text(0...10_000), default: "",
            "The new text; $1, ${1} and ${name} are groups, $$ is a dollar."),
        .optional("all", .boolean, default: true, "All matches, or only the first."),
        .ignoreCase,
    ]
    let fields: [String]?
    private let pattern: RegularExpression
    private let replacement: RegularExpression.Replacement
    private let replacesAll: Bool

    init(_ parameters: Parameters) throws(ParameterFailure) {
        fields = parameters.fields()
        pattern = try parameters.pattern("pattern", ignoringCase: parameters.flag("ignore_case"))
        do {
            replacement = try RegularExpression.Replacement(parameters.text("replacement"), for: pattern)
        } catch {
            throw ParameterFailure("replacement", error.message)
        }
        replacesAll = parameters.flag("all")
    }

    func transform(_ text: String) throws(RowFailure) -> String {
        try pattern.replace(in: text, by: replacement, all: replacesAll, limit: Row.maximumTextBytes) ?? text
    }
}

struct StripHTML: TextOperation {
    static let name = "strip_html"
    static let about = "Makes plain text of HTML: tags, comments, scripts and styles are dropped, entities decoded."
    static let parameters = [Parameter.textFields]
    let fields: [String]?
    init(_ parameters: Parameters) { fields = parameters.texts("fields") }
    func transform(_ text: String) -> String { HTMLText.plain(text) }
}

struct Truncate: TextOperation {
    static let name = "truncate"
    static let about = "Cuts long texts. Characters are what a reader sees (grapheme clusters): none is cut in half."
    static let parameters = [
        Parameter.writtenFields,
        .required("length", .integer(0...1_000_000), "How much of the text stays."),
        .optional("unit", .choice(["characters", "words"]), default: "characters", "What is counted."),
        .optional("ellipsis", .text(0...20), default: "", "Put after a text that was cut, on top of `length`."),
    ]
    let fields: [String]?
    private let length: Int
    private let countsWords: Bool
    private let ellipsis: String

    init(_ parameters: Parameters) {
        fields = parameters.fields()
        length = parameters.integer("length")
        countsWords = parameters.text("unit") == "words"
        ellipsis = parameters.text("ellipsis")
    }

    func transform(_ text: String) -> String {
        let end =
            countsWords ? endOfWords(text) : text.index(text.startIndex, offsetBy: length, limitedBy: text.endIndex)
        guard let end, end < text.endIndex else { return text }
        return text[..<end] + ellipsis
    }

    /// `nil` when the text has no more words than may stay.
    private func endOfWords(_ text: String) -> String.Index? {
        var words = 0
        var insideWord = false
        var lastEnd = text.startIndex
        for index in text.indices {
            if text[index].isWhitespace {
                if insideWord { lastEnd = index }
                insideWord = false
            } else if !insideWord {
                guard words < length else { return lastEnd }
                words += 1
                insideWord = true
            }
        }
        return nil
    }
}

extension StringProtocol {
    func trimmed(_ isDropped: (Character) -> Bool = \.isWhitespace) -> Self.SubSequence {
        guard let first = firstIndex(where: { !isDropped($0) }) else { return self[endIndex...] }
        var end = endIndex
        while end > first, isDropped(self[index(before: end)]) { end = index(before: end) }
        return self[first..<end]
    }

    func collapsingWhitespace() -> String {
        split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }
}
