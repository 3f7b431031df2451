import WireProtocol

/// Reads the bodies of Qdrant's requests.
struct RequestBody {
    let object: JSONObject

    init(_ value: JSONValue) throws {
        guard let object = value.object else {
            throw RequestError.format("body", "must be an object, not \(value.kind)")
        }
        self.object = object
    }

    /// A null is none.
    func value(_ name: String) -> JSONValue? {
        guard let value = object[name], !value.isNull else { return Optional.none }  // `nil` alone could be JSON's null
        return value
    }

    func text(_ name: String) throws -> String? {
        guard let value = value(name) else { return nil }
        guard let text = value.string else { throw RequestError.format(name, "must be a string, not \(value.kind)") }
        return text
    }
    func required(_ name: String) throws -> String {
        guard let text = try text(name) else { throw RequestError.format("body", "missing field `\(name)`") }
        return text
    }
    func flag(_ name: String) throws -> Bool? {
        guard let value = value(name) else { return nil }
        guard let flag = value.bool else { throw RequestError.format(name, "must be true or false, not \(value.kind)") }
        return flag
    }
    func count(_ name: String, from least: Int) throws -> Int? {
        guard let value = value(name) else { return nil }
        guard let number = value.integer else { throw RequestError.format(name, "must be a whole number") }
        guard number >= least, number <= Int64(Self.maximumCount) else {
            throw RequestError.validation(
                name, "value \(number) invalid, must be from \(least) to \(Self.maximumCount)")
        }
        return Int(number)
    }
    static let maximumCount = 10_000_000

    func ids(_ name: String) throws -> [PointID]? {
        guard let value = value(name) else { return nil }
        guard let values = value.array else { throw RequestError.format(name, "must be a list of ids") }
        return try values.enumerated().map { try Self.id($1, "\(name)[\($0)]") }
    }
    static func id(_ value: JSONValue, _ path: String) throws -> PointID {
        guard let id = PointID(value) else {
            throw RequestError.format(
                path,
                "value \(value.text) is not a valid point ID, valid values are either an unsigned integer or a UUID")
        }
        return id
    }

    func filter() throws -> Filter? { try value("filter").map { try Filter($0) } }

    func refuse(_ names: String...) throws {
        for name in names where value(name) != nil { throw RequestError.unsupported(name, name) }
    }

    // MARK: - What a point is returned with

    func fields(payload: Bool) throws -> PointFields {
        PointFields(
            payload: try self.payload(default: payload),
            vectors: try vectors(value("with_vector") ?? value("with_vectors")))
    }

    private func payload(default wanted: Bool) throws -> PointFields.Payload {
        switch value("with_payload") {
        case nil: return wanted ? .all : .none
        case .bool(let all)?: return all ? .all : .none
        case .array(let names)?: return .including(try Self.paths(names, "with_payload"))
        case .object(let object)?:
            if let names = object["include"]?.array { return .including(try Self.paths(names, "with_payload.include")) }
            if let names = object["exclude"]?.array { return .excluding(try Self.paths(names, "with_payload.exclude")) }
            throw RequestError.format("with_payload", "needs include or exclude")
        default: throw RequestError.format("with_payload", "must be true, false, a list of keys, or an object")
        }
    }
    static func paths(_ names: [JSONValue], _ place: String) throws -> [PayloadPath] {
        try names.enumerated().map { index, name in
            guard let path = name.string.flatMap(PayloadPath.init) else {
                throw RequestError.format("\(place)[\(index)]", "must be a payload path")
            }
            return path
        }
    }
    private func vectors(_ value: JSONValue?) throws -> PointFields.Vectors {
        switch value {
        case nil: return .none
        case .bool(let all)?: return all ? .all : .none
        case .array(let names)?:
            return .named(
                try names.map { name in
                    guard let name = name.string else {
                        throw RequestError.format("with_vector", "must be a list of names")
                    }
                    return name
                })
        default: throw RequestError.format("with_vector", "must be true, false or a list of names")
        }
    }

    /// Points by id or by filter.
    func selection() throws -> PointSelection {
        if let ids = try ids("points") { return .ids(ids) }
        if let filter = try filter() { return .filter(filter) }
        throw RequestError.format("body", "needs points (a list of ids) or filter")
    }
}

