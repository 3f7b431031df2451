import FastJSON
import WireProtocol

// Operations that make one field of several, or several of one.

struct Split: RowOperation {
    static let name = "split"
    static let about = "Makes a list of a text, at a separator or at what a regular expression matches."
    static let parameters = [
        Parameter.field, .into,
        .optional("separator", .text(1...100), "The text between the parts."),
        .optional(
            "pattern", .text(Parameter.limits.pattern), "A regular expression for what stands between the parts."),
        .optional("trim", .boolean, default: true, "Remove white space around each part."),
        .optional("keep_empty", .boolean, default: false, "Keep parts with nothing in them."),
        .optional("limit", .integer(1...10_000), default: 10_000, "The most parts; the last one has all the rest."),
    ]
    private enum Separator { case text(String), pattern(RegularExpression) }
    private let field: String
    private let target: String
    private let separator: Separator
    private let trims: Bool
    private let keepsEmpty: Bool
    private let limit: Int

    init(_ parameters: Parameters) throws(ParameterFailure) {
        (field, target) = try parameters.fieldAndTarget()
        switch (parameters.optionalText("separator"), parameters.has("pattern")) {
        case (let text?, false): separator = .text(text)
        case (nil, true): separator = .pattern(try parameters.pattern("pattern"))
        default: throw ParameterFailure("separator", "give either a separator or a pattern")
        }
        trims = parameters.flag("trim")
        keepsEmpty = parameters.flag("keep_empty")
        limit = parameters.integer("limit")
    }

    func apply(to row: inout Row) throws(RowFailure) {
        guard let text = try row.text(field) else { return }
        let parts: [String]
        switch separator {
        case .text(let separator):
            parts = text.split(separator: separator, maxSplits: limit - 1, omittingEmptySubsequences: false).map(
                String.init)
        case .pattern(let pattern): parts = try pattern.split(text, limit: limit)
        }
        let trimmed = trims ? parts.map { String($0.trimmed()) } : parts
        row.charge(bytes: text.utf8.count)
        row.set(target, .array(trimmed.filter { keepsEmpty || !$0.isEmpty }.map(JSONValue.string)))
    }
}

struct Join: RowOperation {
    static let name = "join"
    static let about = "Makes a text of a list."
    static let parameters = [
        Parameter.field, .into,
        .optional("separator", .text(0...100), default: ", ", "The text between the elements."),
        .optional("skip_empty", .boolean, default: true, "Leave out nulls and empty texts."),
    ]
    private let field: String
    private let target: String
    private let separator: String
    private let skipsEmpty: Bool

    init(_ parameters: Parameters) throws(ParameterFailure) {
        (field, target) = try parameters.fieldAndTarget()
        separator = parameters.text("separator")
        skipsEmpty = parameters.flag("skip_empty")
    }

    func apply(to row: inout Row) throws(RowFailure) {
        guard let value = row[field], !value.isNull else { return }
        guard let values = value.array else {
            throw RowFailure("field '\(field)' holds \(row.described(field)), not a list")
        }
        var texts: [String] = []
        for value in values {
            if value.array != nil || value.object != nil {
                throw RowFailure("field '\(field)' holds a list of lists or objects, which cannot be joined")
            }
            if !(skipsEmpty && value.text.isEmpty) { texts.append(value.text) }
        }
        try row.produce(target, texts.joined(separator: separator))
    }
}

struct Concat: RowOperation {
    static let name = "concat"
    static let about =
        "Puts the texts of several fields one after the other. Numbers and booleans count as they are written."
    static let parameters = [
        Parameter.required("fields", .list(of: .field, 1...100), "The fields, in order."),
        .required("into", .target, "The field to write."),
        .optional("separator", .text(0...100), default: " ", "The text between them."),
        .optional("skip_empty", .boolean, default: true, "Leave out missing and empty ones, with their separator."),
    ]
    private let fields: [String]
    private let target: String
    private let separator: String
    private let skipsEmpty: Bool

    init(_ parameters: Parameters) {
        fields = parameters.fields()
        target = parameters.text("into")
        separator = parameters.text("separator")
        skipsEmpty = parameters.flag("skip_empty")
    }

    func apply(to row: inout Row) throws(RowFailure) {
        var result = ""
        var isFirst = true
        for field in fields {
            let text = row[field]?.text ?? ""
            if skipsEmpty && text.isEmpty { continue }
            if !isFirst { result += separator }
            isFirst = false
            result += text
        }
        try row.produce(target, result)
    }
}

struct Extract: RowOperation {
    static let name = "extract"
    static let about =
        "Takes the groups of a regular expression's first match out of a text: into the named fields in order, or, without `into`, into fields called like the pattern's named groups. Null where nothing matched."
    static let parameters = [
        Parameter.field, .pattern, .ignoreCase,
        .optional(
            "into", .list(of: .target, 1...50),
            "A field for each group in order; one without groups takes the whole match."),
        .optional("required", .boolean, default: false, "A text without a match fails the row."),
    ]
    private let field: String
    private let pattern: RegularExpression
    private let targets: [(field: String, group: Int)]
    private let isRequired: Bool

