import WireProtocol

struct Cast: RowOperation {
    static let name = "cast"
    static let about =
        "Changes the kind of values: text to number, boolean or date, and anything but lists and objects to text. Null stays null."
    static let parameters = [
        Parameter.writtenFields,
        .required("to", .choice(Kind.allCases.map(\.rawValue)), "The kind wanted."),
        .optional(
            "formats", .list(of: .text(1...64), 1...20),
            "For dates: the formats tried in order, as yyyy-MM-dd'T'HH:mm:ssZ, or iso8601, unix, unix_ms. Without a zone: UTC."
        ),
        .optional(
            "decimal", .choice([".", ","]), default: ".",
            "For numbers: the decimal mark; the other one groups thousands."),
        .optional(
            "true_values", .list(of: .text(1...50), 0...50), default: ["true", "yes", "y", "t", "1", "on"],
            "For booleans: the texts that mean true, in any case."),
        .optional(
            "false_values", .list(of: .text(1...50), 0...50), default: ["false", "no", "n", "f", "0", "off"],
            "For booleans: the texts that mean false, in any case."),
        .optional(
            "on_invalid", .choice(["error", "null", "keep"]), default: "error",
            "What becomes of a value that is none: the row fails, the value becomes null, or it stays."),
    ]
    enum Kind: String, CaseIterable { case number, integer, boolean, date, text }

    private let fields: [String]
    private let kind: Kind
    private let formats: [DateFormat]
    private let decimal: Character
    private let booleans: [String: Bool]
    private let onInvalid: String

    init(_ parameters: Parameters) throws(ParameterFailure) {
        fields = parameters.fields()
        kind = Kind(rawValue: parameters.text("to")) ?? .text
        decimal = parameters.text("decimal").first ?? "."
        onInvalid = parameters.text("on_invalid")
        var booleans: [String: Bool] = [:]
        for text in parameters.texts("true_values") ?? [] { booleans[text.lowercased()] = true }
        for (index, text) in (parameters.texts("false_values") ?? []).enumerated() {
            guard booleans.updateValue(false, forKey: text.lowercased()) != true else {
                throw ParameterFailure("false_values[\(index)]", "is among true_values too")
            }
        }
        self.booleans = booleans
        var formats: [DateFormat] = []
        for (index, text) in (parameters.texts("formats") ?? ["iso8601"]).enumerated() {
            do {
                formats.append(try DateFormat(text))
            } catch {
                throw ParameterFailure("formats[\(index)]", error.message)
            }
        }
        self.formats = formats
    }

    func apply(to row: inout Row) throws(RowFailure) {
        for field in fields {
            guard let value = row[field], !value.isNull else { continue }
            if let result = cast(value) {
                row.set(field, result)
            } else if onInvalid == "error" {
                let wanted = kind == .integer ? "a whole number" : "a \(kind.rawValue)"
                throw RowFailure("field '\(field)' holds \(row.described(field)) that cannot be read as \(wanted)")
            } else if onInvalid == "null" {
                row.set(field, .null)
            }
        }
    }

    /// `nil` when the value cannot be read so.
    private func cast(_ value: JSONValue) -> JSONValue? {
        switch (kind, value) {
        case (_, .array), (_, .object): nil
        case (.text, _): .string(value.text)
        case (.number, _): number(value)
        case (.integer, _): number(value).flatMap(Self.whole)
        case (.boolean, _): boolean(value)
        case (.date, _): date(value)
        }
    }

    private func number(_ value: JSONValue) -> JSONValue? {
        switch value {
        case .string(let text): NumberText.read(text, decimal: decimal)
        case .bool(let flag): .integer(flag ? 1 : 0)
        default: value
        }
    }

    private static func whole(_ number: JSONValue) -> JSONValue? {
        if case .unsigned = number { return number }
        return number.integer.map(JSONValue.integer)
    }

    private func boolean(_ value: JSONValue) -> JSONValue? {
        switch value {
        case .bool: value
        case .string(let text): booleans[text.trimmed().lowercased()].map(JSONValue.bool)
        default: value.double == 1 ? true : value.double == 0 ? false : nil
        }
    }

    private func date(_ value: JSONValue) -> JSONValue? {
        guard value.bool == nil else { return nil }
        let text = String(value.text.trimmed())
        for format in formats {
            if let moment = format.read(text) { return .string(moment.text) }
        }
        return nil
    }
}

/// Numbers as people and spreadsheets write them.
enum NumberText {
    /// `1234.5`, `1,234.50`, `1 234,5`, `-3e4`. Groups of thousands must be whole. `nil` for anything else, for NaN and infinity.
    static func read(_ text: some StringProtocol, decimal: Character = ".") -> JSONValue? {
        let text = text.trimmed()
        guard (1...400).contains(text.utf8.count) else { return nil }
        let separators: Set<Character> = [decimal == "." ? "," : ".", " ", "\u{A0}", "\u{202F}", "'"]
        var plain = ""
        var digitsInGroup = 0
        var group: Character?
        var place = Place.start
        for character in text {
            switch character {
            case "0"..."9" where character.utf8.count == 1:
                if place == .start || place == .sign { place = .whole }
                if place == .exponent || place == .exponentSign { place = .exponentDigits }
                if place == .whole { digitsInGroup += 1 }
                plain.append(character)
            case "+", "-":
                guard place == .start || place == .exponent else { return nil }
                place = place == .start ? .sign : .exponentSign
                plain.append(character)
            case decimal where place == .whole || place == .start || place == .sign:
                guard group == nil || digitsInGroup == 3 else { return nil }
                if place != .whole { plain.append("0") }
                place = .fraction
                plain.append(".")
            case "e", "E":
                guard place == .fraction || place == .whole && (group == nil || digitsInGroup == 3) else { return nil }
                place = .exponent
                plain.append("e")
            case let character where separators.contains(character):
                guard place == .whole,
                    group == nil ? (1...3).contains(digitsInGroup) : group == character && digitsInGroup == 3
                else { return nil }
                group = character
                digitsInGroup = 0
            default: return nil
            }
        }
        switch place {
        case .whole:
            guard group == nil || digitsInGroup == 3 else { return nil }
            if let integer = Int64(plain) { return .integer(integer) }
            if let unsigned = UInt64(plain) { return .unsigned(unsigned) }
        case .fraction:
            if plain.last == "." { plain.removeLast() }
            if !text.contains(where: \.isNumber) { return nil }
        case .exponentDigits: break
        default: return nil
        }
        guard let number = Double(plain), number.isFinite else { return nil }
        return .number(number)
    }

    private enum Place { case start, sign, whole, fraction, exponent, exponentSign, exponentDigits }
}
