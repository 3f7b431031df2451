import WireProtocol

/// An object of a request's body. Its readers say where a fault is, with Qdrant's status: 400 for what is not of the documented
/// form, 422 for what is, but out of bounds. A null member is none; unknown members mean nothing, as in Qdrant.
struct RequestBody {
    let object: JSONObject
    /// Where it stands in the body; "" for the body itself.
    let path: String
    /// The same for 422, where Qdrant also names the structure that holds the members: `internal` of a query.
    private let checkedPath: String

    init(_ value: JSONValue, at path: String = "", checkedAs structure: String? = nil) throws {
        guard let object = value.object else {
            throw RequestError.format(path.isEmpty ? "body" : path, "must be an object, not \(value.kind)")
        }
        self.object = object
        self.path = path
        checkedPath = [path, structure ?? ""].filter { !$0.isEmpty }.joined(separator: ".")
    }
    private init(_ object: JSONObject, path: String, checkedPath: String) {
        self.object = object
        self.path = path
        self.checkedPath = checkedPath
    }

    func place(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

    func value(_ name: String) -> JSONValue? { object[name]?.nonNull }

    // MARK: - Members by kind

    func missing(_ name: String) -> RequestError {
        .format((path.isEmpty ? "" : "\(path): ") + "missing field `\(name)`")
    }
    func required(_ name: String) throws -> JSONValue {
        guard let value = value(name) else { throw missing(name) }
        return value
    }
    func inner(_ name: String) throws -> RequestBody? {
        guard let value = value(name) else { return nil }
        guard let object = value.object else {
            throw RequestError.format(place(name), "must be an object, not \(value.kind)")
        }
        return RequestBody(object, path: place(name), checkedPath: checked(name))
    }
    /// A list of objects; `orOne`: or a single one without a list. `structure`: as of `init`.
    func list(_ name: String, orOne: Bool = false, checkedAs structure: String? = nil) throws -> [RequestBody]? {
        guard let value = value(name) else { return nil }
        if orOne, value.object != nil { return try inner(name).map { [$0] } }
        guard let values = value.array else {
            throw RequestError.format(place(name), "must be a list, not \(value.kind)")
        }
        return try values.enumerated().map { index, value in
            guard let object = value.object else {
                throw RequestError.format("\(place(name))[\(index)]", "must be an object, not \(value.kind)")
            }
            let checked = "\(checked(name))[\(index)]" + (structure.map { ".\($0)" } ?? "")
            return RequestBody(object, path: "\(place(name))[\(index)]", checkedPath: checked)
        }
    }
    func text(_ name: String) throws -> String? {
        guard let value = value(name) else { return nil }
        guard let text = value.string else {
            throw RequestError.format(place(name), "must be a string, not \(value.kind)")
        }
        return text
    }
    func requiredText(_ name: String) throws -> String {
        guard let text = try text(name) else { throw missing(name) }
        return text
    }
    func flag(_ name: String) throws -> Bool? {
        guard let value = value(name) else { return nil }
        guard let flag = value.bool else {
            throw RequestError.format(place(name), "must be true or false, not \(value.kind)")
        }
        return flag
    }
    func choice<Choice>(_ name: String, _ choices: KeyValuePairs<String, Choice>) throws -> Choice? {
        guard let text = try text(name) else { return nil }
        guard let choice = choices.first(where: { $0.key == text }) else {
            throw RequestError.format(
                place(name),
                "unknown variant `\(text)`, expected \(choices.count == 1 ? "" : "one of ")"
                    + choices.map { "`\($0.key)`" }.joined(separator: ", "))
        }
        return choice.value
    }
    func number(_ name: String) throws -> Float? {
        guard let value = value(name) else { return nil }
        guard let number = value.double else {
            throw RequestError.format(place(name), "must be a number, not \(value.kind)")
        }
        return Float(number)
    }
    /// Any unsigned number from `least`; what is above `maximumCount` counts as that.
    func count(_ name: String, from least: Int) throws -> Int? {
        guard let value = value(name) else { return nil }
        let number: Int64
        switch value {
        case .unsigned: number = .max
        case .integer(let given) where given >= 0: number = given
        default: throw RequestError.format(place(name), "must be an unsigned integer")
        }
        guard number >= least else {
            throw RequestError.validation(checked(name), "value \(number) invalid, must be \(least) or larger")
        }
        return Int(min(number, Self.maximumCount))
    }
    /// As many as a collection can hold, and the product of two such still fits 64 bits.
    private static let maximumCount = Int64(Int32.max)

    private func checked(_ name: String) -> String { checkedPath.isEmpty ? name : "\(checkedPath).\(name)" }

    func refuse(_ names: String...) throws {
        for name in names where value(name) != nil { throw RequestError.unsupported(place(name), name) }
    }

    // MARK: - What many requests have

    func ids(_ name: String) throws -> [PointID]? {
        guard let value = value(name) else { return nil }
        guard let values = value.array else { throw RequestError.format(place(name), "must be a list of ids") }
        return try values.enumerated().map { try Self.id($1, "\(place(name))[\($0)]") }
    }
    static func id(_ value: JSONValue, _ path: String) throws -> PointID {
        guard let id = PointID(value) else {
            throw RequestError.format(
                path,
                "value \(value.serialized) is not a valid point ID, valid values are either an unsigned integer or a UUID"
            )
        }
        return id
    }

    func filter(_ name: String = "filter") throws -> Filter? {
        try value(name).map { try Filter($0, path: place(name)) }
    }

    func payloadPath(_ name: String) throws -> PayloadPath? {
        guard let text = try text(name) else { return nil }
        guard let path = PayloadPath(text) else { throw RequestError.format(place(name), "must be a payload path") }
        return path
    }
    func payloadPaths(_ name: String) throws -> [PayloadPath]? {
        guard let value = value(name) else { return nil }
        guard let values = value.array else {
            throw RequestError.format(place(name), "must be a list of payload paths")
        }
        return try Self.paths(values, place(name))
    }
    private static func paths(_ names: [JSONValue], _ place: String) throws -> [PayloadPath] {
        try names.enumerated().map { index, name in
            guard let path = name.string.flatMap(PayloadPath.init) else {
                throw RequestError.format("\(place)[\(index)]", "must be a payload path")
            }
            return path
        }
    }

    /// Points by id or by filter.
    func selection() throws -> PointSelection {
        let (ids, filter) = (try ids("points"), try filter())
        if let ids { return .ids(ids) }
        if let filter { return .filter(filter) }
        throw RequestError.format(path.isEmpty ? "body" : path, "needs points (a list of ids) or filter")
    }

    /// `with_payload` and `with_vector`, or `with_vectors`.
    func fields(payload: Bool) throws -> PointFields {
        PointFields(payload: try self.payload(default: payload), vectors: try vectors())
    }

    private func payload(default wanted: Bool) throws -> PointFields.Payload {
        let place = place("with_payload")
        switch value("with_payload") {
        case nil: return wanted ? .all : .none
        case .bool(let all)?: return all ? .all : .none
        case .array(let names)?: return .including(try Self.paths(names, place))
        case .object(let object)?:
            guard object.count == 1 else {
                throw RequestError.format(place, "needs either include or exclude, and nothing else")
            }
            if let names = object["include"]?.array { return .including(try Self.paths(names, "\(place).include")) }
            if let names = object["exclude"]?.array { return .excluding(try Self.paths(names, "\(place).exclude")) }
            throw RequestError.format(place, "needs include or exclude, a list of keys")
        default: throw RequestError.format(place, "must be true, false, a list of keys, or an object")
        }
    }

    private func vectors() throws -> PointFields.Vectors {
        let name = value("with_vector") == nil ? "with_vectors" : "with_vector"
        switch value(name) {
        case nil: return .none
        case .bool(let all)?: return all ? .all : .none
        case .array(let names)?:
            return .named(
                try names.map { wanted in
                    guard let wanted = wanted.string else {
                        throw RequestError.format(place(name), "must be a list of names")
                    }
                    return wanted
                })
        default: throw RequestError.format(place(name), "must be true, false or a list of names")
        }
    }
}
