import WireProtocol

/// Text with `{{field}}` places.
struct Template: Sendable {
    private enum Part: Sendable { case text(String), field(String) }
    private let parts: [Part]

    struct Invalid: Error { let message: String }

    init(_ template: String) throws(Invalid) {
        var parts: [Part] = []
        var rest = Substring(template)
        while let open = rest.firstRange(of: "{{") {
            if open.lowerBound > rest.startIndex { parts.append(.text(String(rest[..<open.lowerBound]))) }
            let inside = rest[open.upperBound...]
            guard let close = inside.firstRange(of: "}}") else { throw Invalid(message: "has a '{{' without its '}}'") }
            var name = inside[..<close.lowerBound]
            name = name.drop { $0 == " " }
            while name.last == " " { name.removeLast() }
            guard !name.isEmpty, !name.contains("{") else { throw Invalid(message: "has a '{{' without a field name") }
            parts.append(.field(String(name)))
            rest = inside[close.upperBound...]
        }
        if !rest.isEmpty { parts.append(.text(String(rest))) }
        self.parts = parts
    }

    func text(for row: Row) -> String {
        var text = ""
        for part in parts {
            switch part {
            case .text(let fixed): text += fixed
            case .field(let name): text += row[name]?.text ?? ""
            }
        }
        return text
    }
}
