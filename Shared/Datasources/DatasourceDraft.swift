import Foundation
import WireProtocol

/// A datasource as somebody asks for it (`POST`, `PUT`, or inline to the harvester), checked.
package struct DatasourceDraft: Sendable, Equatable {
    package var name: String
    package var type: Datasource.Kind
    /// Secrets included, as given.
    package var connectionConfig: JSONObject
    package var queryTemplate: String?
    package var mapping: FieldMapping
    package var embeddingFields: [String]
    package var embedding: Datasource.Embedding
    package var processing: [JSONValue]
    package var collection: String
    package var syncSchedule: String?
    package var webhookEnabled: Bool
    package var status: Datasource.Status
    package var description: String?

    package static let providers = ["local", "openai", "gemini", "ollama", "hashing"]
    /// Why an operation that needs the whole dataset is no operation of a datasource, which is processed page by page.
    package static let refusedOperations = [
        "sort": "rows are read in pages: an order over all of them has no effect on a collection",
        "limit": "rows are read in pages: limit the rows in the query template",
        "deduplicate": "rows are read in pages, and a record's key makes it unique already",
    ]

    /// `body` has the keys of SPEC 2.1. On an update a member that is not there keeps its value in `existing`.
    /// Throws: `DatasourcesError.invalid` with all problems.
    package init(_ body: JSONValue, updating existing: Datasource? = nil) throws(DatasourcesError) {
        guard case .object(let given) = body else {
            throw .invalid([FieldProblem(field: "", message: "must be a JSON object, not \(body.kind)")])
        }
        var members = existing?.json ?? JSONObject()
        for (name, value) in given.members { members[name] = value }
        var reader = DraftReader()
        for name in given.names where !Self.members.contains(name) {
            reader.refuse(name, "is not a member of a datasource")
        }
        name = reader.text(members["name"], "name", maximum: 200) ?? ""
        type = reader.choice(members["type"], "type") ?? .csv
        let hasType = Datasource.Kind(rawValue: members["type"]?.string ?? "") != nil
        if hasType, !type.isReadable {
            let readable = Datasource.Kind.allCases.filter(\.isReadable).map(\.rawValue)
            reader.refuse(
                "type", "\(type.rawValue) cannot be read by this version: \(readable.joined(separator: ", "))")
        }
        connectionConfig = reader.object(members["connectionConfig"], "connectionConfig") ?? JSONObject()
        queryTemplate = reader.optionalText(members["queryTemplate"], "queryTemplate", maximum: 100_000)
        if hasType { ConnectionRules(type: type).check(connectionConfig, query: queryTemplate, &reader) }
        mapping = reader.mapping(members["fieldMapping"])
        embeddingFields = reader.names(members["embeddingFields"], "embeddingFields")
        embedding = reader.embedding(members["embedding"])
        processing = reader.operations(members["processing"])
        collection = reader.text(members["qdrantCollection"], "qdrantCollection", maximum: 64) ?? ""
        if !collection.isEmpty, !Self.isCollectionName(collection) {
            reader.refuse("qdrantCollection", "must be 1 to 64 letters, digits, _ or -")
        }
        syncSchedule = reader.optionalText(members["syncSchedule"], "syncSchedule", maximum: 200)
        webhookEnabled = reader.flag(members["webhookEnabled"], "webhookEnabled") ?? false
        status = reader.optionalChoice(members["status"], "status") ?? .active
        description = reader.optionalText(members["description"], "description", maximum: 2000)
        reader.checkFields(mapping, embeddingFields, embedding.template)
        guard reader.problems.isEmpty else { throw .invalid(reader.problems) }
    }

    /// What is wrong with a connection alone, before there is a query.
    package static func connectionProblems(of type: Datasource.Kind, _ config: JSONObject) -> [FieldProblem] {
        var reader = DraftReader()
        ConnectionRules(type: type).check(config, query: "", &reader)
        return reader.problems
    }

    package static func isCollectionName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case 48...57, 65...90, 97...122, UInt8(ascii: "_"), UInt8(ascii: "-"): true
                default: false
                }
            }
    }

    /// What may stand in a body; the server's own members are accepted and ignored, so that what GET gave can be sent back.
    package static let members: Set<String> = [
        "name", "type", "connectionConfig", "queryTemplate", "fieldMapping", "embeddingFields", "embedding",
        "processing",
        "qdrantCollection", "syncSchedule", "webhookEnabled", "status", "description", "id", "createdAt", "updatedAt",
        "webhookSecret", "file", "notes",
    ]
}

