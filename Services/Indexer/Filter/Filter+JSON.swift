import WireProtocol

/// Why a filter was refused, and where in it.
struct FilterError: Error, CustomStringConvertible {
    enum Kind { case form, value }
    var path: String
    var reason: String
    /// Of another form than documented (Qdrant's 400), or out of bounds (its 422).
    var kind = Kind.form
    var description: String { "\(path): \(reason)" }
}

extension Filter {
    /// Reads Qdrant's form. A condition that this store does not know is refused, never ignored.
    init(_ value: JSONValue, path: String = "filter") throws(FilterError) {
        guard let object = value.object else {
            throw FilterError(path: path, reason: "must be an object, not \(value.kind)")
        }
        json = value
        for (name, value) in object.members {
            guard !value.isNull || !Self.clauses.contains(name) else { continue }
            switch name {
            case "must": must = try Self.conditions(value, "\(path).must")
            case "must_not": mustNot = try Self.conditions(value, "\(path).must_not")
            case "should": should = try Self.conditions(value, "\(path).should")
            case "min_should": minShould = try Self.minShould(value, "\(path).min_should")
            default:
                throw FilterError(
                    path: path,
                    reason: "unknown field `\(name)`, expected one of `should`, `min_should`, `must`, `must_not`")
            }
        }
    }

    private static let clauses = ["must", "must_not", "should", "min_should"]

    private static func minShould(
        _ value: JSONValue, _ path: String
    ) throws(FilterError) -> (conditions: [Condition], count: Int) {
        guard let conditions = value["conditions"]?.array else {
            throw FilterError(path: path, reason: "missing field `conditions`, a list")
        }
        guard let count = value["min_count"]?.integer, count >= 0 else {
            throw FilterError(path: path, reason: "missing field `min_count`, a whole number")
        }
        guard count >= 1 else {
            throw FilterError(path: "\(path).min_count", reason: "value 0 invalid, must be 1 or larger", kind: .value)
        }
        return (try Self.conditions(.array(conditions), "\(path).conditions"), Int(count))
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
        if let text = object["key"]?.nonNull {
            return try FieldReader(key: payloadPath(text, "\(path).key"), path: path).condition(object)
        }
        if let field = object["is_empty"]?.nonNull {
            return .isEmpty(try payloadPath(field["key"], "\(path).is_empty.key"))
        }
        if let field = object["is_null"]?.nonNull {
            return .isNull(try payloadPath(field["key"], "\(path).is_null.key"))
        }
        if let ids = object["has_id"]?.nonNull { return .hasID(try pointIDs(ids, "\(path).has_id")) }
        if let name = object["has_vector"]?.nonNull {
            guard let name = name.string else {
                throw FilterError(path: "\(path).has_vector", reason: "must be a string")
            }
            return .hasVector(name)
        }
        if let slice = object["slice"]?.nonNull { return try Self.slice(slice, "\(path).slice") }
        if let nested = object["nested"]?.nonNull {
            let key = try payloadPath(nested["key"], "\(path).nested.key")
            guard let filter = nested["filter"] else {
                throw FilterError(path: "\(path).nested", reason: "missing field `filter`")
            }
            return .nested(key.withoutLastBrackets, try Filter(filter, path: "\(path).nested.filter"))
        }
        if object.isEmpty || object.names.contains(where: Self.clauses.contains) {
            return .filter(try Filter(value, path: path))
        }
        throw FilterError(
            path: path, reason: "is no condition that this store knows (\(object.names.joined(separator: ", ")))")
    }

    private static func pointIDs(_ value: JSONValue, _ path: String) throws(FilterError) -> [PointID] {
        guard let values = value.array else { throw FilterError(path: path, reason: "must be a list of ids") }
        var ids: [PointID] = []
        for (index, value) in values.enumerated() {
            guard let id = PointID(value) else {
                throw FilterError(
                    path: "\(path)[\(index)]",
                    reason:
                        "value \(value.text) is not a valid point ID, valid values are either an unsigned integer or a UUID"
                )
            }
            ids.append(id)
        }
        return ids
    }

    private static func slice(_ value: JSONValue, _ path: String) throws(FilterError) -> Condition {
        guard let total = value["total"]?.integer.flatMap(UInt32.init(exactly:)), total >= 1 else {
            throw FilterError(path: "\(path).total", reason: "must be a whole number from 1")
        }
        guard let index = value["index"]?.integer.flatMap(UInt32.init(exactly:)) else {
            throw FilterError(path: "\(path).index", reason: "must be a whole number from 0")
        }
        guard index < total else {
            throw FilterError(
                path: "\(path).index", reason: "value \(index) invalid, must be less than total (\(total))",
                kind: .value)
        }
        return .slice(index: index, total: total)
    }

