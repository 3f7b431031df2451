import WireProtocol

// Operations on a row's fields as such: which there are, what they are called, what they hold when nothing is there.

struct SelectFields: RowOperation {
    static let name = "select"
    static let about = "Keeps the named fields, in the order named; the protected '_key' always stays."
    static let parameters = [
        Parameter.required("fields", .list(of: .field, Parameter.limits.fields), "The fields to keep.")
    ]
    private let fields: [String]

    init(_ parameters: Parameters) {
        fields = ([Row.keyField] + parameters.fields()).withoutRepeats
    }

    func apply(to row: inout Row) {
        row.replaceFields(
            JSONObject(unique: fields.compactMap { name in row[name].map { (name, $0) } }))
    }
}

struct DropFields: RowOperation {
    static let name = "drop"
    static let about = "Removes the named fields; the protected '_key' always stays."
    static let parameters = [
        Parameter.required("fields", .list(of: .field, Parameter.limits.fields), "The fields to remove.")
    ]
    private let fields: Set<String>

    init(_ parameters: Parameters) {
        fields = Set(parameters.fields()).subtracting([Row.keyField])
    }

    func apply(to row: inout Row) {
        guard row.fields.members.contains(where: { fields.contains($0.name) }) else { return }
        row.replaceFields(JSONObject(unique: row.fields.members.filter { !fields.contains($0.name) }))
    }
}

struct RenameFields: RowOperation {
    static let name = "rename"
    static let about =
        "Gives fields other names, all at once (two may swap). A field that already has a new name is replaced. '_key' keeps its name."
    static let parameters = [
        Parameter.required("fields", .map(to: .target, Parameter.limits.fields), "Old name to new name.")
    ]
    private let names: [String: String]
    private let targets: Set<String>

    init(_ parameters: Parameters) throws(ParameterFailure) {
        var names: [String: String] = [:]
        var targets = Set<String>()
        for (old, new) in parameters.members("fields") {
            guard let new = new.string, targets.insert(new).inserted else {
                throw ParameterFailure("fields.\(old)", "gives two fields the same name")
            }
            if old != Row.keyField { names[old] = new }
        }
        self.names = names
        self.targets = Set(names.values)
    }

    func apply(to row: inout Row) {
        let members = row.fields.members
        guard members.contains(where: { names[$0.name] != nil }) else { return }
        let arriving = Set(members.compactMap { names[$0.name] })
        row.replaceFields(
            JSONObject(
                unique: members.compactMap { name, value in
                    if let new = names[name] { return (new, value) }
                    return arriving.contains(name) ? nil : (name, value)
                }))
    }
}

struct SetField: RowOperation {
    static let name = "set"
    static let about = "Sets a field to a text built from a template, or to a fixed value."
    static let parameters = [
        Parameter.required("field", .target, "The field to set."),
        .optional(
            "template", .text(0...10_000),
            "Text in which {{field}} stands for that field's value (nothing where missing)."),
        .optional("value", .any, "A fixed value, instead of a template."),
    ]
    private enum Content { case template(Template), value(JSONValue) }
    private let field: String
    private let content: Content

    init(_ parameters: Parameters) throws(ParameterFailure) {
        field = parameters.text("field")
        switch (parameters.optionalText("template"), parameters.value("value")) {
        case (let template?, nil):
            do {
                content = .template(try Template(template))
            } catch {
                throw ParameterFailure("template", error.message)
            }
        case (nil, let value?): content = .value(value)
        default: throw ParameterFailure("template", "give either a template or a value")
        }
    }

    func apply(to row: inout Row) throws(RowFailure) {
        switch content {
        case .template(let template): try row.produce(field, template.text(for: row))
        case .value(let value): row.set(field, value)
        }
    }
}

struct DefaultValue: RowOperation {
    static let name = "default"
    static let about = "Gives fields a value where they are missing or null."
    static let parameters = [
        Parameter.writtenFields,
        .required("value", .any, "The value to put there."),
        .optional("empty_text", .boolean, default: true, "A text of nothing but white space counts as missing."),
    ]
    private let fields: [String]
    private let value: JSONValue
    private let fillsEmptyText: Bool

    init(_ parameters: Parameters) {
        fields = parameters.fields()
        value = parameters.value("value") ?? .null
        fillsEmptyText = parameters.flag("empty_text")
    }

    func apply(to row: inout Row) {
        for field in fields {
            switch row[field] {
            case nil, .null?: row.set(field, value)
            case .string(let text)? where fillsEmptyText && text.allSatisfy(\.isWhitespace): row.set(field, value)
            default: break
            }
        }
    }
}

struct MapValues: RowOperation {
    static let name = "map_values"
    static let about = "Replaces values by others: texts, numbers and booleans are looked up as they are written."
    static let parameters = [
        Parameter.writtenFields,
        .required("mapping", .map(to: .any, 1...10_000), "Value as written to the new value."),
        .optional("otherwise", .any, "What every other value becomes; without it they stay."),
        .ignoreCase,
    ]
    private let fields: [String]
    private let mapping: [String: JSONValue]
    private let otherwise: JSONValue?
    private let ignoresCase: Bool

    init(_ parameters: Parameters) {
        fields = parameters.fields()
        let ignoresCase = parameters.flag("ignore_case")
        self.ignoresCase = ignoresCase
        mapping = Dictionary(
            parameters.members("mapping").map { (ignoresCase ? $0.name.lowercased() : $0.name, $0.value) },
            uniquingKeysWith: { first, _ in first })
        otherwise = parameters.value("otherwise")
    }

    func apply(to row: inout Row) {
        for field in fields {
            guard let value = row[field] else { continue }
            if case .array(let values) = value {
                row.set(field, .array(values.map(mapped)))
            } else {
                row.set(field, mapped(value))
            }
        }
    }

    private func mapped(_ value: JSONValue) -> JSONValue {
        switch value {
        case .null, .array, .object: return value
        default: return mapping[ignoresCase ? value.text.lowercased() : value.text] ?? otherwise ?? value
        }
    }
}

extension Array where Element: Hashable {
    /// The elements in their order, each once.
    var withoutRepeats: [Element] {
        var seen = Set<Element>()
        return filter { seen.insert($0).inserted }
    }
}
