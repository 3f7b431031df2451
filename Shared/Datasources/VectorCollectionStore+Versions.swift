import FastJSON
import Postgres
import ServiceRuntime
import WireProtocol

/// The change of a collection's model: its versions' states change here, each time in one transaction that is alone with the
/// collection. PostgreSQL is the truth; the store's alias follows it.
extension VectorCollectionStore {
    /// A further physical collection, `name@2`, to be filled beside the active one. The retired version is given up for it.
    /// Throws: `wrongVersions` where one is being built already.
    package func addVersion(
        of name: String, vectorSize: Int, space: EmbeddingSpace, templates: [String: String?] = [:],
        switchesWhenReady: Bool = false
    ) async throws -> VectorCollection.Version {
        try await changing(name) { collection, transaction in
            if let building = collection.building {
                throw DatasourcesError.wrongVersions(
                    reason: """
                        version \(building.number) of \(name) is being built already: \
                        switch to it or give it up (DELETE /api/collections/\(name)/rebuild)
                        """)
            }
            if let previous = collection.previous { try await setState(.removing, of: previous, transaction) }
            let number = try await transaction.query(
                "UPDATE vector_collections SET last_number = last_number + 1, updated_at = now() WHERE id = $1 RETURNING last_number",
                [.uuid(collection.id)])[0].int(0)
            _ = try await transaction.query(
                """
                INSERT INTO vector_collection_versions
                    (physical_name, collection_id, number, vector_size, space, state, switch_when_ready, templates)
                VALUES ($1, $2, $3, $4, $5, 'building', $6, $7)
                """,
                [
                    .text(VectorCollection.physicalName(of: name, number: Int(number ?? 0))), .uuid(collection.id),
                    .int(number ?? 0), .int(Int64(vectorSize)), .text(space.identifier), .bool(switchesWhenReady),
                    .text(Self.json(templates)),
                ])
            guard let version = try await self.collection(named: name, transaction).building else {
                throw DatasourcesError.corrupt("collection \(name)")
            }
            return version
        }
    }

    /// From now on (or no longer) the version that is being built becomes active as soon as it may.
    package func setSwitchesWhenReady(_ flag: Bool, of name: String) async throws {
        try await changing(name) { collection, transaction in
            guard let building = collection.building else { throw Self.noRebuild(collection) }
            _ = try await transaction.query(
                "UPDATE vector_collection_versions SET switch_when_ready = $2 WHERE physical_name = $1",
                [.text(building.physicalName), .bool(flag)])
        }
    }

    /// Makes the version that was built the active one; the one that was active is kept for a rollback. With a `number`: only
    /// that version.
    /// Throws: `wrongVersions` where there is none to switch to.
    package func switchVersion(of name: String, to number: Int? = nil) async throws -> VectorCollection {
        try await changing(name) { collection, transaction in
            guard let building = collection.building, number == nil || number == building.number else {
                throw Self.noRebuild(collection)
            }
            try await exchange(collection, for: building, leaving: .retired, transaction)
            return try await self.collection(named: name, transaction)
        }
    }

    /// Makes the version that was active before the active one again; the other one stays, ready to be switched to.
    /// Throws: `wrongVersions` where there is none any more.
    package func rollBackVersion(of name: String) async throws -> VectorCollection {
        try await changing(name) { collection, transaction in
            guard let previous = collection.previous else {
                throw DatasourcesError.wrongVersions(
                    reason: "\(name) has no version to go back to: version \(collection.active.number) is active")
            }
            try await exchange(collection, for: previous, leaving: .building, transaction)
            return try await self.collection(named: name, transaction)
        }
    }

    /// Gives the version in this state up; it is removed from the store later.
    /// Throws: `wrongVersions` where there is none.
    package func discardVersion(in state: VectorCollection.Version.State, of name: String) async throws
        -> VectorCollection.Version
    {
        try await changing(name) { collection, transaction in
            guard state != .active, let version = collection.versions.first(where: { $0.state == state }) else {
                throw state == .building
                    ? Self.noRebuild(collection)
                    : DatasourcesError.wrongVersions(reason: "\(name) keeps no version to go back to")
            }
            try await setState(.removing, of: version, transaction)
            return version
        }
    }

    /// Gives all versions of a collection up: nobody finds it from here on, and it is gone with the last of them. Answers their
    /// names; none where there is no such collection.
    package func discardAll(of name: String) async throws -> [String] {
        try await pool.transaction { transaction in
            let found = try await transaction.query(
                "SELECT id FROM vector_collections WHERE name = $1 FOR UPDATE", [.text(name)])
            guard let id = found.first?.text(0) else { return [] }
            _ = try await transaction.query(
                """
                UPDATE vector_collection_versions SET state = 'removing', changed_at = now(), switch_when_ready = false
                WHERE collection_id = $1 AND state <> 'removing'
                """, [.uuid(id)])
            return try await transaction.query(
                "SELECT physical_name FROM vector_collection_versions WHERE collection_id = $1 ORDER BY number",
                [.uuid(id)]
            ).compactMap { $0.text(0) }
        }
    }

