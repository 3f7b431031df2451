import WireProtocol

struct Filter: DatasetOperation {
    static let name = "filter"
    static let about =
        "Keeps the rows for which an expression is true: = != < <= > >=, and or not, in (...), contains, matches 'pattern', is null, parentheses. Names are fields (`quoted in backticks` where they are not plain words), texts stand in '...' or \"...\"."
    static let parameters = [
        Parameter.required(
            "expression", .text(1...10_000),
            "For example: price >= 10 and category in ('audio', 'video') and not name contains 'refurbished'")
    ]
    private let expression: FilterExpression

    init(_ parameters: Parameters) throws(ParameterFailure) {
        do {
            expression = try FilterExpression(parsing: parameters.text("expression"))
        } catch {
            throw ParameterFailure("expression", error.message)
        }
    }

    func apply(to rows: [Row], report: (Row, RowFailure) throws(JobFailure) -> Void) throws(JobFailure) -> [Row] {
        var kept: [Row] = []
        kept.reserveCapacity(rows.count)
        for row in rows {
            do {
                if try expression.isTrue(for: row) { kept.append(row) }
            } catch {
                try report(row, error)
            }
        }
        return kept
    }
}

struct Deduplicate: DatasetOperation {
    static let name = "deduplicate"
    static let about = "Keeps one row of those that have the same values."
    static let parameters = [
        Parameter.optional(
            "fields", .list(of: .field, Parameter.limits.fields), "The fields that count; without it all but '_key'."),
        .optional("keep", .choice(["first", "last"]), default: "first", "Which of them stays."),
        .ignoreCase,
    ]
    private let fields: [String]?
    private let keepsLast: Bool
    private let ignoresCase: Bool

    init(_ parameters: Parameters) {
        fields = parameters.texts("fields")
        keepsLast = parameters.text("keep") == "last"
        ignoresCase = parameters.flag("ignore_case")
    }

    func apply(to rows: [Row], report: (Row, RowFailure) throws(JobFailure) -> Void) -> [Row] {
        var seen = Set<[UInt8]>(minimumCapacity: rows.count)
        let kept = (keepsLast ? rows.reversed() : rows).filter { seen.insert(identity(of: $0)).inserted }
        return keepsLast ? kept.reversed() : kept
    }

    private func identity(of row: Row) -> [UInt8] {
        var writer = JSONWriter()
        if let fields {
            for field in fields { writer.write(folded(row[field] ?? .null), sortingKeys: true) }
        } else {
            let members = row.fields.members.filter { $0.name != Row.keyField }.map { ($0.name, folded($0.value)) }
            writer.write(JSONObject(unique: members), sortingKeys: true)
        }
        return writer.bytes
    }

    private func folded(_ value: JSONValue) -> JSONValue {
        guard ignoresCase, case .string(let text) = value else { return value }
        return .string(text.lowercased())
    }
}

struct Sort: DatasetOperation {
    static let name = "sort"
    static let about =
        "Orders the rows. Numbers come before texts, texts by their Unicode characters; rows without a value come last, either way."
    static let parameters = [
        Parameter.required(
            "by",
            .list(
                of: .object([
                    .required("field", .field, "The field to compare."),
                    .optional("descending", .boolean, default: false, "Greatest first."),
                    .ignoreCase,
                ]), 1...10), "What to compare, the most important first.")
    ]
    private struct Key {
        var field: String
        var isDescending: Bool
        var ignoresCase: Bool
    }
    private enum Value: Comparable {
        case number(Double), text(String), flag(Int), other
        case none
    }
    private let keys: [Key]

    init(_ parameters: Parameters) {
        keys = parameters.objects("by").map { key in
            Key(field: key.text("field"), isDescending: key.flag("descending"), ignoresCase: key.flag("ignore_case"))
        }
    }

    func apply(to rows: [Row], report: (Row, RowFailure) throws(JobFailure) -> Void) -> [Row] {
        let values = rows.map { row in keys.map { value(of: row, $0) } }
        return rows.indices.sorted { isBefore(values[$0], values[$1]) ?? ($0 < $1) }.map { rows[$0] }
    }

    private func value(of row: Row, _ key: Key) -> Value {
        switch row[key.field] {
        case nil, .null?: .none
        case .string(let text)?: .text(key.ignoresCase ? text.lowercased() : text)
        case .bool(let flag)?: .flag(flag ? 1 : 0)
        case .array?, .object?: .other
        case let number?: .number(number.double ?? 0)
        }
    }

    /// `nil` when the keys are equal.
    private func isBefore(_ left: [Value], _ right: [Value]) -> Bool? {
        for (index, key) in keys.enumerated() where left[index] != right[index] {
            if left[index] == .none || right[index] == .none { return right[index] == .none }
            return key.isDescending ? left[index] > right[index] : left[index] < right[index]
        }
        return nil
    }
}

struct Limit: DatasetOperation {
    static let name = "limit"
    static let about = "Keeps a number of rows from the front."
    static let parameters = [
        Parameter.required("count", .integer(0...10_000_000), "How many."),
        .optional("offset", .integer(0...10_000_000), default: 0, "How many to leave out before them."),
    ]
    private let count: Int
    private let offset: Int

    init(_ parameters: Parameters) {
        count = parameters.integer("count")
        offset = parameters.integer("offset")
    }

    func apply(to rows: [Row], report: (Row, RowFailure) throws(JobFailure) -> Void) -> [Row] {
        Array(rows.dropFirst(offset).prefix(count))
    }
}

struct WinnerScoreOperation: DatasetOperation {
    static let name = "winner_score"
    static let about =
        "A score from 0 to 100: each signal scaled to 0..1 between its low and its high percentile over the dataset, then the weighted mean. Signals that a row does not have drop out; a row without any gets null."
    static let parameters = [
        Parameter.required(
            "weights", .map(to: .number(0...1_000_000), 1...50), "Field to weight; equal ones for no preference."),
        .optional("into", .target, default: "winner_score", "The field to write."),
        .optional("low_percentile", .number(0...49), default: 5, "Values at or below this percentile count as 0."),
        .optional("high_percentile", .number(51...100), default: 95, "Values at or above this percentile count as 1."),
        .optional("lower_is_better", .list(of: .field, 0...50), default: [], "Fields whose scale is turned round."),
    ]
    private let score: WinnerScore
    private let target: String

    init(_ parameters: Parameters) throws(ParameterFailure) {
        let weights = parameters.members("weights").map { (field: $0.name, weight: $0.value.double ?? 0) }
        guard weights.contains(where: { $0.weight > 0 }) else {
            throw ParameterFailure("weights", "need one above zero")
        }
        let reversed = parameters.fields("lower_is_better")
        for (index, field) in reversed.enumerated() where !weights.contains(where: { $0.field == field }) {
            throw ParameterFailure("lower_is_better[\(index)]", "has no weight")
        }
        score = WinnerScore(
            weights: weights, reversed: Set(reversed),
            percentiles: (parameters.number("low_percentile") / 100, parameters.number("high_percentile") / 100))
        target = parameters.text("into")
    }

    func apply(to rows: [Row], report: (Row, RowFailure) throws(JobFailure) -> Void) -> [Row] {
        let scores = score.scores(of: rows.map(\.fields))
        return zip(rows, scores).map { row, score in
            var row = row
            row.set(target, score.map { .integer(Int64($0)) } ?? .null)
            return row
        }
    }
}