    static func payloadPath(_ value: JSONValue?, _ place: String) throws(FilterError) -> PayloadPath {
        guard let text = value?.string else { throw FilterError(path: place, reason: "must be a payload path") }
        guard let path = PayloadPath(text) else {
            throw FilterError(
                path: place, reason: "invalid JSON path `\(text)`: names with other characters go in quotes")
        }
        return path
    }
}

/// Reads the conditions that stand beside a key. Of several one has to hold: Qdrant's rule.
private struct FieldReader {
    let key: PayloadPath
    let path: String

    func condition(_ object: JSONObject) throws(FilterError) -> Filter.Condition {
        var conditions: [Filter.Condition] = []
        for (name, value) in object.members where name != "key" && !value.isNull {
            let place = "\(path).\(name)"
            switch name {
            case "match": conditions.append(.field(key, try match(value, place)))
            case "range": conditions.append(.field(key, try range(value, place)))
            case "values_count": conditions.append(.field(key, .valuesCount(try bounds(value, place, count))))
            case "geo_bounding_box": conditions.append(.field(key, .geo(try box(value, place))))
            case "geo_radius": conditions.append(.field(key, .geo(try circle(value, place))))
            case "geo_polygon": conditions.append(.field(key, .geo(try polygon(value, place))))
            case "is_empty": conditions.append(try flagged(.isEmpty(key), value, place))
            case "is_null": conditions.append(try flagged(.isNull(key), value, place))
            default: throw FilterError(path: place, reason: "is no condition that this store knows")
            }
        }
        switch conditions.count {
        case 0:
            throw FilterError(path: path, reason: "At least one field condition must be specified", kind: .value)
        case 1: return conditions[0]
        default: return .filter(Filter(should: conditions))
        }
    }

    private func flagged(
        _ condition: Filter.Condition, _ value: JSONValue, _ path: String
    ) throws(FilterError) -> Filter.Condition {
        guard let flag = value.bool else { throw FilterError(path: path, reason: "must be true or false") }
        if flag { return condition }
        return .filter(Filter(mustNot: [condition]))
    }

    // MARK: - match

    private func match(_ value: JSONValue, _ path: String) throws(FilterError) -> Filter.Predicate {
        guard let object = value.object else { throw FilterError(path: path, reason: "must be an object") }
        if let wanted = object["value"]?.nonNull {
            guard let scalar = Self.scalar(wanted) else {
                throw FilterError(path: "\(path).value", reason: "must be a string, an integer or a boolean")
            }
            return .equals(scalar)
        }
        if let list = object["any"]?.nonNull { return .any(try scalars(list, "\(path).any")) }
        if let list = object["except"]?.nonNull { return .except(try scalars(list, "\(path).except")) }
        for (name, predicate) in Self.textPredicates {
            guard let text = object[name]?.nonNull else { continue }
            guard let text = text.string else { throw FilterError(path: "\(path).\(name)", reason: "must be a string") }
            return predicate(text)
        }
        throw FilterError(
            path: path, reason: "needs one of value, text, text_any, phrase, prefix, any or except")
    }
    private static let textPredicates: [(name: String, predicate: @Sendable (String) -> Filter.Predicate)] = [
        ("text", { .words($0, .all) }), ("text_any", { .words($0, .any) }), ("phrase", { .words($0, .phrase) }),
        ("prefix", { .prefix($0) }), ("substring", { .substring($0) }),
    ]

    private static func scalar(_ value: JSONValue) -> Scalar? {
        switch value {
        case .string(let text): .string(text)
        case .bool(let flag): .bool(flag)
        case .integer(let number): .integer(number)
        default: nil
        }
    }
    /// All strings or all integers.
    private func scalars(_ value: JSONValue, _ path: String) throws(FilterError) -> [Scalar] {
        guard let values = value.array else { throw FilterError(path: path, reason: "must be a list") }
        var list: [Scalar] = []
        for (index, value) in values.enumerated() {
            switch (value, values[0]) {
            case (.string(let text), .string): list.append(.string(text))
            case (.integer(let number), .integer): list.append(.integer(number))
            default:
                throw FilterError(path: "\(path)[\(index)]", reason: "all must be strings, or all integers")
            }
        }
        return list
    }

