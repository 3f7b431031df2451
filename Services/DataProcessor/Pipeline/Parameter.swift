import WireProtocol

/// One parameter of an operation. This table is the only description of it: requests are checked against it, and its JSON
/// Schema is made from it.
struct Parameter: Sendable {
    indirect enum Kind: Sendable {
        /// Any text; the range counts its Unicode scalars.
        case text(ClosedRange<Int>)
        /// The name of a field that is read.
        case field
        /// The name of a field that is written: never the protected key.
        case target
        case integer(ClosedRange<Int>)
        case number(ClosedRange<Double>)
        case boolean
        case choice([String])
        case list(of: Kind, ClosedRange<Int>)
        case map(to: Kind, ClosedRange<Int>)
        case object([Parameter])
        case any
    }
    var name: String
    var kind: Kind
    var isRequired = false
    var fallback: JSONValue?
    var about: String

    static func required(_ name: String, _ kind: Kind, _ about: String) -> Parameter {
        Parameter(name: name, kind: kind, isRequired: true, about: about)
    }
    static func optional(_ name: String, _ kind: Kind, default fallback: JSONValue? = nil, _ about: String) -> Parameter
    {
        Parameter(name: name, kind: kind, fallback: fallback, about: about)
    }

    static let nameLength = 1...256
}

// MARK: - Checking

/// What is wrong with a parameter: its path below the operation (`by[0].field`) and why.
struct ParameterFailure: Error, Equatable {
    var path: String
    var message: String
    init(_ path: String, _ message: String) {
        self.path = path
        self.message = message
    }
}

extension Parameter {
    /// The object with the defaults filled in; every problem goes to `failures`.
    static func check(
        _ object: JSONObject, against parameters: [Parameter], path: String = "",
        into failures: inout [ParameterFailure]
    ) -> JSONObject {
        let prefix = path.isEmpty ? "" : path + "."
        for name in object.names where !parameters.contains(where: { $0.name == name }) {
            let known = parameters.map(\.name).joined(separator: ", ")
            failures.append(ParameterFailure(prefix + String(name.prefix(64)), "is unknown here; known are \(known)"))
        }
        var result = JSONObject()
        for parameter in parameters {
            let place = prefix + parameter.name
            switch object[parameter.name] {
            case let value?: result[parameter.name] = parameter.kind.check(value, place, &failures)
            case nil where parameter.isRequired: failures.append(ParameterFailure(place, "is required"))
            case nil: result[parameter.name] = parameter.fallback
            }
        }
        return result
    }
}

extension Parameter.Kind {
    fileprivate func check(_ value: JSONValue, _ path: String, _ failures: inout [ParameterFailure]) -> JSONValue {
        func refuse(_ message: String) { failures.append(ParameterFailure(path, message)) }
        switch self {
        case .text(let range):
            guard let text = value.string else { return refused(value, "a text", path, &failures) }
            if !range.contains(text.unicodeScalars.count) {
                refuse("must have \(range.lowerBound) to \(range.upperBound) characters")
            }
        case .field, .target:
            guard let name = value.string else { return refused(value, "a field name", path, &failures) }
            if !Parameter.nameLength.contains(name.unicodeScalars.count) {
                refuse("must be a field name of 1 to 256 characters")
            }
            if case .target = self, name == Row.keyField {
                refuse("'\(Row.keyField)' is protected and cannot be written")
            }
        case .integer(let range):
            guard let number = value.integer, range.contains(Int(number)) else {
                return refused(value, "a whole number from \(range.lowerBound) to \(range.upperBound)", path, &failures)
            }
            return .integer(number)
        case .number(let range):
            guard let number = value.double, range.contains(number) else {
                return refused(value, "a number from \(range.lowerBound) to \(range.upperBound)", path, &failures)
            }
        case .boolean:
            guard value.bool != nil else { return refused(value, "true or false", path, &failures) }
        case .choice(let choices):
            guard let text = value.string, choices.contains(text) else {
                refuse("must be one of \(choices.joined(separator: ", "))")
                return value
            }
        case .list(let kind, let range):
            guard let values = value.array else { return refused(value, "a list", path, &failures) }
            guard range.contains(values.count) else {
                refuse("must have \(range.lowerBound) to \(range.upperBound) elements")
                return value
            }
            return .array(values.enumerated().map { kind.check($1, "\(path)[\($0)]", &failures) })
        case .map(let kind, let range):
            guard let object = value.object else { return refused(value, "an object", path, &failures) }
            guard range.contains(object.count) else {
                refuse("must have \(range.lowerBound) to \(range.upperBound) members")
                return value
            }
            return .object(
                JSONObject(
                    unique: object.members.map { member in
                        (member.name, kind.check(member.value, "\(path).\(member.name.prefix(64))", &failures))
                    }))
        case .object(let parameters):
            guard let object = value.object else { return refused(value, "an object", path, &failures) }
            return .object(Parameter.check(object, against: parameters, path: path, into: &failures))
        case .any: break
        }
        return value
    }

    private func refused(
        _ value: JSONValue, _ wanted: String, _ path: String, _ failures: inout [ParameterFailure]
    ) -> JSONValue {
        failures.append(ParameterFailure(path, "must be \(wanted)"))
        return value
    }
}

// MARK: - JSON Schema

extension Parameter {
    /// JSON Schema (2020-12) of an object with these members and no others.
    static func schema(of parameters: [Parameter]) -> JSONValue {
        var properties = JSONObject()
        for parameter in parameters {
            var schema = parameter.kind.schema.object ?? JSONObject()
            schema["description"] = .string(parameter.about)
            if let fallback = parameter.fallback { schema["default"] = fallback }
            properties[parameter.name] = .object(schema)
        }
        var schema: JSONObject = JSONObject([("type", "object"), ("properties", .object(properties))])
        let required = parameters.filter(\.isRequired).map { JSONValue.string($0.name) }
        if !required.isEmpty { schema["required"] = .array(required) }
        schema["additionalProperties"] = false
        return .object(schema)
    }
}

extension Parameter.Kind {
    var schema: JSONValue {
        switch self {
        case .text(let range):
            ["type": "string", "minLength": JSONValue(range.lowerBound), "maxLength": JSONValue(range.upperBound)]
        case .field: ["type": "string", "minLength": 1, "maxLength": 256]
        case .target: ["type": "string", "minLength": 1, "maxLength": 256, "not": ["const": .string(Row.keyField)]]
        case .integer(let range):
            ["type": "integer", "minimum": JSONValue(range.lowerBound), "maximum": JSONValue(range.upperBound)]
        case .number(let range):
            ["type": "number", "minimum": .number(range.lowerBound), "maximum": .number(range.upperBound)]
        case .boolean: ["type": "boolean"]
        case .choice(let choices): ["type": "string", "enum": .array(choices.map { .string($0) })]
        case .list(let kind, let range):
            [
                "type": "array", "items": kind.schema, "minItems": JSONValue(range.lowerBound),
                "maxItems": JSONValue(range.upperBound),
            ]
        case .map(let kind, let range):
            [
                "type": "object", "additionalProperties": kind.schema, "minProperties": JSONValue(range.lowerBound),
                "maxProperties": JSONValue(range.upperBound),
            ]
        case .object(let parameters): Parameter.schema(of: parameters)
        case .any: [:]
        }
    }
}
