import WireProtocol

/// Payloads as JSON objects: what of them is shown. Qdrant's rules: `a[]` goes into an array's elements, `a[0]` and `a.b` do not.
enum Payload {
    static func excluding(_ paths: [PayloadPath], from payload: JSONObject) -> JSONObject {
        excluding(paths.map { $0.steps[...] }, from: payload)
    }
    static func including(_ paths: [PayloadPath], of payload: JSONObject) -> JSONObject {
        including(paths.map { $0.steps[...] }, of: payload)
    }

    private typealias Steps = ArraySlice<PayloadPath.Step>

    /// What is left of the paths that go through `step`; `nil`: none does.
    private static func follow(_ step: PayloadPath.Step, _ paths: [Steps]) -> [Steps]? {
        let inner = paths.filter { $0.first == step }.map { $0.dropFirst() }
        return inner.isEmpty ? nil : inner
    }

    private static func excluding(_ paths: [Steps], from object: JSONObject) -> JSONObject {
        JSONObject(
            unique: object.members.compactMap { name, value in
                guard let inner = follow(.member(name), paths) else { return (name, value) }
                return inner.contains(where: \.isEmpty) ? nil : (name, excluding(inner, from: value))
            })
    }
    private static func excluding(_ paths: [Steps], from value: JSONValue) -> JSONValue {
        switch value {
        case .object(let object): return .object(excluding(paths, from: object))
        case .array(let values):
            guard let inner = follow(.everyElement, paths) else { return value }
            return .array(inner.contains(where: \.isEmpty) ? [] : values.map { excluding(inner, from: $0) })
        default: return value
        }
    }

    private static func including(_ paths: [Steps], of object: JSONObject) -> JSONObject {
        JSONObject(
            unique: object.members.compactMap { name, value in
                follow(.member(name), paths).map { (name, including($0, of: value)) }
            })
    }
    private static func including(_ paths: [Steps], of value: JSONValue) -> JSONValue {
        if paths.contains(where: \.isEmpty) { return value }
        switch value {
        case .object(let object): return .object(including(paths, of: object))
        case .array(let values):
            return .array(follow(.everyElement, paths).map { inner in values.map { including(inner, of: $0) } } ?? [])
        default: return value
        }
    }
}
