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

/// Payloads as JSON objects.
enum Payload {
    static func excluding(_ paths: [PayloadPath], from payload: JSONObject) -> JSONObject {
        paths.reduce(into: payload) { $0 = excluding($1.steps[...], from: $0) }
    }
    private static func excluding(_ steps: ArraySlice<PayloadPath.Step>, from object: JSONObject) -> JSONObject {
        guard case .member(let name)? = steps.first, let value = object[name] else { return object }
        var object = object
        object[name] = excluding(steps.dropFirst(), from: value)
        return object
    }
    /// `nil`: the value itself is excluded.
    private static func excluding(_ steps: ArraySlice<PayloadPath.Step>, from value: JSONValue) -> JSONValue? {
        switch (steps.first, value) {
        case (nil, _): nil
        case (.member, .object(let object)): .object(excluding(steps, from: object))
        case (.everyElement, .array(let values)): .array(values.compactMap { excluding(steps.dropFirst(), from: $0) })
        case (.element(let wanted), .array(let values)):
            .array(values.enumerated().compactMap { $0 == wanted ? excluding(steps.dropFirst(), from: $1) : $1 })
        default: value
        }
    }

    static func including(_ paths: [PayloadPath], of payload: JSONObject) -> JSONObject {
        var result = JSONObject()
        for (name, value) in payload.members {
            let inner = paths.filter { $0.steps.first == .member(name) }.map { $0.steps.dropFirst() }
            if let kept = including(inner, of: value) { result[name] = kept }
        }
        return result
    }
    private static func including(_ paths: [ArraySlice<PayloadPath.Step>], of value: JSONValue) -> JSONValue? {
        if paths.isEmpty { return nil }
        if paths.contains(where: \.isEmpty) { return value }
        switch value {
        case .object(let object):
            var result = JSONObject()
            for (name, value) in object.members {
                let inner = paths.filter { $0.first == .member(name) }.map { $0.dropFirst() }
                if let kept = including(inner, of: value) { result[name] = kept }
            }
            return .object(result)
        case .array(let values):
            return .array(
                values.enumerated().compactMap { index, value in
                    let inner = paths.filter { $0.first == .everyElement || $0.first == .element(index) }
                    return including(inner.map { $0.dropFirst() }, of: value)
                })
        default: return nil
        }
    }
}
