import Foundation
import Postgres
import ServiceRuntime
import WireProtocol

/// A collection as users name it (`products`), with its physical collections in the store (`products`, `products@2`, ...): a new
/// embedding model fills a new one beside the active one until it is switched to.
package struct VectorCollection: Sendable, Equatable {
    package struct Version: Sendable, Equatable {
        package enum State: String, Sendable { case active, building, retired }
        package var physicalName: String
        package var number: Int
        package var vectorSize: Int
        /// `nil` for a collection that was made by hand and has taken no vector of ours yet.
        package var space: EmbeddingSpace?
        package var state: State
    }
    package var id: String
    package var name: String
    /// `Cosine`, `Dot` or `Euclid`.
    package var distance: String
    /// The first datasource that fills it; others may too.
    package var datasourceID: String?
    package var totalPoints: Int64
    package var lastSyncedAt: Timestamp?
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    /// By number; never empty.
    package var versions: [Version]

    /// What a search reads.
    package var active: Version { versions.first { $0.state == .active } ?? versions[0] }
    package var building: Version? { versions.last { $0.state == .building } }
    /// What `rollback` goes back to.
    package var previous: Version? { versions.last { $0.state == .retired } }
}

/// The collections in PostgreSQL (`vector_collections`, `vector_collection_versions`).
package struct VectorCollectionStore: Sendable {
    private let pool: PostgresPool
    package init(pool: PostgresPool) { self.pool = pool }

    /// The collection of that name, made with its first version where there is none yet.
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
                """, [.text(name), .uuid(id), .int(Int64(vectorSize)), PostgresValue(space?.identifier)])
        }
        guard let collection = try await collection(name: name) else {
            throw DatasourcesError.corrupt("collection \(name)")
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

    /// A further physical collection, `name@2`, being built; the one that is being built already where its space is the same.
    package func addVersion(of collection: VectorCollection, vectorSize: Int, space: EmbeddingSpace) async throws
        -> VectorCollection.Version
    {
        if let building = collection.building, building.space == space { return building }
        let number = (collection.versions.map(\.number).max() ?? 0) + 1
        let version = VectorCollection.Version(
            physicalName: "\(collection.name)@\(number)", number: number, vectorSize: vectorSize, space: space,
            state: .building)
        _ = try await pool.query(
            """
            INSERT INTO vector_collection_versions (physical_name, collection_id, number, vector_size, space, state)
            VALUES ($1, $2, $3, $4, $5, 'building')
            """,
            [
                .text(version.physicalName), .uuid(collection.id), .int(Int64(number)), .int(Int64(vectorSize)),
                .text(space.identifier),
            ])
        return version
    }

    /// Makes `physicalName` the active version; the one that was active is kept as retired, for a rollback.
    package func activate(physicalName: String, of collection: VectorCollection) async throws {
        try await pool.transaction { transaction in
            _ = try await transaction.query(
                "UPDATE vector_collection_versions SET state = 'retired' WHERE collection_id = $1 AND state = 'active'",
                [.uuid(collection.id)])
            let rows = try await transaction.query(
                "UPDATE vector_collection_versions SET state = 'active' WHERE collection_id = $1 AND physical_name = $2",
                [.uuid(collection.id), .text(physicalName)])
            guard rows.affected == 1 else { throw DatasourcesError.corrupt("collection \(physicalName)") }
            _ = try await transaction.query(
                "UPDATE vector_collections SET updated_at = now() WHERE id = $1", [.uuid(collection.id)])
        }
    }

    package func removeVersion(physicalName: String) async throws {
        _ = try await pool.query(
            "DELETE FROM vector_collection_versions WHERE physical_name = $1 AND state <> 'active'",
            [.text(physicalName)])
    }

    /// The space of a version that was made by hand, once its first vectors come.
    package func setSpace(physicalName: String, _ space: EmbeddingSpace) async throws {
        _ = try await pool.query(
            "UPDATE vector_collection_versions SET space = $2 WHERE physical_name = $1 AND space IS NULL",
            [.text(physicalName), .text(space.identifier)])
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

    package func delete(name: String) async throws -> Bool {
        try await pool.query("DELETE FROM vector_collections WHERE name = $1", [.text(name)]).affected == 1
    }

    private func collections(where condition: String, _ values: [PostgresValue]) async throws -> [VectorCollection] {
        let rows = try await pool.query(
            """
            SELECT c.id, c.name, c.distance, c.datasource_id, c.total_points,
                (extract(epoch FROM c.last_synced_at) * 1000)::bigint, (extract(epoch FROM c.created_at) * 1000)::bigint,
                (extract(epoch FROM c.updated_at) * 1000)::bigint,
                v.physical_name, v.number, v.vector_size, v.space, v.state
            FROM vector_collections c JOIN vector_collection_versions v ON v.collection_id = c.id
            WHERE \(condition) ORDER BY c.name, v.number
            """, values)
        var collections: [VectorCollection] = []
        for row in rows {
            let version = VectorCollection.Version(
                physicalName: row.text(8) ?? "", number: Int(row.int(9) ?? 0), vectorSize: Int(row.int(10) ?? 0),
                space: row.text(11).flatMap(EmbeddingSpace.init(identifier:)),
                state: row.text(12).flatMap(VectorCollection.Version.State.init) ?? .retired)
            let id = row.text(0) ?? ""
            if collections.last?.id == id {
                collections[collections.count - 1].versions.append(version)
                continue
            }
            collections.append(
                VectorCollection(
                    id: id, name: row.text(1) ?? "", distance: row.text(2) ?? "Cosine", datasourceID: row.text(3),
                    totalPoints: row.int(4) ?? 0, lastSyncedAt: row.int(5).map(Timestamp.init(milliseconds:)),
                    createdAt: Timestamp(milliseconds: row.int(6) ?? 0),
                    updatedAt: Timestamp(milliseconds: row.int(7) ?? 0),
                    versions: [version]))
        }
        return collections
    }
}