extension Datasource.Embedding {
    /// As somebody gives it, with what is wrong with it: `embedding` itself may be left out.
    package static func checked(_ value: JSONValue?) -> (embedding: Datasource.Embedding, problems: [FieldProblem]) {
        var reader = DraftReader()
        let embedding = reader.embedding(value)
        return (embedding, reader.problems)
    }
}

/// Reads members and collects what is wrong with them.
struct DraftReader {
    private(set) var problems: [FieldProblem] = []

    mutating func refuse(_ field: String, _ message: String) {
        problems.append(FieldProblem(field: field, message: message))
    }

    mutating func text(_ value: JSONValue?, _ field: String, maximum: Int) -> String? {
        guard let value, !value.isNull else {
            refuse(field, "is required")
            return nil
        }
        return checked(value, field, maximum: maximum, mayBeEmpty: false)
    }

    /// `nil` for null and for an empty text.
    mutating func optionalText(_ value: JSONValue?, _ field: String, maximum: Int) -> String? {
        guard let value, !value.isNull else { return nil }
        return checked(value, field, maximum: maximum, mayBeEmpty: true).flatMap { $0.isEmpty ? nil : $0 }
    }

    private mutating func checked(_ value: JSONValue, _ field: String, maximum: Int, mayBeEmpty: Bool) -> String? {
        guard let text = value.string else {
            refuse(field, "must be a string, not \(value.kind)")
            return nil
        }
        if !mayBeEmpty, text.allSatisfy(\.isWhitespace) { refuse(field, "must not be empty") }
        if text.count > maximum { refuse(field, "must have at most \(maximum) characters") }
        if text.utf8.contains(0) { refuse(field, "must not hold a zero byte") }
        return text
    }

    mutating func object(_ value: JSONValue?, _ field: String) -> JSONObject? {
        guard let value, !value.isNull else {
            refuse(field, "is required")
            return nil
        }
        if value.object == nil { refuse(field, "must be an object, not \(value.kind)") }
        return value.object
    }

    mutating func flag(_ value: JSONValue?, _ field: String) -> Bool? {
        guard let value, !value.isNull else { return nil }
        if value.bool == nil { refuse(field, "must be true or false, not \(value.kind)") }
        return value.bool
    }

