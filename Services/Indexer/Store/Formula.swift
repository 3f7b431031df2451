import Foundation
import WireProtocol

/// A formula over what prefetches scored a point and what its payload holds. Source: `Expression` of `qdrant-openapi.json`, and the
/// client's `hybrid/formula.py` for what the document does not say.
struct Formula: Sendable {
    indirect enum Expression: Sendable {
        case constant(Double)
        /// Of the prefetch of this number; 0 where it did not find the point.
        case score(Int)
        case number(PayloadPath)
        /// 1 where the point matches `conditions[index]`, otherwise 0.
        case condition(Int)
        case product([Expression])
        case sum([Expression])
        case maximum([Expression])
        case minimum([Expression])
        case quotient(Expression, Expression, byZero: Double?)
        case power(Expression, Expression)
        case function(Function, Expression)
        /// Units: metres.
        case distance(GeoPoint, PayloadPath)
        /// Units: seconds since 1970.
        case date(PayloadPath)
        case decay(Decay, Expression, target: Expression?, scale: Double, midpoint: Double)
    }
    enum Function: String, Sendable { case neg, abs, sqrt, exp, log10, ln, acosh }
    enum Decay: String, Sendable {
        case linear = "lin_decay"
        case exponential = "exp_decay"
        case gauss = "gauss_decay"
    }
    private(set) var expression = Expression.constant(0)
    private(set) var conditions: [Filter] = []
    /// For what a payload or a prefetch lacks, by path or `$score[number]`.
    private(set) var defaults: [String: JSONValue] = [:]
    /// As it was written, for a store elsewhere.
    let json: JSONObject

    /// `{"formula", "defaults"}`. Throws: `malformed`, `FilterError`.
    init(_ query: JSONObject) throws {
        json = query
        for member in query["defaults"]?.object?.members ?? [] {
            let name = try Self.scoreNumber(member.name).map { "$score[\($0)]" } ?? member.name
            defaults[name] = member.value
        }
        expression = try read(query["formula"] ?? .null, "query.formula")
    }

    /// The payload values that it computes with.
    var paths: [PayloadPath] { Self.paths(of: expression) }
    private static func paths(of expression: Expression) -> [PayloadPath] {
        switch expression {
        case .constant, .score, .condition: []
        case .number(let path), .distance(_, let path), .date(let path): [path]
        case .product(let parts), .sum(let parts), .maximum(let parts), .minimum(let parts): parts.flatMap(paths)
        case .quotient(let left, let right, _), .power(let left, let right): paths(of: left) + paths(of: right)
        case .function(_, let operand): paths(of: operand)
        case .decay(_, let x, let target, _, _): paths(of: x) + (target.map(paths) ?? [])
        }
    }

    // MARK: - Reading

    /// `$score` is `$score[0]`; `nil` is a payload path.
    private static func scoreNumber(_ variable: String) throws -> Int? {
        guard variable.hasPrefix("$score") else { return nil }
        let rest = variable.dropFirst(6)
        if rest.isEmpty { return 0 }
        let digits = rest.dropFirst().dropLast()
        guard rest.first == "[", rest.last == "]", digits.utf8.allSatisfy({ (48...57).contains($0) }),
            let number = Int(digits)
        else { throw StoreError.malformed("Invalid score pattern: \(variable)") }
        return number
    }