    // MARK: - Bounds

    /// Numbers or dates, all bounds of one kind.
    private func range(_ value: JSONValue, _ path: String) throws(FilterError) -> Filter.Predicate {
        if let members = value.object?.members, members.contains(where: { $0.value.string != nil }) {
            return .dates(
                try bounds(value, path) { bound, place throws(FilterError) in
                    guard let date = bound.string.flatMap(PayloadDate.microseconds) else {
                        throw FilterError(path: place, reason: "must be a date (RFC 3339) like its neighbours")
                    }
                    return date
                })
        }
        return .range(
            try bounds(value, path) { bound, place throws(FilterError) in
                guard let number = bound.double else {
                    throw FilterError(path: place, reason: "must be a number or a date (RFC 3339)")
                }
                return number
            })
    }
    private func count(_ bound: JSONValue, _ place: String) throws(FilterError) -> Int64 {
        guard let count = bound.integer, count >= 0 else {
            throw FilterError(path: place, reason: "must be a whole number from 0")
        }
        return count
    }
    private func bounds<Value: Comparable & Sendable>(
        _ value: JSONValue, _ path: String, _ read: (JSONValue, String) throws(FilterError) -> Value
    ) throws(FilterError) -> Filter.Bounds<Value> {
        guard let object = value.object else { throw FilterError(path: path, reason: "must be an object") }
        var bounds = Filter.Bounds<Value>()
        for (name, value) in object.members where !value.isNull {
            let place = "\(path).\(name)"
            switch name {
            case "gt": bounds.above = try read(value, place)
            case "gte": bounds.atLeast = try read(value, place)
            case "lt": bounds.below = try read(value, place)
            case "lte": bounds.atMost = try read(value, place)
            default: throw FilterError(path: place, reason: "must be one of gt, gte, lt, lte")
            }
        }
        return bounds
    }

    // MARK: - Places

    private func box(_ value: JSONValue, _ path: String) throws(FilterError) -> GeoArea {
        .box(
            topLeft: try point(value["top_left"], "\(path).top_left"),
            bottomRight: try point(value["bottom_right"], "\(path).bottom_right"))
    }
    private func circle(_ value: JSONValue, _ path: String) throws(FilterError) -> GeoArea {
        guard let radius = value["radius"]?.double else {
            throw FilterError(path: "\(path).radius", reason: "must be a number of metres")
        }
        return .circle(center: try point(value["center"], "\(path).center"), radius: radius)
    }
    private func polygon(_ value: JSONValue, _ path: String) throws(FilterError) -> GeoArea {
        var interiors: [[GeoPoint]] = []
        if let lines = value["interiors"], !lines.isNull {
            guard let lines = lines.array else {
                throw FilterError(path: "\(path).interiors", reason: "must be a list")
            }
            for (index, interior) in lines.enumerated() {
                interiors.append(try line(interior, "\(path).interiors[\(index)]"))
            }
        }
        return .polygon(exterior: try line(value["exterior"], "\(path).exterior"), interiors: interiors)
    }
    private func line(_ value: JSONValue?, _ path: String) throws(FilterError) -> [GeoPoint] {
        guard let values = value?["points"]?.array else {
            throw FilterError(path: path, reason: "missing field `points`, a list")
        }
        var points: [GeoPoint] = []
        for (index, value) in values.enumerated() { points.append(try point(value, "\(path).points[\(index)]")) }
        guard points.count >= 4 else {
            throw FilterError(path: path, reason: "polygon invalid, the size must be at least 4, got \(points.count)")
        }
        guard points.first == points.last else {
            throw FilterError(
                path: path,
                reason: "polygon invalid, the first and the last points should be the same to form a closed line")
        }
        return points
    }
    private func point(_ value: JSONValue?, _ path: String) throws(FilterError) -> GeoPoint {
        guard let latitude = value?["lat"]?.double, let longitude = value?["lon"]?.double else {
            throw FilterError(path: path, reason: "must be an object with the numbers lat and lon")
        }
        guard abs(latitude) <= 90, abs(longitude) <= 180 else {
            throw FilterError(
                path: path,
                reason:
                    "Wrong format of GeoPoint payload: expected `lat` = \(latitude) within [-90;90] and `lon` = \(longitude) within [-180;180]"
            )
        }
        return GeoPoint(latitude: latitude, longitude: longitude)
    }
}