    mutating func integer(_ value: JSONValue?, _ field: String, in range: ClosedRange<Int>) -> Int? {
        guard let value, !value.isNull else { return nil }
        guard let number = value.integer.map(Int.init), range.contains(number) else {
            refuse(field, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return number
    }

    mutating func choice<Value: RawRepresentable & CaseIterable>(_ value: JSONValue?, _ field: String) -> Value?
    where Value.RawValue == String {
        guard let value, !value.isNull else {
            refuse(field, "is required: one of \(Value.allCases.map(\.rawValue).joined(separator: ", "))")
            return nil
        }
        return optionalChoice(value, field)
    }

    mutating func optionalChoice<Value: RawRepresentable & CaseIterable>(_ value: JSONValue?, _ field: String) -> Value?
    where Value.RawValue == String {
        guard let value, !value.isNull else { return nil }
        guard let text = value.string, let choice = Value(rawValue: text) else {
            refuse(field, "must be one of \(Value.allCases.map(\.rawValue).joined(separator: ", "))")
            return nil
        }
        return choice
    }

    mutating func names(_ value: JSONValue?, _ field: String) -> [String] {
        guard let value, !value.isNull else {
            refuse(field, "is required: the payload fields whose text is embedded")
            return []
        }
        guard let values = value.array else {
            refuse(field, "must be an array of field names, not \(value.kind)")
            return []
        }
        if values.isEmpty { refuse(field, "must name at least one field") }
        var names: [String] = []
        for (index, value) in values.enumerated() {
            guard let name = value.string, !name.isEmpty else {
                refuse("\(field)[\(index)]", "must be a field name")
                continue
            }
            if names.contains(name) { refuse("\(field)[\(index)]", "\(name) is named twice") }
            names.append(name)
        }
        return names
    }

    mutating func mapping(_ value: JSONValue?) -> FieldMapping {
        let object = object(value, "fieldMapping") ?? JSONObject()
        if value?.object != nil, object["id"] == nil {
            refuse("fieldMapping.id", "is required: the source column that holds each record's key")
        }
        for (name, column) in object.members {
            if name.isEmpty { refuse("fieldMapping", "a payload field needs a name") }
            if column.string?.isEmpty ?? true { refuse("fieldMapping.\(name)", "must be the name of a source column") }
            if name.hasPrefix("_") { refuse("fieldMapping.\(name)", "names that start with _ are the suite's own") }
        }
        if object.count > 1000 { refuse("fieldMapping", "must have at most 1000 fields") }
        if value?.object != nil, !object.names.contains(where: { !FieldMapping.reserved.contains($0) }) {
            refuse("fieldMapping", "maps no payload field besides \(FieldMapping.reserved.joined(separator: ", "))")
        }
        return FieldMapping(object) ?? FieldMapping(key: "", fields: [])
    }

    mutating func embedding(_ value: JSONValue?) -> Datasource.Embedding {
        guard let value, !value.isNull else { return .init() }
        guard let object = value.object else {
            refuse("embedding", "must be an object, not \(value.kind)")
            return .init()
        }
        for name in object.names where !["provider", "model", "dimensions", "template"].contains(name) {
            refuse("embedding.\(name)", "is no embedding setting: provider, model, dimensions, template")
        }
        let provider = optionalText(object["provider"], "embedding.provider", maximum: 50)
        if let provider, !DatasourceDraft.providers.contains(provider) {
            refuse("embedding.provider", "must be one of \(DatasourceDraft.providers.joined(separator: ", "))")
        }
        let model = optionalText(object["model"], "embedding.model", maximum: 200)
        // It divides the parts of `EmbeddingSpace.identifier`.
        if model?.contains("|") == true { refuse("embedding.model", "must not hold a |") }
        let template = optionalText(object["template"], "embedding.template", maximum: 10_000)
        return Datasource.Embedding(
            provider: provider, model: model,
            dimensions: integer(object["dimensions"], "embedding.dimensions", in: 1...65_536), template: template)
    }

    mutating func operations(_ value: JSONValue?) -> [JSONValue] {
        guard let value, !value.isNull else { return [] }
        guard let operations = value.array else {
            refuse("processing", "must be an array of operations, not \(value.kind)")
            return []
        }
        for (index, operation) in operations.enumerated() {
            guard let object = operation.object, let kind = object["operation"]?.string else {
                refuse("processing[\(index)]", "must be an object with the name of an operation in `operation`")
                continue
            }
            if let reason = DatasourceDraft.refusedOperations[kind] {
                refuse("processing[\(index)]", "\(kind) is no operation of a datasource: \(reason)")
            }
        }
        return operations
    }

    /// What is embedded must be in the payload.
    mutating func checkFields(_ mapping: FieldMapping, _ embeddingFields: [String], _ template: String?) {
        let mapped = Set(mapping.fields.map(\.name))
        for (index, name) in embeddingFields.enumerated() where !mapped.contains(name) {
            refuse("embeddingFields[\(index)]", "\(name) is not mapped: fieldMapping has no such payload field")
        }
        guard let template else { return }
        do {
            let fields = try TextTemplate(template).fields
            if fields.isEmpty {
                refuse("embedding.template", "names no {{field}}: every record would have the same text")
            }
            for name in fields where !mapped.contains(name) {
                refuse("embedding.template", "{{\(name)}} is not mapped: fieldMapping has no such payload field")
            }
        } catch {
            refuse("embedding.template", error.reason)
        }
    }
}