extension QueryRequest {
    /// `POST points/query`
    init(_ body: RequestBody) throws {
        try body.refuse("shard_key", "lookup_from")
        if let prefetch = body.value("prefetch"), prefetch.array?.isEmpty != true {
            throw RequestError.unsupported("prefetch", "prefetch with fusion")
        }
        self.init()
        query = try body.value("query").map { .nearest(try Self.target($0, "query")) }
        using = try body.text("using") ?? ""
        filter = try body.filter()
        limit = try body.count("limit", from: 1) ?? 10
        offset = try body.count("offset", from: 0) ?? 0
        fields = try body.fields(payload: false)
        try readScoreThresholdAndParameters(body)
    }

    /// `POST points/search` of older clients.
    static func legacy(_ body: RequestBody) throws -> QueryRequest {
        try body.refuse("shard_key")
        guard var vector = body.value("vector") else { throw RequestError.format("body", "missing field `vector`") }
        var search = QueryRequest()
        if case .object(let named) = vector {
            search.using = named["name"]?.string ?? ""
            vector = named["vector"] ?? .null
        }
        search.query = .nearest(try target(vector, "vector"))
        guard let limit = try body.count("limit", from: 1) ?? body.count("top", from: 1) else {
            throw RequestError.format("body", "missing field `limit`")
        }
        search.limit = limit
        search.offset = try body.count("offset", from: 0) ?? 0
        search.filter = try body.filter()
        search.fields = try body.fields(payload: false)
        try search.readScoreThresholdAndParameters(body)
        return search
    }

    private static func target(_ value: JSONValue, _ path: String) throws -> VectorTarget {
        switch value {
        case .array(let numbers):
            if numbers.first?.array != nil { throw RequestError.unsupported(path, "a multivector") }
            return .values(
                .dense(
                    try numbers.enumerated().map { index, number in
                        guard let number = number.double else {
                            throw RequestError.format("\(path)[\(index)]", "must be a number")
                        }
                        return Float(number)
                    }))
        case .integer, .unsigned, .string: return .point(try RequestBody.id(value, path))
        case .object(let object):
            if let nearest = object["nearest"] {
                try RequestBody(value).refuse("mmr")
                return try target(nearest, "\(path).nearest")
            }
            if object["indices"] != nil { throw RequestError.unsupported(path, "a sparse vector") }
            if object["text"] != nil || object["image"] != nil { throw RequestError.unsupported(path, "inference") }
            throw RequestError.unsupported(path, object.names.joined(separator: ", "))
        default: throw RequestError.format(path, "must be a vector, a point id, or an object")
        }
    }
}

extension QueryRequest {
    fileprivate mutating func readScoreThresholdAndParameters(_ body: RequestBody) throws {
        if let value = body.value("score_threshold") {
            guard let threshold = value.double else { throw RequestError.format("score_threshold", "must be a number") }
            scoreThreshold = Float(threshold)
        }
        if let parameters = body.value("params") { exact = try RequestBody(parameters).flag("exact") ?? false }
    }
}

extension AliasChange {
    static func list(_ body: RequestBody) throws -> [AliasChange] {
        guard let actions = body.value("actions")?.array else {
            throw RequestError.format("body", "missing field `actions`")
        }
        return try actions.enumerated().map { index, action in
            let place = "actions[\(index)]"
            func name(_ operation: JSONValue, _ field: String) throws -> String {
                guard let name = operation[field]?.string else {
                    throw RequestError.format(place, "missing field `\(field)`")
                }
                return name
            }
            if let operation = action["create_alias"] {
                return .create(
                    alias: try name(operation, "alias_name"), collection: try name(operation, "collection_name"))
            }
            if let operation = action["delete_alias"] { return .delete(alias: try name(operation, "alias_name")) }
            if let operation = action["rename_alias"] {
                return .rename(from: try name(operation, "old_alias_name"), to: try name(operation, "new_alias_name"))
            }
            throw RequestError.format(place, "must be create_alias, delete_alias or rename_alias")
        }
    }
}