    private mutating func read(_ value: JSONValue, _ path: String) throws -> Expression {
        if let number = value.double { return .constant(number) }
        if let text = value.string {
            if let number = try Self.scoreNumber(text) { return .score(number) }
            return .number(try Self.path(value, path))
        }
        guard let object = value.object else { throw StoreError.malformed("\(path): is no expression") }
        guard object.count == 1, let (name, inner) = object.members.first else { return try condition(value, path) }
        let place = "\(path).\(name)"
        if let function = Function(rawValue: name) { return .function(function, try read(inner, place)) }
        if let decay = Decay(rawValue: name) { return try readDecay(decay, inner, place) }
        switch name {
        case "mult": return .product(try list(inner, place))
        case "sum": return .sum(try list(inner, place))
        case "max", "min":
            let operands = try list(inner, place)
            if operands.isEmpty { throw StoreError.malformed("`\(name)` needs at least one operand") }
            return name == "max" ? .maximum(operands) : .minimum(operands)
        case "div":
            return .quotient(
                try read(inner["left"] ?? .null, "\(place).left"), try read(inner["right"] ?? .null, "\(place).right"),
                byZero: inner["by_zero_default"]?.double)
        case "pow":
            return .power(
                try read(inner["base"] ?? .null, "\(place).base"),
                try read(inner["exponent"] ?? .null, "\(place).exponent"))
        case "datetime":
            guard let date = inner.string.flatMap(PayloadDate.microseconds) else {
                throw StoreError.malformed("\(place): Expected datetime in supported format")
            }
            return .constant(Double(date) / 1e6)
        case "datetime_key": return .date(try Self.path(inner, place))
        case "geo_distance":
            guard let origin = GeoPoint(inner["origin"]) else {
                throw StoreError.malformed("\(place).origin: must be a place: lon and lat")
            }
            return .distance(origin, try Self.path(inner["to"] ?? .null, "\(place).to"))
        default: return try condition(value, path)
        }
    }

    private static func path(_ value: JSONValue, _ place: String) throws -> PayloadPath {
        guard let path = value.string.flatMap({ PayloadPath($0) }) else {
            throw StoreError.malformed("\(place): must be a payload path")
        }
        return path
    }

    private mutating func list(_ value: JSONValue, _ path: String) throws -> [Expression] {
        guard let values = value.array else { throw StoreError.malformed("\(path): must be a list of expressions") }
        var list: [Expression] = []
        for (index, value) in values.enumerated() { list.append(try read(value, "\(path)[\(index)]")) }
        return list
    }

    private mutating func condition(_ value: JSONValue, _ path: String) throws -> Expression {
        conditions.append(try Filter(["must": [value]], path: path))
        return .condition(conditions.count - 1)
    }

    private mutating func readDecay(_ decay: Decay, _ value: JSONValue, _ path: String) throws -> Expression {
        let scale = value["scale"]?.nonNull?.double ?? 1
        let midpoint = value["midpoint"]?.nonNull?.double ?? 0.5
        guard scale > 0 else { throw StoreError.malformed("Scale must be non-zero positive, got \(scale)") }
        let isInside = decay == .linear ? (0...1).contains(midpoint) : midpoint > 0 && midpoint < 1
        guard isInside else {
            throw StoreError.malformed("\(path).midpoint: should be in the range from 0.0 to 1.0, got \(midpoint)")
        }
        return .decay(
            decay, try read(value["x"] ?? .null, "\(path).x"),
            target: try value["target"]?.nonNull.map { try read($0, "\(path).target") }, scale: scale,
            midpoint: midpoint)
    }
}

/// A formula's value for one point.
struct FormulaEvaluation {
    let formula: Formula
    /// Of each prefetch.
    let scores: [[Int: Float]]
    /// Of each condition: the slots that match.
    let matches: [Bitmap]
    let slot: Int
    let payload: JSONObject

    /// Throws: `wrongInput` for what is missing or not finite.
    func score() throws -> Float {
        let value = try evaluate(formula.expression)
        let score = Float(value)
        if !score.isFinite { throw Self.notFinite("\(value) as f32 = \(score)") }
        return score
    }

