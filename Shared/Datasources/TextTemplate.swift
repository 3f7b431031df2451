import WireProtocol

/// The text of a record that is embedded: `{{name}} by {{brand}}`, or the embedding fields in order, one a line.
package struct TextTemplate: Sendable, Equatable {
    enum Part: Sendable, Equatable {
        case literal(String)
        case field(String)
    }
    let parts: [Part]
    /// Lines of single fields: an empty one leaves no empty line.
    let isLines: Bool

    package init(fields: [String]) {
        parts = fields.map(Part.field)
        isLines = true
    }

    /// Throws: what is wrong with the template, for people.
    package init(_ source: String) throws(InvalidTemplate) {
        var parts: [Part] = []
        var rest = source[...]
        while let open = rest.firstRange(of: "{{") {
            if open.lowerBound > rest.startIndex { parts.append(.literal(String(rest[..<open.lowerBound]))) }
            guard let close = rest[open.upperBound...].firstRange(of: "}}") else {
                throw InvalidTemplate(reason: "a {{ is never closed by }}")
            }
            let name = rest[open.upperBound..<close.lowerBound].drop { $0 == " " }
            let field = String(name.reversed().drop { $0 == " " }.reversed())
            guard !field.isEmpty else { throw InvalidTemplate(reason: "{{}} names no field") }
            parts.append(.field(field))
            rest = rest[close.upperBound...]
        }
        if !rest.isEmpty { parts.append(.literal(String(rest))) }
        self.parts = parts
        isLines = false
    }

    package struct InvalidTemplate: Error, Equatable { package var reason: String }

    package var fields: [String] {
        parts.compactMap { if case .field(let name) = $0 { name } else { nil } }
    }

    /// Empty where no field holds text, whatever literals stand around them.
    func text(_ value: (String) -> JSONValue?) -> String {
        var text = ""
        var hasValue = false
        for part in parts {
            switch part {
            case .literal(let literal): text += literal
            case .field(let name):
                let field = Self.words(value(name) ?? .null)
                guard !field.isEmpty else { continue }
                hasValue = true
                if isLines, !text.isEmpty { text += "\n" }
                text += field
            }
        }
        return hasValue ? text : ""
    }

    /// A list of plain values reads as `red, green`.
    private static func words(_ value: JSONValue) -> String {
        guard case .array(let values) = value, !values.contains(where: { $0.array != nil || $0.object != nil }) else {
            return value.text
        }
        return values.map(\.text).filter { !$0.isEmpty }.joined(separator: ", ")
    }
}
