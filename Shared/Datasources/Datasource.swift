import ServiceRuntime
import WireProtocol

/// Where records come from and what becomes of them. Its secrets stay sealed in `sealedSecrets` until a connector opens them.
package struct Datasource: Sendable, Equatable {
    package enum Kind: String, Codable, CaseIterable, Sendable {
        case mssql, mysql, postgresql, api, csv, xlsx, jsonl, odbc

        package var isFile: Bool { self == .csv || self == .xlsx || self == .jsonl }
        /// The data-harvester can read it: the others come with later versions.
        package var isReadable: Bool { self == .postgresql || self == .csv }
        package var isSQL: Bool { self == .mssql || self == .mysql || self == .postgresql || self == .odbc }
    }
    package enum Status: String, Codable, CaseIterable, Sendable { case active, paused, error }

    /// What differs from the suite's own settings; `nil` takes the suite's.
    package struct Embedding: Sendable, Equatable {
        package var provider: String?
        package var model: String?
        package var dimensions: Int?
        package var template: String?
        package init(provider: String? = nil, model: String? = nil, dimensions: Int? = nil, template: String? = nil) {
            self.provider = provider
            self.model = model
            self.dimensions = dimensions
            self.template = template
        }
    }

    /// A UUID in lower case.
    package var id: String
    package var name: String
    package var type: Kind
    /// Without secrets (see `ConnectionSecrets`).
    package var connectionConfig: JSONObject
    package var queryTemplate: String?
    package var mapping: FieldMapping
    package var embeddingFields: [String]
    package var embedding: Embedding
    /// Operations of the data-processor, run over each page; may be none.
    package var processing: [JSONValue]
    /// The collection's name (an alias in the store, not a physical collection).
    package var collection: String
    /// A cron expression; the scheduler reads it.
    package var syncSchedule: String?
    package var webhookEnabled: Bool
    package var status: Status
    package var description: String?
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    /// AES-256-GCM; `DatasourceStore.connection(of:)` opens it.
    package var sealedSecrets: String?
    package var sealedWebhookSecret: String

    package var text: TextTemplate {
        if let template = embedding.template, let parsed = try? TextTemplate(template) { return parsed }
        return TextTemplate(fields: embeddingFields)
    }

    /// As the sync API answers it: camelCase, no secret in it.
    package var json: JSONObject {
        var config = connectionConfig
        if sealedSecrets != nil { config["hasSecrets"] = true }
        return JSONObject([
            ("id", .string(id)), ("name", .string(name)), ("type", .string(type.rawValue)),
            ("connectionConfig", .object(config)), ("queryTemplate", JSONValue(queryTemplate)),
            ("fieldMapping", .object(mapping.json)), ("embeddingFields", .array(embeddingFields.map(JSONValue.string))),
            ("embedding", .object(embedding.json)), ("processing", .array(processing)),
            ("qdrantCollection", .string(collection)), ("syncSchedule", JSONValue(syncSchedule)),
            ("webhookEnabled", .bool(webhookEnabled)), ("status", .string(status.rawValue)),
            ("description", JSONValue(description)), ("createdAt", .string(createdAt.text)),
            ("updatedAt", .string(updatedAt.text)),
        ])
    }
}

extension Datasource.Embedding {
    package init(_ object: JSONObject) {
        self.init(
            provider: object["provider"]?.string, model: object["model"]?.string,
            dimensions: object["dimensions"]?.integer.map(Int.init), template: object["template"]?.string)
    }

    package var json: JSONObject {
        JSONObject(
            [
                ("provider", JSONValue(provider)), ("model", JSONValue(model)),
                ("dimensions", dimensions.map { JSONValue($0) } ?? .null), ("template", JSONValue(template)),
            ].filter { !$0.1.isNull })
    }
}
