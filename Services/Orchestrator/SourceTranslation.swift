import WireProtocol

/// The sync API says `connectionConfig` where the data-harvester says `connection_config`: what is asked and answered about sources,
/// in the words of the one who reads it. A customer's own names (columns, settings) are left alone.
enum SourceTranslation {
    /// What the harvester wants to know of a datasource that is being described; the rest of it does not concern a source.
    private static let asked = [
        "type": "type", "connectionConfig": "connection_config", "queryTemplate": "query_template",
        "query": "query_template",
        "fieldMapping": "field_mapping", "embeddingFields": "embedding_fields", "processing": "processing",
        "limit": "limit",
    ]
    private static let answered = ["latency_ms": "latencyMs", "total_is_exact": "totalIsExact", "is_exact": "isExact"]

    static func question(_ body: JSONObject) -> JSONObject {
        var question = JSONObject()
        for (name, value) in body.members {
            if let known = asked[name] { question[known] = value }
        }
        if let template = body["embedding"]?["template"] { question["embedding_template"] = template }
        return question
    }

    /// `path`: what was asked for here.
    static func answer(_ body: JSONObject, path: String = "") -> JSONObject {
        var answer = JSONObject(unique: body.members.map { (answered[$0.name] ?? $0.name, $0.value) })
        if answer["instance"] != nil { answer["instance"] = .string(path) }
        guard let errors = body["errors"]?.array else { return answer }
        answer["errors"] = .array(
            errors.map { error in
                guard var object = error.object, let field = object["field"]?.string else { return error }
                object["field"] = .string(self.field(field))
                return .object(object)
            })
        return answer
    }

    /// `connection_config.port` as `connectionConfig.port`.
    private static func field(_ field: String) -> String {
        for (camel, snake) in asked where camel != "query" && camel != snake {
            if field == snake || field.hasPrefix(snake + ".") { return camel + field.dropFirst(snake.count) }
        }
        return field
    }
}
