import Postgres
import WireProtocol

/// Whether the store is still the one that `record_states` tell of.
extension SyncJobStore {
    /// The id that the store had when its collection was first used; `nil` before.
    package func incarnation(of collection: String) async throws -> String? {
        try await pool.query("SELECT incarnation FROM store_incarnations WHERE collection_id = $1", [.text(collection)])
            .first?.text(0)
    }

    /// What is known of the store's collection; `nil` before it was first used.
    package func storeMark(of collection: String) async throws -> StoreMark? {
        try await pool.query(
            "SELECT incarnation, sequence FROM store_incarnations WHERE collection_id = $1", [.text(collection)]
        ).first.flatMap { StoreMark($0, at: 0) }
    }

    /// Every collection that was used.
    package func storeMarks() async throws -> [(collection: String, mark: StoreMark)] {
        let rows = try await pool.query(
            "SELECT collection_id, incarnation, sequence FROM store_incarnations ORDER BY collection_id")
        return rows.compactMap { row in
            row.text(0).flatMap { collection in StoreMark(row, at: 1).map { (collection, $0) } }
        }
    }

    /// Compares what the store has now with what was `known` before one looked there. A collection that is not the one known (a
    /// lost volume, one made anew) or is behind it (a restored backup) makes everything known about records there dropped, and
    /// active jobs of the collection fail with that reason: what they had already stored is lost. True then.
    @discardableResult
    package func recognise(_ found: StoreMark, of collection: String, known: StoreMark?) async throws -> Bool {
        if let known, known.incarnation == found.incarnation, !found.isBehind(known) { return false }
        return try await alone(with: collection) { transaction in
            let now = try await mark(collection, transaction)
            if let now {
                var reason = "is not the one it was"
                if now.incarnation == found.incarnation {
                    // Somebody else may have dealt with it meanwhile; what was written meanwhile is in `now`, not in `found`.
                    guard let known, known.incarnation == found.incarnation, found.isBehind(known), !now.isBehind(known)
                    else { return false }
                    reason = "is an older copy (write \(found.sequence ?? 0) of \(now.sequence ?? 0))"
                }
                try await forget(
                    collection, reason: "the store's collection \(collection) \(reason): sync again", transaction)
            }
            _ = try await transaction.query(
                "INSERT INTO store_incarnations (collection_id, incarnation, sequence) VALUES ($1, $2, $3)",
                [.text(collection), .text(found.incarnation), .int(Int64(clamping: found.sequence ?? 0))])
            return now != nil
        }
    }

    /// For a collection that the store does not have (any more): nothing is known about it, and its active jobs end. With an
    /// `incarnation`: only while that is the one known.
    package func forgetCollection(physical collection: String, incarnation: String? = nil) async throws {
        try await alone(with: collection) { transaction in
            if let incarnation, try await mark(collection, transaction)?.incarnation != incarnation { return }
            try await forget(
                collection, reason: "the collection \(collection) is not in the store any more: sync again", transaction
            )
        }
    }

    /// For a datasource that is deleted: its jobs are cancelled, its records forgotten. Answers how many jobs there were.
    @discardableResult
    package func forgetDatasource(id: String) async throws -> Int {
        var cancelled = 0
        for row in try await pool.query(
            "SELECT id FROM sync_jobs WHERE datasource_id = $1 AND status IN ('pending', 'running')", [.uuid(id)])
        {
            do {
                try await cancel(id: row.text(0) ?? "", reason: "the datasource was deleted")
                cancelled += 1
            } catch SyncJobsError.wrongStatus {}  // it has just ended by itself
        }
        _ = try await pool.query("DELETE FROM record_states WHERE datasource_id = $1", [.uuid(id)])
        _ = try await pool.query("DELETE FROM sync_watermarks WHERE datasource_id = $1", [.uuid(id)])
        _ = try await pool.query("DELETE FROM sync_completions WHERE datasource_id = $1", [.uuid(id)])
        return cancelled
    }

    private func mark(_ collection: String, _ transaction: PostgresTransaction) async throws -> StoreMark? {
        try await transaction.query(
            "SELECT incarnation, sequence FROM store_incarnations WHERE collection_id = $1", [.text(collection)]
        ).first.flatMap { StoreMark($0, at: 0) }
    }

    /// All or nothing. A job that did not complete begins anew when it is resumed: what it had stored is lost.
    private func forget(_ collection: String, reason: String, _ transaction: PostgresTransaction) async throws {
        for row in try await transaction.query(
            "SELECT id FROM sync_jobs WHERE collection_id = $1 AND status IN ('pending', 'running') ORDER BY id",
            [.text(collection)])
        {
            let id = row.text(0) ?? ""
            try await lock(job: id, transaction)
            if try await stop(id, .failed, epoch: nil, reason: reason, transaction) {
                log.info("job.failed", ["job_id": .string(id), "reason": .string(reason)])
            }
        }
        _ = try await transaction.query(
            """
            WITH job AS (SELECT id FROM sync_jobs WHERE collection_id = $1 AND status IN ('failed', 'cancelled')),
            cursors AS (DELETE FROM sync_cursors WHERE job_id IN (SELECT id FROM job)),
            batches AS (DELETE FROM sync_batches WHERE job_id IN (SELECT id FROM job) RETURNING id)
            DELETE FROM sync_batch_bodies WHERE batch_id IN (SELECT id FROM batches)
            """, [.text(collection)])
        let dropped = try await transaction.query(
            "DELETE FROM record_states WHERE collection_id = $1", [.text(collection)]
        ).affected
        _ = try await transaction.query("DELETE FROM sync_watermarks WHERE collection_id = $1", [.text(collection)])
        _ = try await transaction.query("DELETE FROM sync_completions WHERE collection_id = $1", [.text(collection)])
        _ = try await transaction.query("DELETE FROM store_incarnations WHERE collection_id = $1", [.text(collection)])
        log.warning(
            "collection.forgotten",
            ["collection": .string(collection), "records": JSONValue(dropped), "reason": .string(reason)])
    }

    /// Runs `body` while no job of the collection is made or resumed.
    private func alone<R: Sendable>(with collection: String, _ body: (PostgresTransaction) async throws -> R)
        async throws -> R
    {
        try await pool.transaction { transaction in
            _ = try await transaction.query(
                "SELECT pg_advisory_xact_lock(hashtextextended($1, 8))", [.text(collection)])
            return try await body(transaction)
        }
    }

    /// What makes a job active takes part in this: it comes before everything of the collection is forgotten, or after.
    func passGate(of collection: String, _ transaction: PostgresTransaction) async throws {
        _ = try await transaction.query(
            "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 8))", [.text(collection)])
    }
}

extension StoreMark {
    fileprivate init?(_ row: PostgresRow, at column: Int) {
        guard let incarnation = row.text(column) else { return nil }
        self.init(incarnation: incarnation, sequence: row.int(column + 1).map { UInt64(clamping: $0) })
    }
}