    init(_ parameters: Parameters) throws(ParameterFailure) {
        field = parameters.text("field")
        isRequired = parameters.flag("required")
        let pattern = try parameters.pattern("pattern", ignoringCase: parameters.flag("ignore_case"))
        self.pattern = pattern
        if let into = parameters.texts("into") {
            guard into.count <= max(pattern.groupCount, 1) else {
                throw ParameterFailure(
                    "into", "names \(into.count) fields, but the pattern has \(pattern.groupCount) groups")
            }
            targets = into.enumerated().map { ($1, pattern.groupCount == 0 ? 0 : $0 + 1) }
        } else {
            guard !pattern.groupNames.isEmpty else {
                throw ParameterFailure("into", "is required when the pattern has no named groups")
            }
            guard !pattern.groupNames.contains(where: { $0.name == Row.keyField }) else {
                throw ParameterFailure("pattern", "has a group called '\(Row.keyField)', a field that is protected")
            }
            targets = pattern.groupNames.map { ($0.name, $0.number) }
        }
    }

    func apply(to row: inout Row) throws(RowFailure) {
        guard let text = try row.text(field) else { return }
        let groups = try pattern.firstMatch(in: text)
        if isRequired, groups == nil { throw RowFailure("field '\(field)' has nothing that matches the pattern") }
        for (target, group) in targets {
            guard let found = groups?[group] else {
                row.set(target, .null)
                continue
            }
            try row.produce(target, found)
        }
    }
}

struct ParseJSON: RowOperation {
    static let name = "parse_json"
    static let about = "Reads JSON out of a text. An empty text becomes null."
    static let parameters = [Parameter.field, .into]
    private let field: String
    private let target: String

    init(_ parameters: Parameters) throws(ParameterFailure) {
        (field, target) = try parameters.fieldAndTarget()
    }

    func apply(to row: inout Row) throws(RowFailure) {
        guard let value = row[field], !value.isNull else { return }
        guard let text = value.string else {
            throw RowFailure("field '\(field)' holds \(row.described(field)), not a text")
        }
        row.charge(bytes: 4 * text.utf8.count)  // a tree is bigger than its text
        if text.allSatisfy(\.isWhitespace) { return row.set(target, .null) }
        do {
            row.set(target, try JSONReader.parse(Array(text.utf8), maximumDepth: 32))
        } catch {
            throw RowFailure("field '\(field)' holds no valid JSON")
        }
    }
}

struct Flatten: RowOperation {
    static let name = "flatten"
    static let about = "Makes fields of what objects hold: {\"size\": {\"w\": 1}} becomes {\"size.w\": 1}."
    static let parameters = [
        Parameter.optional(
            "fields", .list(of: .target, Parameter.limits.fields),
            "The fields to flatten; without it all that hold objects."),
        .optional("separator", .text(1...10), default: ".", "The text between the names."),
        .optional("depth", .integer(1...32), default: 32, "How many levels; deeper objects stay objects."),
        .optional("lists", .boolean, default: false, "Flatten lists too, by position."),
    ]
    private static let maximumFields = 2_000
    private let fields: Set<String>?
    private let separator: String
    private let depth: Int
    private let flattensLists: Bool

    init(_ parameters: Parameters) {
        fields = parameters.texts("fields").map(Set.init)
        separator = parameters.text("separator")
        depth = parameters.integer("depth")
        flattensLists = parameters.flag("lists")
    }

    func apply(to row: inout Row) throws(RowFailure) {
        var result = JSONObject()
        var produced = 0
        for (name, value) in row.fields.members {
            if name != Row.keyField, fields?.contains(name) ?? true {
                try flatten(name, value, depth, &result, &produced)
            } else {
                result[name] = value
            }
        }
        if let key = row.key { result[Row.keyField] = key }
        row.charge(bytes: produced)
        row.replaceFields(result)
    }

    private func flatten(
        _ name: String, _ value: JSONValue, _ depth: Int, _ result: inout JSONObject, _ produced: inout Int
    ) throws(RowFailure) {
        if depth > 0, case .object(let object) = value, !object.isEmpty {
            for member in object.members {
                try flatten(name + separator + member.name, member.value, depth - 1, &result, &produced)
            }
        } else if depth > 0, flattensLists, case .array(let values) = value, !values.isEmpty {
            for (index, value) in values.enumerated() {
                try flatten(name + separator + String(index), value, depth - 1, &result, &produced)
            }
        } else {
            produced += name.utf8.count
            result[name] = value
            if result.count > Self.maximumFields, depth < self.depth {
                throw RowFailure("the row would have more than \(Self.maximumFields) fields")
            }
        }
    }
}

extension Parameters {
    /// `field`, and `into` or the same field again.
    func fieldAndTarget() throws(ParameterFailure) -> (field: String, target: String) {
        let field = text("field")
        let target = optionalText("into") ?? field
        guard target != Row.keyField else {
            throw ParameterFailure("into", "is required: '\(Row.keyField)' is protected and cannot be written")
        }
        return (field, target)
    }
}
