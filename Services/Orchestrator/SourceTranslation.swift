import Datasources
import FastJSON
import HTTPClient
import HTTPServer
import WireProtocol

/// The sync API says `connectionConfig` where the data-harvester says `connection_config`: what is asked and answered about sources,
/// in the words of the one who reads it. A customer's own names (columns, settings) are left alone.
enum SourceTranslation {
    private static let names = [
        ("connectionConfig", "connection_config"), ("queryTemplate", "query_template"),
        ("fieldMapping", "field_mapping"),
        ("embeddingFields", "embedding_fields"), ("embedding.template", "embedding_template"),
        ("latencyMs", "latency_ms"), ("totalIsExact", "total_is_exact"), ("isExact", "is_exact"),
    ]

    /// The body of `POST /datasources/test-connection`: a datasource, as far as there is one. Throws: 400 with every wrong member.
    static func question(about draft: JSONValue) throws(Problem) -> JSONObject {
        guard let draft = draft.object else { throw .badRequest("the body must be a JSON object") }
        var errors = draft.names.filter { !DatasourceDraft.members.contains($0) }.map {
            FieldError(field: $0, message: "is not a member of a datasource")
        }
        var question = JSONObject()
        for name in ["type", "connectionConfig", "queryTemplate", "fieldMapping", "embeddingFields", "processing"] {
            if let value = draft[name], !value.isNull { question[snakeCase(name)] = value }
        }
        if let embedding = draft["embedding"], !embedding.isNull {
            if embedding.object == nil {
                errors.append(FieldError(field: "embedding", message: "must be an object, not \(embedding.kind)"))
            }
            if let template = embedding["template"], !template.isNull { question["embedding_template"] = template }
        }
        if !errors.isEmpty { throw .badRequest("the datasource is not valid", errors: errors) }
        return question
    }

    /// The body of `POST /datasources/:id/validate-query`: `{query?}`, or nothing.
    static func validation(_ request: HTTPRequest) throws(Problem) -> JSONObject {
        guard !request.body.isEmpty else { return JSONObject() }
        guard let body = try request.json().object else { throw .badRequest("the body must be a JSON object") }
        if let other = body.names.first(where: { $0 != "query" }) {
            throw .badRequest(field: other, "is unknown here: {query?}")
        }
        guard let query = body["query"], !query.isNull else { return JSONObject() }
        guard query.string != nil else { throw .badRequest(field: "query", "must be a string, not \(query.kind)") }
        return ["query_template": query]
    }

    /// The harvester's answer as the sync API's. `query`: what its query template is called in the request.
    static func response(_ answer: ClientResponse, instance: String, query: String = "queryTemplate") async throws
        -> HTTPResponse
    {
        // A preview of a hundred wide rows is too much for an event loop.
        try await BlockingPool.run {
            guard let body = try? JSONReader.parse(answer.body).object else {
                throw Problem.badGateway("the data-harvester's answer cannot be read")
            }
            var members = body.members.map { (name: camelCase($0.name), value: $0.value) }
            for index in members.indices {
                switch members[index].name {
                case "instance": members[index].value = .string(instance)
                case "errors": members[index].value = renamed(members[index].value, query: query)
                default: break
                }
            }
            let type = answer.header("content-type") ?? "application/json"
            return .bytes(
                JSONValue.object(JSONObject(members)).serializedBytes, contentType: type, status: answer.status)
        }
    }

    private static func renamed(_ errors: JSONValue, query: String) -> JSONValue {
        .array(
            (errors.array ?? []).map { error in
                guard var members = error.object, let field = members["field"]?.string else { return error }
                let name = camelCase(field)
                members["field"] = .string(name == "queryTemplate" ? query : name)
                return .object(members)
            })
    }

    private static func snakeCase(_ name: String) -> String { names.first { $0.0 == name }?.1 ?? name }

    /// `connection_config.port` as `connectionConfig.port`.
    private static func camelCase(_ name: String) -> String {
        for (camel, snake) in names where name.hasPrefix(snake) { return camel + name.dropFirst(snake.count) }
        return name
    }
}
