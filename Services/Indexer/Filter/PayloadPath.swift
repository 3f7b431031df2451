import WireProtocol

/// A place in a payload: `brand`, `dimensions.width`, `offers[].price`, `tags[0]`, `"a.b".c`.
struct PayloadPath: Sendable, Hashable {
    enum Step: Sendable, Hashable {
        case member(String)
        case element(Int)
        case everyElement
    }
    let text: String
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
            let name: Substring
            if rest.first == "\"" {
                rest.removeFirst()
                guard let end = rest.firstIndex(of: "\"") else { return nil }
                name = rest[..<end]
                rest = rest[rest.index(after: end)...]
            } else {
                name = rest.prefix { $0 != "." && $0 != "[" }
                rest = rest[name.endIndex...]
            }
            guard !name.isEmpty, !name.contains("]") else { return nil }
            steps.append(.member(String(name)))
            while rest.first == "[" {
                guard let end = rest.firstIndex(of: "]") else { return nil }
                let inside = rest[rest.index(after: rest.startIndex)..<end]
                if inside.isEmpty {
                    steps.append(.everyElement)
                } else {
                    guard let index = Int(inside), index >= 0 else { return nil }
                    steps.append(.element(index))
                }
                rest = rest[rest.index(after: end)...]
            }
        } while !rest.isEmpty
        self.text = text
        self.steps = steps
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
