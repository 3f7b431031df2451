import WireProtocol

/// How `set_payload` and `delete_payload` change a payload. Source: Qdrant's `json_path`, as its client's `payload_value_setter` has it.
extension Payload {
    /// Members are added or replaced; a null takes one away.
    static func merging(_ members: JSONObject, into payload: JSONObject) -> JSONObject {
        var merged = payload
        for member in members.members where !member.value.isNull { merged[member.name] = member.value }
        merged.remove(Set(members.members.filter(\.value.isNull).map(\.name)))
        return merged
    }

    /// Merges into the object at `path`, which is made where it is missing; what is in the way of it is replaced.
    static func merging(_ members: JSONObject, at path: PayloadPath, into payload: JSONObject) -> JSONObject {
        merging(members, path.steps[...], .object(payload)).object ?? payload
    }

    private static func merging(
        _ members: JSONObject, _ steps: ArraySlice<PayloadPath.Step>, _ value: JSONValue
    ) -> JSONValue {
        guard let step = steps.first else { return .object(merging(members, into: value.object ?? JSONObject())) }
        let rest = steps.dropFirst()
        switch step {
        case .member(let name):
            var object = value.object ?? JSONObject()
            object[name] = merging(members, rest, object[name] ?? .object(JSONObject()))
            return .object(object)
        case .element(let index):
            guard var values = value.array else { return .array([]) }
            if values.indices.contains(index) { values[index] = merging(members, rest, values[index]) }
            return .array(values)
        case .everyElement:
            guard let values = value.array else { return .array([]) }
            return .array(values.map { merging(members, rest, $0) })
        }
    }

    /// Takes away what the paths name. A single element of a list stays: taking it away twice would take two.
    static func deleting(_ paths: [PayloadPath], from payload: JSONObject) -> JSONObject {
        var left = payload
        left.remove(Set(paths.compactMap(\.onlyName)))
        return paths.filter { $0.steps.count > 1 }.reduce(into: left) {
            $0 = deleting($1.steps[...], from: .object($0)).object ?? $0
        }
    }

    private static func deleting(_ steps: ArraySlice<PayloadPath.Step>, from value: JSONValue) -> JSONValue {
        guard let step = steps.first else { return value }
        let rest = steps.dropFirst()
        switch (step, value) {
        case (.member(let name), .object(var object)):
            guard let inner = object[name] else { return value }
            object[name] = rest.isEmpty ? Optional.none : deleting(rest, from: inner)
            return .object(object)
        case (.everyElement, .array(let values)):
            return .array(rest.isEmpty ? [] : values.map { deleting(rest, from: $0) })
        case (.element(let index), .array(var values)):
            guard !rest.isEmpty, values.indices.contains(index) else { return value }
            values[index] = deleting(rest, from: values[index])
            return .array(values)
        default: return value
        }
    }
}
