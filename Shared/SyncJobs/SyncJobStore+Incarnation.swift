import Postgres
import WireProtocol

/// Whether the store is still the one that `record_states` tell of.
extension SyncJobStore {
    /// The id that the store had when its collection was first used; `nil` before.
    package func incarnation(of collection: String) async throws -> String? {
        try await pool.query("SELECT incarnation FROM store_incarnations WHERE collection_id = $1", [.text(collection)])
            .first?.text(0)
    }

    /// Remembers the store's id for a collection. When it is not the one known (a lost volume, a restored backup, a collection made anew),
    /// everything known about records there is dropped, and active jobs of the collection fail with that reason: what they had already
    /// stored is lost. True then.
    @discardableResult
    package func setIncarnation(_ incarnation: String, of collection: String) async throws -> Bool {
        let isKnown = try await pool.query(
            """
            INSERT INTO store_incarnations (collection_id, incarnation) VALUES ($1, $2)
            ON CONFLICT (collection_id) DO UPDATE SET incarnation = store_incarnations.incarnation RETURNING incarnation = $2
            """, [.text(collection), .text(incarnation)])[0].bool(0)
        if isKnown == true { return false }
        try await forget(collection, reason: "the store's collection \(collection) is not the one it was: sync again")
        _ = try await pool.query(
            "UPDATE store_incarnations SET incarnation = $2 WHERE collection_id = $1",
            [.text(collection), .text(incarnation)])
        return true
    }

    /// For a collection that is deleted: nothing is known about it any more, and its active jobs end.
    package func forgetCollection(physical collection: String) async throws {
        try await forget(collection, reason: "the collection \(collection) was deleted")
        _ = try await pool.query("DELETE FROM store_incarnations WHERE collection_id = $1", [.text(collection)])
    }

    /// For a datasource that is deleted with its points: its jobs are cancelled, its records forgotten.
    package func forgetDatasource(id: String) async throws {
        for row in try await pool.query(
            "SELECT id FROM sync_jobs WHERE datasource_id = $1 AND status IN ('pending', 'running')", [.uuid(id)])
        {
            do {
                try await cancel(id: row.text(0) ?? "", reason: "the datasource was deleted")
            } catch SyncJobsError.wrongStatus {}  // it has just ended by itself
        }
        _ = try await pool.query("DELETE FROM record_states WHERE datasource_id = $1", [.uuid(id)])
        _ = try await pool.query("DELETE FROM sync_watermarks WHERE datasource_id = $1", [.uuid(id)])
    }

    private func forget(_ collection: String, reason: String) async throws {
        for row in try await pool.query(
            "SELECT id FROM sync_jobs WHERE collection_id = $1 AND status IN ('pending', 'running')",
            [.text(collection)])
        {
            do {
                try await fail(id: row.text(0) ?? "", reason: reason)
            } catch SyncJobsError.wrongStatus {}  // it has just ended by itself
        }
        let dropped = try await pool.query("DELETE FROM record_states WHERE collection_id = $1", [.text(collection)])
            .affected
        _ = try await pool.query("DELETE FROM sync_watermarks WHERE collection_id = $1", [.text(collection)])
        log.warning(
            "collection.forgotten",
            ["collection": .string(collection), "records": JSONValue(dropped), "reason": .string(reason)])
    }
}