    /// Gives up what was retired that long ago.
    package func discardRetired(olderThan age: Duration) async throws -> [String] {
        try await pool.query(
            """
            UPDATE vector_collection_versions SET state = 'removing', changed_at = now()
            WHERE state = 'retired' AND changed_at < now() - $1 * interval '1 second' RETURNING physical_name
            """, [.int(age.components.seconds)]
        ).compactMap { $0.text(0) }
    }

    /// Versions that were given up that long ago: whoever read them then has finished.
    package func versionsToRemove(discardedBefore age: Duration) async throws -> [String] {
        try await pool.query(
            """
            SELECT physical_name FROM vector_collection_versions
            WHERE state = 'removing' AND changed_at < now() - $1 * interval '1 second' ORDER BY physical_name
            """, [.int(age.components.seconds)]
        ).compactMap { $0.text(0) }
    }

    /// When nothing of it is in the store any more. The collection goes with its last version.
    package func removeVersion(physicalName: String) async throws {
        try await pool.transaction { transaction in
            let found = try await transaction.query(
                """
                SELECT id FROM vector_collections WHERE id = (
                    SELECT collection_id FROM vector_collection_versions WHERE physical_name = $1) FOR UPDATE
                """, [.text(physicalName)])
            guard let id = found.first?.text(0) else { return }
            _ = try await transaction.query(
                "DELETE FROM vector_collection_versions WHERE physical_name = $1 AND state = 'removing'",
                [.text(physicalName)])
            _ = try await transaction.query(
                """
                DELETE FROM vector_collections c
                WHERE id = $1 AND NOT EXISTS (SELECT FROM vector_collection_versions v WHERE v.collection_id = c.id)
                """, [.uuid(id)])
        }
    }

    // MARK: - Parts

    private static func noRebuild(_ collection: VectorCollection) -> DatasourcesError {
        .wrongVersions(
            reason: "no version of \(collection.name) is being built: version \(collection.active.number) is active")
    }

    /// Runs `body` alone with the versions of a collection.
    private func changing<R: Sendable>(
        _ name: String, _ body: (VectorCollection, PostgresTransaction) async throws -> R
    ) async throws -> R {
        try await pool.transaction { transaction in
            _ = try await transaction.query(
                "SELECT id FROM vector_collections WHERE name = $1 FOR UPDATE", [.text(name)])
            return try await body(collection(named: name, transaction), transaction)
        }
    }

    private func collection(named name: String, _ transaction: PostgresTransaction) async throws -> VectorCollection {
        guard let found = try await collections(where: "c.name = $1", [.text(name)], on: transaction).first else {
            throw DatasourcesError.wrongVersions(reason: "no collection is called \(name)")
        }
        return found
    }

    private func setState(
        _ state: VectorCollection.Version.State, of version: VectorCollection.Version,
        _ transaction: PostgresTransaction
    ) async throws {
        _ = try await transaction.query(
            """
            UPDATE vector_collection_versions SET state = $2, changed_at = now(), switch_when_ready = false
            WHERE physical_name = $1
            """, [.text(version.physicalName), .text(state.rawValue)])
    }

    private func exchange(
        _ collection: VectorCollection, for next: VectorCollection.Version,
        leaving state: VectorCollection.Version.State, _ transaction: PostgresTransaction
    ) async throws {
        let old = collection.active
        try await setState(state, of: old, transaction)
        try await setState(.active, of: next, transaction)
        let kept = try await adoptSettings(of: next, in: collection.name, transaction)
        for (version, templates) in [(old, kept), (next, [:])] {
            _ = try await transaction.query(
                "UPDATE vector_collection_versions SET templates = $2 WHERE physical_name = $1",
                [.text(version.physicalName), .text(Self.json(templates))])
        }
        _ = try await transaction.query(
            "UPDATE vector_collections SET updated_at = now() WHERE id = $1", [.uuid(collection.id)])
    }

    /// The datasources say from now on what the version that has become active is made with. Answers the templates that they had
    /// and have no longer.
    private func adoptSettings(
        of version: VectorCollection.Version, in name: String, _ transaction: PostgresTransaction
    ) async throws -> [String: String?] {
        var kept: [String: String?] = [:]
        for row in try await transaction.query(
            "SELECT id, embedding FROM datasources WHERE collection = $1 ORDER BY id FOR UPDATE", [.text(name)])
        {
            let id = row.text(0) ?? ""
            let before = Datasource.Embedding(try JSONReader.parse(row.bytes(1) ?? []).object ?? JSONObject())
            var embedding = before
            if let template = version.templates[id] {
                kept.updateValue(before.template, forKey: id)
                embedding.template = template
            }
            // One that sets nothing follows the collection anyway.
            if let space = version.space, before.provider != nil || before.model != nil || before.dimensions != nil {
                embedding.provider = space.provider
                embedding.model = space.model
                embedding.dimensions = space.dimensions
            }
            guard embedding != before else { continue }
            _ = try await transaction.query(
                "UPDATE datasources SET embedding = $2, updated_at = now() WHERE id = $1",
                [.uuid(id), .text(JSONValue.object(embedding.json).serialized)])
        }
        return kept
    }

    private static func json(_ templates: [String: String?]) -> String {
        let members = templates.sorted { $0.key < $1.key }.map { ($0.key, JSONValue($0.value)) }
        return JSONValue.object(JSONObject(members)).serialized
    }
}
