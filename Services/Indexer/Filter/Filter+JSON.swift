import WireProtocol

/// Why a filter was refused, and where in it.
struct FilterError: Error, CustomStringConvertible {
    var path: String
    var reason: String
    var description: String { "\(path): \(reason)" }
}

extension Filter {
    /// Reads Qdrant's form. A condition that this store does not know is refused, never ignored.
    init(_ value: JSONValue, path: String = "filter") throws(FilterError) {
        guard let object = value.object else {
            throw FilterError(path: path, reason: "must be an object, not \(value.kind)")
        }
        json = value
        for (name, value) in object.members where !value.isNull {
            switch name {
            case "must": must = try Self.conditions(value, "\(path).must")
            case "must_not": mustNot = try Self.conditions(value, "\(path).must_not")
            case "should": should = try Self.conditions(value, "\(path).should")
            case "min_should":
                guard let conditions = value["conditions"], let count = value["min_count"]?.integer, count >= 0 else {
                    throw FilterError(path: "\(path).min_should", reason: "needs conditions and min_count")
                }
                minShould = (try Self.conditions(conditions, "\(path).min_should.conditions"), Int(count))
            default:
                throw FilterError(
                    path: path,
                    reason: "unknown field `\(name)`, expected one of `should`, `min_should`, `must`, `must_not`")
            }
        }
    }

    /// A list, or a single condition without one.
    private static func conditions(_ value: JSONValue, _ path: String) throws(FilterError) -> [Condition] {
        guard case .array(let values) = value else { return [try condition(value, path)] }
        var conditions: [Condition] = []
        for (index, value) in values.enumerated() { conditions.append(try condition(value, "\(path)[\(index)]")) }
        return conditions
    }

    private static func condition(_ value: JSONValue, _ path: String) throws(FilterError) -> Condition {
        guard let object = value.object else { throw FilterError(path: path, reason: "a condition must be an object") }
        if let text = object["key"] {
            let key = try payloadPath(text, "\(path).key")
            return try fieldCondition(key, object, path)
        }
        if let field = object["is_empty"] { return .isEmpty(try payloadPath(field["key"], "\(path).is_empty.key")) }
        if let field = object["is_null"] { return .isNull(try payloadPath(field["key"], "\(path).is_null.key")) }
        if let ids = object["has_id"] {
            guard let values = ids.array else {
                throw FilterError(path: "\(path).has_id", reason: "must be a list of ids")
            }
            var wanted: [PointID] = []
            for (index, value) in values.enumerated() {
                guard let id = PointID(value) else {
                    throw FilterError(path: "\(path).has_id[\(index)]", reason: "must be an unsigned integer or a UUID")
                }
                wanted.append(id)
            }
            return .hasID(wanted)
        }
        if let name = object["has_vector"] {
            guard let name = name.string else {
                throw FilterError(path: "\(path).has_vector", reason: "must be a string")
            }
            return .hasVector(name)
        }
        if object["nested"] != nil {
            throw FilterError(path: "\(path).nested", reason: "is not supported by the embedded store yet")
        }
        if ["must", "must_not", "should", "min_should"].contains(where: { object[$0] != nil }) {
            return .filter(try Filter(value, path: path))
        }
        throw FilterError(
            path: path, reason: "is no condition that this store knows (\(object.names.joined(separator: ", ")))")
    }

    private static func payloadPath(_ value: JSONValue?, _ place: String) throws(FilterError) -> PayloadPath {
        guard let text = value?.string, let path = PayloadPath(text) else {
            throw FilterError(path: place, reason: "must be a payload path")
        }
        return path
    }

    /// Several predicates beside one key must all hold.
    private static func fieldCondition(
        _ key: PayloadPath, _ object: JSONObject, _ path: String
    ) throws(FilterError) -> Condition {
        var conditions: [Condition] = []
        for (name, value) in object.members where name != "key" && !value.isNull {
            let place = "\(path).\(name)"
            switch name {
            case "match": conditions.append(.field(key, try match(value, place)))
            case "range": conditions.append(.field(key, try range(value, place)))
            case "values_count": conditions.append(.field(key, .valuesCount(try bounds(value, place) { $0.double })))
            case "is_empty": conditions.append(try flagged(.isEmpty(key), value, place))
            case "is_null": conditions.append(try flagged(.isNull(key), value, place))
            case "geo_bounding_box", "geo_radius", "geo_polygon":
                throw FilterError(path: place, reason: "is not supported by the embedded store yet")
            default: throw FilterError(path: place, reason: "is no condition that this store knows")
            }
        }
        switch conditions.count {
        case 0: throw FilterError(path: path, reason: "needs a condition beside its key: match, range, ...")
        case 1: return conditions[0]
        default: return .filter(Filter(must: conditions))
        }
    }
    private static func flagged(_ condition: Condition, _ value: JSONValue, _ path: String) throws(FilterError)
        -> Condition
    {
        guard let flag = value.bool else { throw FilterError(path: path, reason: "must be true or false") }
        if flag { return condition }
        return .filter(Filter(mustNot: [condition]))
    }

    private static func match(_ value: JSONValue, _ path: String) throws(FilterError) -> Predicate {
        if let wanted = value["value"] { return .equals(try keyword(wanted, "\(path).value")) }
        if let list = value["any"] { return .any(try keywords(list, "\(path).any")) }
        if let list = value["except"] { return .except(try keywords(list, "\(path).except")) }
        if let text = value["text"]?.string { return .words(text) }
        throw FilterError(path: path, reason: "needs one of value, any, except or text")
    }
    private static func keywords(_ value: JSONValue, _ path: String) throws(FilterError) -> [Scalar] {
        guard let values = value.array else { throw FilterError(path: path, reason: "must be a list") }
        var list: [Scalar] = []
        for (index, value) in values.enumerated() { list.append(try keyword(value, "\(path)[\(index)]")) }
        return list
    }
    private static func keyword(_ value: JSONValue, _ path: String) throws(FilterError) -> Scalar {
        switch value {
        case .string(let text): return .string(text)
        case .bool(let flag): return .bool(flag)
        case .integer(let number): return .integer(number)
        default: throw FilterError(path: path, reason: "must be a string, an integer or a boolean")
        }
    }

    /// Numbers or RFC 3339 dates, all bounds of one kind.
    private static func range(_ value: JSONValue, _ path: String) throws(FilterError) -> Predicate {
        if let members = value.object?.members, members.contains(where: { $0.value.string != nil }) {
            return .dates(try bounds(value, path) { $0.string.flatMap(PayloadDate.microseconds) })
        }
        return .range(try bounds(value, path) { $0.double })
    }
    private static func bounds<Value: Comparable & Sendable>(
        _ value: JSONValue, _ path: String, _ read: (JSONValue) -> Value?
    ) throws(FilterError) -> Bounds<Value> {
        guard let object = value.object else { throw FilterError(path: path, reason: "must be an object") }
        var bounds = Bounds<Value>()
        for (name, value) in object.members where !value.isNull {
            guard let bound = read(value) else {
                throw FilterError(
                    path: "\(path).\(name)", reason: "must be a number or an RFC 3339 date, like its neighbours")
            }
            switch name {
            case "gt": bounds.above = bound
            case "gte": bounds.atLeast = bound
            case "lt": bounds.below = bound
            case "lte": bounds.atMost = bound
            default: throw FilterError(path: "\(path).\(name)", reason: "must be one of gt, gte, lt, lte")
            }
        }
        return bounds
    }
}
