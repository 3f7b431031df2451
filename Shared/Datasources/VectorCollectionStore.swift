import FastJSON
import Foundation
import Postgres
import ServiceRuntime
import WireProtocol

/// The collections in PostgreSQL (`vector_collections`, `vector_collection_versions`).
package struct VectorCollectionStore: Sendable {
    let pool: PostgresPool
    package init(pool: PostgresPool) { self.pool = pool }

    /// The collection of that name, made with its first version where there is none yet.
    /// Throws: `wrongVersions` while one of that name is being deleted.
    package func ensure(
        name: String, vectorSize: Int, distance: String = "Cosine", space: EmbeddingSpace?, datasourceID: String? = nil
    ) async throws -> VectorCollection {
        try await pool.transaction { transaction in
            let id = UUID().uuidString.lowercased()
            let made = try await transaction.query(
                """
                INSERT INTO vector_collections (id, name, distance, datasource_id) VALUES ($1, $2, $3, $4)
                ON CONFLICT (name) DO NOTHING
                """, [.uuid(id), .text(name), .text(distance), datasourceID.map(PostgresValue.uuid) ?? .null])
            guard made.affected == 1 else {
                _ = try await transaction.query(
                    "UPDATE vector_collections SET datasource_id = coalesce(datasource_id, $2) WHERE name = $1",
                    [.text(name), datasourceID.map(PostgresValue.uuid) ?? .null])
                return
            }
            _ = try await transaction.query(
                """
                INSERT INTO vector_collection_versions (physical_name, collection_id, number, vector_size, space, state)
                VALUES ($1, $2, 1, $3, $4, 'active')
                """,
                [
                    .text(VectorCollection.physicalName(of: name, number: 1)), .uuid(id), .int(Int64(vectorSize)),
                    PostgresValue(space?.identifier),
                ])
        }
        guard let collection = try await collection(name: name) else {
            throw DatasourcesError.wrongVersions(
                reason: "the collection \(name) is being deleted: try again in a minute")
        }
        return collection
    }

    package func collection(name: String) async throws -> VectorCollection? {
        try await collections(where: "c.name = $1", [.text(name)]).first
    }

    package func collection(physicalName: String) async throws -> VectorCollection? {
        try await collections(
            where: "c.id = (SELECT collection_id FROM vector_collection_versions WHERE physical_name = $1)",
            [.text(physicalName)]
        ).first
    }

    package func collections() async throws -> [VectorCollection] { try await collections(where: "true", []) }

    /// The physical collections that sync jobs write to.
    package func filledPhysicalNames() async throws -> Set<String> {
        let rows = try await pool.query(
            """
            SELECT v.physical_name FROM vector_collection_versions v JOIN vector_collections c ON c.id = v.collection_id
            WHERE c.datasource_id IS NOT NULL OR EXISTS (SELECT FROM datasources d WHERE d.collection = c.name)
            """)
        return Set(rows.lazy.compactMap { $0.text(0) })
    }

    /// The space of a version that was made by hand, once its first vectors come, and whose they are.
    package func setSpace(physicalName: String, _ space: EmbeddingSpace, datasourceID: String) async throws {
        _ = try await pool.query(
            """
            WITH version AS (
                UPDATE vector_collection_versions SET space = $2 WHERE physical_name = $1 AND space IS NULL RETURNING collection_id)
            UPDATE vector_collections c SET datasource_id = coalesce(c.datasource_id, $3)
            FROM version WHERE c.id = version.collection_id
            """, [.text(physicalName), .text(space.identifier), .uuid(datasourceID)])
    }

    package func setTotalPoints(name: String, _ total: Int64) async throws {
        _ = try await pool.query(
            "UPDATE vector_collections SET total_points = $2 WHERE name = $1 AND total_points <> $2",
            [.text(name), .int(total)])
    }

    package func markSynced(name: String) async throws {
        _ = try await pool.query(
            "UPDATE vector_collections SET last_synced_at = now(), updated_at = now() WHERE name = $1", [.text(name)])
    }

    /// Without those that are being deleted.
    func collections(
        where condition: String, _ values: [PostgresValue], on transaction: PostgresTransaction? = nil
    ) async throws -> [VectorCollection] {
        let sql = """
            SELECT c.id, c.name, c.distance, c.datasource_id, c.total_points,
                (extract(epoch FROM c.last_synced_at) * 1000)::bigint AS synced, (extract(epoch FROM c.created_at) * 1000)::bigint AS created,
                (extract(epoch FROM c.updated_at) * 1000)::bigint AS updated,
                v.physical_name, v.number, v.vector_size, v.space, v.state, v.switch_when_ready, v.templates,
                (extract(epoch FROM v.created_at) * 1000)::bigint AS version_created
            FROM vector_collections c JOIN vector_collection_versions v ON v.collection_id = c.id
            WHERE \(condition) AND EXISTS (
                SELECT FROM vector_collection_versions a WHERE a.collection_id = c.id AND a.state = 'active')
            ORDER BY c.name, v.number
            """
        let rows =
            if let transaction { try await transaction.query(sql, values) } else { try await pool.query(sql, values) }
        var collections: [VectorCollection] = []
        for row in rows {
            let version = try VectorCollection.Version(row)
            let id = row.text("id") ?? ""
            if collections.last?.id == id {
                collections[collections.count - 1].versions.append(version)
                continue
            }
            collections.append(
                VectorCollection(
                    id: id, name: row.text("name") ?? "", distance: row.text("distance") ?? "Cosine",
                    datasourceID: row.text("datasource_id"), totalPoints: row.int("total_points") ?? 0,
                    lastSyncedAt: row.int("synced").map(Timestamp.init(milliseconds:)),
                    createdAt: Timestamp(milliseconds: row.int("created") ?? 0),
                    updatedAt: Timestamp(milliseconds: row.int("updated") ?? 0), versions: [version]))
        }
        return collections
    }
}

extension VectorCollection.Version {
    fileprivate init(_ row: PostgresRow) throws {
        var templates: [String: String?] = [:]
        for (datasource, template) in try JSONReader.parse(row.bytes("templates") ?? []).object?.members ?? [] {
            templates.updateValue(template.string, forKey: datasource)
        }
        self.init(
            physicalName: row.text("physical_name") ?? "", number: Int(row.int("number") ?? 0),
            vectorSize: Int(row.int("vector_size") ?? 0),
            space: row.text("space").flatMap(EmbeddingSpace.init(identifier:)),
            state: row.text("state").flatMap(State.init) ?? .retired,
            switchesWhenReady: row.bool("switch_when_ready") ?? false, templates: templates,
            createdAt: Timestamp(milliseconds: row.int("version_created") ?? 0))
    }
}
