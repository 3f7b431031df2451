import Crypto
import FastJSON
import Foundation
import Postgres
import ServiceRuntime
import WireProtocol

/// The datasources in PostgreSQL (`datasources`), their secrets sealed.
package struct DatasourceStore: Sendable {
    let pool: PostgresPool
    private let keyRing: KeyRing

    package init(pool: PostgresPool, keyRing: KeyRing) {
        self.pool = pool
        self.keyRing = keyRing
    }

    /// Answers the webhook secret too: the only time it is shown.
    /// Throws: `DatasourcesError.nameTaken`.
    package func create(_ draft: DatasourceDraft) async throws -> (datasource: Datasource, webhookSecret: String) {
        let id = UUID().uuidString.lowercased()
        let (plain, secrets) = ConnectionSecrets.split(draft.connectionConfig)
        let secret = Self.newWebhookSecret()
        let values: [PostgresValue] =
            [.uuid(id)] + columns(of: draft, plain: plain) + [
                PostgresValue(seal(secrets, id: id)),
                .text(keyRing.seal(Array(secret.utf8), context: Self.context(id, "webhook_secret"))),
            ]
        let rows = try await guardingName(draft.name) {
            try await pool.query(
                """
                INSERT INTO datasources (id, name, type, connection_config, query_template, field_mapping, embedding_fields,
                    embedding, processing, collection, sync_schedule, webhook_enabled, status, description, connection_secrets,
                    webhook_secret)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) RETURNING \(Self.columnList)
                """, values)
        }
        return (try Self.datasource(rows[0]), secret)
    }

    /// Alone with the datasource: what a switch of its collection changes meanwhile is not overwritten.
    /// Throws: `DatasourcesError.notFound`, `.nameTaken`, `.invalid` where a secret is needed again, `.wrongVersions` for another
    /// embedding space than its collection's.
    package func update(id: String, _ body: JSONValue) async throws -> Datasource {
        guard UUID(uuidString: id) != nil else { throw DatasourcesError.notFound(id: id) }
        return try await pool.transaction { transaction in
            let found = try await transaction.query(
                "SELECT \(Self.columnList) FROM datasources WHERE id = $1 FOR UPDATE", [.uuid(id)])
            guard let existing = try found.first.map(Self.datasource) else { throw DatasourcesError.notFound(id: id) }
            let draft = try DatasourceDraft(body, updating: existing)
            if draft.embedding != existing.embedding || draft.collection != existing.collection {
                try await checkSpace(of: draft, transaction)
            }
            let (plain, secrets) = try merged(draft.connectionConfig, into: existing)
            let values: [PostgresValue] =
                [.uuid(id)] + columns(of: draft, plain: plain) + [PostgresValue(seal(secrets, id: existing.id))]
            let rows = try await guardingName(draft.name) {
                try await transaction.query(
                    """
                    UPDATE datasources SET name = $2, type = $3, connection_config = $4, query_template = $5, field_mapping = $6,
                        embedding_fields = $7, embedding = $8, processing = $9, collection = $10, sync_schedule = $11,
                        webhook_enabled = $12, status = $13, description = $14, connection_secrets = $15, updated_at = now()
                    WHERE id = $1 RETURNING \(Self.columnList)
                    """, values)
            }
            return try Self.datasource(rows[0])
        }
    }

    /// Another model is not a datasource's setting once its collection holds vectors: that is a rebuild.
    private func checkSpace(of draft: DatasourceDraft, _ transaction: PostgresTransaction) async throws {
        let collections = VectorCollectionStore(pool: pool)
        let collection = try await collections.collections(
            where: "c.name = $1", [.text(draft.collection)], on: transaction
        ).first
        if let reason = collection?.conflict(with: draft.embedding) {
            throw DatasourcesError.wrongVersions(reason: reason)
        }
    }

    private func merged(_ config: JSONObject, into existing: Datasource) throws -> (JSONObject, JSONObject) {
        let (plain, given) = ConnectionSecrets.split(config)
        do {
            let secrets = try ConnectionSecrets.merge(
                given: given, plain: plain, stored: try openSecrets(existing), storedPlain: existing.connectionConfig)
            return (plain, secrets)
        } catch let error as ConnectionSecrets.NeededAgain {
            throw DatasourcesError.invalid(
                error.members.map {
                    FieldProblem(
                        field: "connectionConfig.\($0)",
                        message: "give it again: the server it was given for has changed")
                })
        }
    }

    package func datasource(id: String) async throws -> Datasource? {
        guard UUID(uuidString: id) != nil else { return nil }
        let rows = try await pool.query("SELECT \(Self.columnList) FROM datasources WHERE id = $1", [.uuid(id)])
        return try rows.first.map(Self.datasource)
    }

    /// As its records are made for one physical collection: a version that is not active may have a template of its own. Read in
    /// one statement, so that a switch is seen whole or not at all.
    package func datasource(id: String, filling physicalName: String) async throws -> Datasource? {
        guard UUID(uuidString: id) != nil else { return nil }
        let rows = try await pool.query(
            """
            SELECT \(Self.columnList), (
                SELECT templates->$3::text FROM vector_collection_versions WHERE physical_name = $2 AND state <> 'active') AS own_template
            FROM datasources WHERE id = $1
            """, [.uuid(id), .text(physicalName), .text(id.lowercased())])
        guard let row = rows.first else { return nil }
        var datasource = try Self.datasource(row)
        if let own = row.bytes("own_template") {
            datasource.embedding.template = try Self.json(own, "templates").string
        }
        return datasource
    }

    /// Newest first. `collection` and `type` narrow it.
    package func datasources(
        type: Datasource.Kind? = nil, collection: String? = nil, limit: Int = 50, offset: Int = 0
    ) async throws -> (items: [Datasource], total: Int) {
        let filter = "WHERE ($1::text IS NULL OR type = $1) AND ($2::text IS NULL OR collection = $2)"
        let values: [PostgresValue] = [PostgresValue(type?.rawValue), PostgresValue(collection)]
        let total = try await pool.query("SELECT count(*) FROM datasources \(filter)", values)
        let rows = try await pool.query(
            "SELECT \(Self.columnList) FROM datasources \(filter) ORDER BY created_at DESC, id LIMIT $3 OFFSET $4",
            values + [.int(Int64(limit)), .int(Int64(offset))])
        return (try rows.map(Self.datasource), Int(total[0].int(0) ?? 0))
    }

    /// False where there is none. Files go with it.
    package func delete(id: String) async throws -> Bool {
        guard UUID(uuidString: id) != nil else { return false }
        return try await pool.transaction { transaction in
            _ = try await transaction.query(
                """
                DELETE FROM datasource_file_chunks WHERE file_id IN (SELECT id FROM datasource_files WHERE datasource_id = $1)
                """, [.uuid(id)])
            return try await transaction.query("DELETE FROM datasources WHERE id = $1", [.uuid(id)]).affected == 1
        }
    }

    /// A new webhook secret; the old one stops working. Shown once.
    package func regenerateWebhookSecret(id: String) async throws -> String {
        let secret = Self.newWebhookSecret()
        let sealed = keyRing.seal(Array(secret.utf8), context: Self.context(id, "webhook_secret"))
        let rows = try await pool.query(
            "UPDATE datasources SET webhook_secret = $2, updated_at = now() WHERE id = $1", [.uuid(id), .text(sealed)])
        guard rows.affected == 1 else { throw DatasourcesError.notFound(id: id) }
        return secret
    }

    // MARK: Secrets

    /// The whole connection, secrets included: for a connector, never for an answer or a log.
    package func connection(of datasource: Datasource) throws(DatasourcesError) -> JSONObject {
        ConnectionSecrets.join(datasource.connectionConfig, try openSecrets(datasource))
    }

    /// `whsec_...`, as it was shown.
    package func webhookSecret(of datasource: Datasource) throws(DatasourcesError) -> String {
        String(decoding: try open(datasource.sealedWebhookSecret, datasource, "webhook_secret"), as: UTF8.self)
    }

    /// Standard Webhooks: `whsec_` and base64 of 32 random bytes.
    private static func newWebhookSecret() -> String { "whsec_" + Base64.encode(SecureRandom.bytes(32)) }

    private static func context(_ id: String, _ column: String) -> String { "datasources|\(id)|\(column)" }

    private func seal(_ secrets: JSONObject, id: String) -> String? {
        guard !secrets.isEmpty else { return nil }
        return keyRing.seal(JSONValue.object(secrets).serializedBytes, context: Self.context(id, "connection_secrets"))
    }

    private func openSecrets(_ datasource: Datasource) throws(DatasourcesError) -> JSONObject {
        guard let sealed = datasource.sealedSecrets else { return JSONObject() }
        let bytes = try open(sealed, datasource, "connection_secrets")
        return try Self.json(bytes, "connection_secrets").object ?? JSONObject()
    }

    private func open(_ sealed: String, _ datasource: Datasource, _ column: String) throws(DatasourcesError) -> [UInt8]
    {
        do {
            return try keyRing.open(sealed, context: Self.context(datasource.id, column))
        } catch {
            throw .secretsUnreadable(datasource: datasource.name, reason: "\(error)")
        }
    }

    // MARK: Rows

    private static let columnList = """
        id, name, type, connection_config, connection_secrets, query_template, field_mapping, embedding_fields, embedding, processing,
        collection, sync_schedule, webhook_enabled, webhook_secret, status, description,
        (extract(epoch FROM created_at) * 1000)::bigint AS created, (extract(epoch FROM updated_at) * 1000)::bigint AS updated
        """

    /// In the order of both statements, from `name` to `description`.
    private func columns(of draft: DatasourceDraft, plain: JSONObject) -> [PostgresValue] {
        [
            .text(draft.name), .text(draft.type.rawValue), .text(JSONValue.object(plain).serialized),
            PostgresValue(draft.queryTemplate), .text(JSONValue.object(draft.mapping.json).serialized),
            .text(JSONValue.array(draft.embeddingFields.map(JSONValue.string)).serialized),
            .text(JSONValue.object(draft.embedding.json).serialized),
            .text(JSONValue.array(draft.processing).serialized),
            .text(draft.collection), PostgresValue(draft.syncSchedule), .bool(draft.webhookEnabled),
            .text(draft.status.rawValue),
            PostgresValue(draft.description),
        ]
    }

    private static func datasource(_ row: PostgresRow) throws(DatasourcesError) -> Datasource {
        func object(_ name: String) throws(DatasourcesError) -> JSONObject {
            try json(row.bytes(name) ?? [], name).object ?? JSONObject()
        }
        func array(_ name: String) throws(DatasourcesError) -> [JSONValue] {
            try json(row.bytes(name) ?? [], name).array ?? []
        }
        guard let id = row.text("id"), let name = row.text("name"),
            let type = row.text("type").flatMap(Datasource.Kind.init),
            let mapping = FieldMapping(try object("field_mapping")),
            let status = row.text("status").flatMap(Datasource.Status.init)
        else { throw .corrupt(row.text("id") ?? "") }
        return Datasource(
            id: id, name: name, type: type, connectionConfig: try object("connection_config"),
            queryTemplate: row.text("query_template"), mapping: mapping,
            embeddingFields: try array("embedding_fields").compactMap(\.string),
            embedding: Datasource.Embedding(try object("embedding")), processing: try array("processing"),
            collection: row.text("collection") ?? "", syncSchedule: row.text("sync_schedule"),
            webhookEnabled: row.bool("webhook_enabled") ?? false, status: status, description: row.text("description"),
            createdAt: Timestamp(milliseconds: row.int("created") ?? 0),
            updatedAt: Timestamp(milliseconds: row.int("updated") ?? 0),
            sealedSecrets: row.text("connection_secrets"), sealedWebhookSecret: row.text("webhook_secret") ?? "")
    }

    private static func json(_ bytes: [UInt8], _ column: String) throws(DatasourcesError) -> JSONValue {
        do {
            return try JSONReader.parse(bytes)
        } catch {
            throw .corrupt("\(column): \(error.message)")
        }
    }

    private func guardingName<Value>(_ name: String, _ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch PostgresError.server(sqlState: "23505", message: _) {
            throw DatasourcesError.nameTaken(name)
        }
    }
}
