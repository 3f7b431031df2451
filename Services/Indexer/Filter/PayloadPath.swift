import WireProtocol

/// A place in a payload: `brand`, `dimensions.width`, `offers[].price`, `tags[0]`, `"a.b".c`. Bare names are of letters, digits, `_`
/// and `-`, as Qdrant has them; any other name stands in quotes.
struct PayloadPath: Sendable, Hashable {
    enum Step: Sendable, Hashable {
        case member(String)
        case element(Int)
        case everyElement
    }
    let steps: [Step]

    /// `nil` when the text is no path.
    init?(_ text: String) {
        var steps: [Step] = []
        var rest = Substring(text)
        repeat {
            if !steps.isEmpty {
                guard rest.first == "." else { return nil }
                rest.removeFirst()
            }
            guard let name = Self.name(&rest) else { return nil }
            steps.append(.member(name))
            while rest.first == "[" {
                guard let end = rest.firstIndex(of: "]"), let step = Self.element(rest[..<end].dropFirst()) else {
                    return nil
                }
                steps.append(step)
                rest = rest[rest.index(after: end)...]
            }
        } while !rest.isEmpty
        self.steps = steps
    }
    private init(steps: [Step]) { self.steps = steps }

    private static func name(_ rest: inout Substring) -> String? {
        if rest.first == "\"" {
            rest.removeFirst()
            guard let end = rest.firstIndex(of: "\"") else { return nil }
            defer { rest = rest[rest.index(after: end)...] }
            return String(rest[..<end])
        }
        let name = rest.unicodeScalars.prefix { isBare($0) }
        rest = rest[name.endIndex...]
        return name.isEmpty ? nil : String(name)
    }
    private static func isBare(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "_" || scalar == "-" || TextRule.isAlphanumeric(scalar)
    }
    private static func element(_ inside: Substring) -> Step? {
        if inside.isEmpty { return .everyElement }
        // An index that `Int` cannot hold is one that no array has; beyond 64 bits it is no index to Qdrant either.
        guard inside.utf8.allSatisfy({ (48...57).contains($0) }), let index = UInt64(inside) else { return nil }
        return .element(Int(clamping: index))
    }

    /// As `init` reads it back.
    var text: String {
        var text = ""
        for step in steps {
            switch step {
            case .member(let name):
                if !text.isEmpty { text += "." }
                let isBare = !name.isEmpty && name.unicodeScalars.allSatisfy(Self.isBare)
                text += isBare ? name : "\"\(name)\""
            case .element(let index): text += "[\(index)]"
            case .everyElement: text += "[]"
            }
        }
        return text
    }

    /// Of a path without further steps.
    var onlyName: String? { if steps.count == 1, case .member(let name) = steps[0] { name } else { nil } }

    /// `a[]` is `a`.
    var withoutLastBrackets: PayloadPath {
        guard steps.count > 1, steps.last == .everyElement else { return self }
        return PayloadPath(steps: steps.dropLast())
    }
    /// What `inner` is inside the elements of the array here.
    func elements(_ inner: PayloadPath) -> PayloadPath {
        PayloadPath(steps: withoutLastBrackets.steps + [.everyElement] + inner.steps)
    }
}
