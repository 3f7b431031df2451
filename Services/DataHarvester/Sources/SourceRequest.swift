import Datasources
import HTTPServer
import WireProtocol

/// The body of `/sources/*`: a datasource that exists (`datasource_id`, perhaps with another `query_template`), or one that is being
/// described, as far as it is (`type`, `connection_config`, ...).
struct SourceRequest: Sendable {
    var source: SourceDescription
    var text: TextTemplate
    var processing: [JSONValue]
    var limit: Int

    private static let members: Set<String> = [
        "datasource_id", "type", "connection_config", "query_template", "field_mapping", "embedding_fields",
        "embedding_template",
        "processing", "limit",
    ]

    /// Throws: 400 with every wrong field, 404 for an unknown datasource.
    init(_ body: JSONValue, connectors: SourceConnectors) async throws {
        guard let body = body.object else { throw Problem.badRequest("the body must be a JSON object") }
        var errors: [FieldError] = []
        func refuse(_ field: String, _ message: String) { errors.append(FieldError(field: field, message: message)) }
        for name in body.names where !Self.members.contains(name) { refuse(name, "is unknown here") }
        func given(_ name: String) -> JSONValue? { body[name]?.nonNull }
        limit = 5
        if let value = given("limit") {
            if let number = value.integer, (1...100).contains(number) {
                limit = Int(number)
            } else {
                refuse("limit", "must be a whole number from 1 to 100")
            }
        }
        let query = given("query_template")
        if let query, query.string == nil { refuse("query_template", "must be a text, not \(query.kind)") }
        if let id = given("datasource_id") {
            for name in ["type", "connection_config"] where given(name) != nil {
                refuse(name, "belongs to the datasource: leave out datasource_id to try another one")
            }
            guard let id = id.string else { throw Problem.badRequest(field: "datasource_id", "must be a text") }
            guard errors.isEmpty else {
                throw Problem.badRequest("the request has \(errors.count) wrong fields", errors: errors)
            }
            guard let datasource = try await connectors.datasources.datasource(id: id) else {
                throw Problem.notFound("there is no datasource \(id)")
            }
            source = try connectors.description(of: datasource)
            if let query = query?.string { source.queryTemplate = query }
            text = datasource.text
            processing = datasource.processing
            return
        }
        let kind = given("type")?.string.flatMap(Datasource.Kind.init)
        if kind == nil {
            refuse("type", "is required: one of \(Datasource.Kind.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        let connection = given("connection_config")
        if connection?.object == nil { refuse("connection_config", "is required and must be an object") }
        let mapping = given("field_mapping")
        if let mapping, mapping.object == nil { refuse("field_mapping", "must be an object, not \(mapping.kind)") }
        let fields = given("embedding_fields")
        if let fields, fields.array == nil { refuse("embedding_fields", "must be an array, not \(fields.kind)") }
        let operations = given("processing")
        if let operations, operations.array == nil { refuse("processing", "must be an array, not \(operations.kind)") }
        if let kind, let object = connection?.object, errors.isEmpty {
            let problems = DatasourceDraft.connectionProblems(of: kind, object)
            errors += problems.map { FieldError(field: Self.snakeCase($0.field), message: $0.message) }
        }
        text = TextTemplate(fields: (fields?.array ?? []).compactMap(\.string))
        if let template = given("embedding_template")?.string {
            do {
                text = try TextTemplate(template)
            } catch {
                refuse("embedding_template", error.reason)
            }
        }
        guard errors.isEmpty, let kind, let connection = connection?.object else {
            throw Problem.badRequest(
                "the request has \(errors.count) wrong field\(errors.count == 1 ? "" : "s")", errors: errors)
        }
        source = SourceDescription(
            type: kind, connection: connection, queryTemplate: query?.string.flatMap { $0.isEmpty ? nil : $0 },
            mapping: FieldMapping(inline: mapping?.object ?? JSONObject()))
        processing = operations?.array ?? []
    }

    /// `connectionConfig.port` as `connection_config.port`.
    static func snakeCase(_ field: String) -> String {
        for (camel, snake) in [
            ("connectionConfig", "connection_config"), ("queryTemplate", "query_template"),
            ("fieldMapping", "field_mapping"),
        ] where field.hasPrefix(camel) {
            return snake + field.dropFirst(camel.count)
        }
        return field
    }
}

extension FieldMapping {
    /// A mapping that may not be finished: without a key it is for a preview.
    init(inline object: JSONObject) {
        var object = object
        if object["id"]?.string == nil { object["id"] = "" }
        self = FieldMapping(object) ?? FieldMapping(key: "", fields: [])
    }
}