    private func evaluate(_ expression: Formula.Expression) throws -> Double {
        switch expression {
        case .constant(let value): return value
        case .score(let number):
            if number < scores.count, let score = scores[number][slot] { return Double(score) }
            return formula.defaults["$score[\(number)]"]?.double ?? 0
        case .number(let path):
            guard let number = try value(at: path).double else {
                throw StoreError.wrongInput(
                    "Expected number value for \(path.text) in the payload and/or in the formula defaults. Error: Value is not a number"
                )
            }
            return number
        case .condition(let index): return matches[index][slot] ? 1 : 0
        case .product(let factors):
            var product = 1.0
            for factor in factors {
                let value = try evaluate(factor)
                if value == 0 { return 0 }
                product *= value
            }
            return product
        case .sum(let parts): return try parts.reduce(0) { $0 + (try evaluate($1)) }
        case .maximum(let operands): return try operands.reduce(-.infinity) { max($0, try evaluate($1)) }
        case .minimum(let operands): return try operands.reduce(.infinity) { min($0, try evaluate($1)) }
        case .quotient(let left, let right, let byZero):
            let dividend = try evaluate(left)
            if dividend == 0 { return 0 }
            let divisor = try evaluate(right)
            if divisor == 0, let byZero { return byZero }
            return try Self.finite(dividend / divisor, "\(dividend)/\(divisor)")
        case .power(let base, let exponent):
            let (base, exponent) = (try evaluate(base), try evaluate(exponent))
            return try Self.finite(pow(base, exponent), "\(base)^\(exponent)")
        case .function(let function, let operand): return try Self.apply(function, try evaluate(operand))
        case .distance(let origin, let path):
            guard let place = GeoPoint(try value(at: path)) else {
                throw StoreError.wrongInput(
                    "Expected geo point for \(path.text) in the payload and/or in the formula defaults.")
            }
            return GeoArea.distance(origin, place)
        case .date(let path):
            guard let date = try value(at: path).string.flatMap(PayloadDate.microseconds) else {
                throw StoreError.wrongInput(
                    "Expected datetime for \(path.text) in the payload and/or in the formula defaults.")
            }
            return Double(date) / 1e6
        case .decay(let kind, let x, let target, let scale, let midpoint):
            let difference = try evaluate(x) - (try target.map(evaluate) ?? 0)
            switch kind {
            case .linear: return max(0, 1 - (1 - midpoint) / scale * abs(difference))
            case .exponential: return exp(log(midpoint) / scale * abs(difference))
            case .gauss: return exp(log(midpoint) / (scale * scale) * difference * difference)
            }
        }
    }

    private static func apply(_ function: Formula.Function, _ value: Double) throws -> Double {
        switch function {
        case .neg: -value
        case .abs: abs(value)
        case .sqrt: try finite(value >= 0 ? value.squareRoot() : .nan, "√\(value)")
        case .exp: try finite(exp(value), "exp(\(value))")
        case .log10: try finite(value > 0 ? log10(value) : .nan, "log10(\(value))")
        case .ln: try finite(value > 0 ? log(value) : .nan, "ln(\(value))")
        case .acosh: try finite(acosh(value), "acosh(\(value))")
        }
    }

    private static func finite(_ value: Double, _ text: String) throws -> Double {
        if value.isFinite { return value }
        throw notFinite(text)
    }
    private static func notFinite(_ text: String) -> StoreError {
        .wrongInput("The expression \(text) produced a non-finite number")
    }

    /// The one value there, in the payload or the defaults.
    private func value(at path: PayloadPath) throws -> JSONValue {
        var found = Payload.values(at: path, in: payload)
        if found.isEmpty, let value = formula.defaults[path.text] { found = value.array ?? [value] }
        switch found.count {
        case 0:
            throw StoreError.wrongInput("No value found for \(path.text) in the payload nor the formula defaults")
        case 1: return found[0]
        default: return .array(found)
        }
    }
}

extension GeoPoint {
    /// `{"lon", "lat"}`
    fileprivate init?(_ value: JSONValue?) {
        guard let longitude = value?["lon"]?.double, let latitude = value?["lat"]?.double else { return nil }
        self.init(latitude: latitude, longitude: longitude)
    }
}

extension Payload {
    /// What is there; of a list its elements.
    static func values(at path: PayloadPath, in payload: JSONObject) -> [JSONValue] {
        var values = [JSONValue.object(payload)]
        for step in path.steps {
            values = values.flatMap { value -> [JSONValue] in
                switch step {
                case .member(let name): value[name].map { [$0] } ?? []
                case .element(let index):
                    value.array.map { $0.indices.contains(index) ? [$0[index]] : [] } ?? []
                case .everyElement: value.array ?? []
                }
            }
        }
        return values.flatMap { $0.array ?? [$0] }
    }
}
