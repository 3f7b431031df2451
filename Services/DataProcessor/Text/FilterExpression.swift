import WireProtocol

/// A condition on one row, as `filter` takes it.
///
/// ```
/// condition = and { "or" and }            and = not { "and" not }             not = "not" not | test
/// test      = value [ comparison ]        value = literal | field | "(" condition ")"
/// comparison = ("=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=") value
///            | ["not"] "in" "(" literal { "," literal } ")" | ["not"] "contains" value | ["not"] "matches" text
///            | "is" ["not"] "null"
/// ```
/// A missing field is null. Null equals only null and is neither less nor greater than anything. Where one side is a number, a
/// text that reads as a number counts as one (CSV files hold texts only); other kinds are never equal and never in order.
struct FilterExpression: Sendable {
    indirect enum Node: Sendable {
        case any([Node])
        case all([Node])
        case not(Node)
        case compare(Comparison, Node, Node)
        case within(Node, [JSONValue])
        case contains(Node, Node)
        case matches(Node, RegularExpression)
        case isNull(Node)
        case literal(JSONValue)
        case field(String)
    }
    enum Comparison: Sendable { case equal, unequal, less, lessOrEqual, greater, greaterOrEqual }

    private let root: Node

    init(parsing text: String) throws(FilterParser.Failure) {
        var parser = try FilterParser(text)
        root = try parser.parse()
    }

    /// Throws: where the condition is no condition for this row (a number where true or false is needed), or a pattern takes
    /// too long.
    func isTrue(for row: Row) throws(RowFailure) -> Bool { try Self.truth(root, row) }

    private static func truth(_ node: Node, _ row: Row) throws(RowFailure) -> Bool {
        switch node {
        case .any(let nodes):
            for node in nodes where try truth(node, row) { return true }
            return false
        case .all(let nodes):
            for node in nodes where try !truth(node, row) { return false }
            return true
        case .not(let inner): return try !truth(inner, row)
        default:
            switch try value(node, row) {
            case .bool(let flag): return flag
            case .null: return false
            case let other: throw RowFailure("the expression needs true or false where it gets a \(other.kind)")
            }
        }
    }

    private static func value(_ node: Node, _ row: Row) throws(RowFailure) -> JSONValue {
        switch node {
        case .literal(let value): return value
        case .field(let name): return row[name] ?? .null
        case .any, .all, .not: return .bool(try truth(node, row))
        case .isNull(let inner): return .bool(try value(inner, row).isNull)
        case .compare(let comparison, let left, let right):
            return .bool(holds(comparison, try value(left, row), try value(right, row)))
        case .within(let inner, let values):
            let value = try value(inner, row)
            return .bool(values.contains { order(value, $0) == .equal })
        case .contains(let outer, let inner): return .bool(contains(try value(outer, row), try value(inner, row)))
        case .matches(let inner, let pattern):
            switch try value(inner, row) {
            case .null, .array, .object: return false
            case let value: return .bool(try pattern.matches(value.text))
            }
        }
    }

    private enum Order { case less, equal, greater, none }

    private static func holds(_ comparison: Comparison, _ left: JSONValue, _ right: JSONValue) -> Bool {
        let order = order(left, right)
        return switch comparison {
        case .equal: order == .equal
        case .unequal: order != .equal
        case .less: order == .less
        case .lessOrEqual: order == .less || order == .equal && !left.isNull
        case .greater: order == .greater
        case .greaterOrEqual: order == .greater || order == .equal && !left.isNull
        }
    }

    private static func order(_ left: JSONValue, _ right: JSONValue) -> Order {
        func ordered<Value: Comparable>(_ left: Value, _ right: Value) -> Order {
            left < right ? .less : left == right ? .equal : .greater
        }
        switch (left, right) {
        case (.integer(let left), .integer(let right)): return ordered(left, right)
        case (.string(let left), .string(let right)): return ordered(left, right)
        case (.bool, .bool), (.null, .null), (.array, .array), (.object, .object): return left == right ? .equal : .none
        default:
            guard let left = number(left), let right = number(right) else { return .none }
            return ordered(left, right)
        }
    }

    private static func number(_ value: JSONValue) -> Double? {
        if case .string(let text) = value { return NumberText.read(text)?.double }
        return value.double
    }

    /// A text contains a text, a list an element.
    private static func contains(_ outer: JSONValue, _ inner: JSONValue) -> Bool {
        switch outer {
        case .array(let values): values.contains { order($0, inner) == .equal }
        case .null, .object: false
        default: !inner.isNull && (inner.text.isEmpty || outer.text.firstRange(of: inner.text) != nil)
        }
    }
}
