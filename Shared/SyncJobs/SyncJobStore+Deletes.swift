import Postgres
import WireProtocol

/// How much of a datasource a full sync has not seen.
package struct DeletionCheck: Sendable, Equatable {
    package var candidates: Int64
    /// Records of the datasource in this collection.
    package var records: Int64
    package init(candidates: Int64, records: Int64) {
        self.candidates = candidates
        self.records = records
    }
    package func exceeds(share: Double) -> Bool { Double(candidates) > Double(records) * share }
}

/// After an exhausted full sync, in this order:
///
/// 1. `deletionCheck`. Beyond the share and not allowed: a pass over `SyncCursor.survivors` without `absent`, then check again;
///    still beyond: `deletesPlanned(stoppedBy:)`, done.
/// 2. `open([SyncCursor(shard: SyncCursor.deletions)])`, then pages of `deletionCandidates(after: cursor)`, each read again by key
///    under a new read sequence and committed with its survivors as `records` and the rest as `absent`; the last one with `isLast`.
/// 3. `deletesPlanned`.
extension SyncJobStore {
    package func deletionCheck(_ job: SyncJob) async throws -> DeletionCheck {
        let row = try await pool.query(
            """
            SELECT count(*) FILTER (WHERE seen_seq < $3), count(*) FROM record_states
            WHERE collection_id = $1 AND datasource_id = $2 AND NOT gone
            """, [.text(job.collection), .uuid(job.datasourceID), .int(job.startSequence)])[0]
        return DeletionCheck(candidates: row.int(0) ?? 0, records: row.int(1) ?? 0)
    }

    /// Keys not seen since the job's start, in order of key.
    package func deletionCandidates(_ job: SyncJob, after: String?, limit: Int = 1000) async throws -> [String] {
        try await pool.query(
            """
            SELECT key FROM record_states
            WHERE collection_id = $1 AND datasource_id = $2 AND key > $4 COLLATE "C" AND NOT gone AND seen_seq < $3 ORDER BY key LIMIT $5
            """,
            [
                .text(job.collection), .uuid(job.datasourceID), .int(job.startSequence), .text(after ?? ""),
                .int(Int64(limit)),
            ]
        ).compactMap { $0.text(0) }
    }

    /// The records `key#0`, `key#1`, ... that rows with these keys were cut into, as far as they are not gone.
    package func chunkKeys(of keys: [String], _ job: SyncJob) async throws -> [String] {
        if keys.isEmpty { return [] }
        return try await pool.query(
            """
            SELECT r.key FROM unnest($3::text[]) AS base JOIN record_states r
                ON r.collection_id = $1 AND r.datasource_id = $2 AND NOT r.gone
                AND r.key > (base || '#') COLLATE "C" AND r.key < (base || '$') COLLATE "C"
            WHERE substr(r.key, length(base) + 2) ~ '^[0-9]+$'
            """, [.text(job.collection), .uuid(job.datasourceID), .textArray(keys)]
        ).compactMap { $0.text(0) }
    }

    /// The last step of a full sync's harvest. `stoppedBy`: nothing was deleted, the job completes and says why.
    package func deletesPlanned(_ job: SyncJob, stoppedBy check: DeletionCheck? = nil) async throws {
        let note = check.map {
            "\($0.candidates) of \($0.records) records have vanished from the source; not deleted without allowMassDelete"
        }
        let metadata = check.map { check -> JSONValue in
            [
                "massDelete": [
                    "candidates": .integer(check.candidates), "records": .integer(check.records), "stopped": true,
                ]
            ]
        }
        let rows = try await changing(job.id) {
            try await $0.query(
                """
                UPDATE sync_jobs SET deletes_planned = true, error_message = coalesce($3, error_message), metadata = metadata || $4
                WHERE id = $1 AND epoch = $2 AND status = 'running' RETURNING id
                """,
                [
                    .uuid(job.id), .int(Int64(job.epoch)), PostgresValue(note),
                    .json((metadata ?? .object(JSONObject())).serializedBytes),
                ])
        }
        if rows.isEmpty { throw SyncJobsError.replaced(jobID: job.id) }
        if let check {
            log.warning(
                "deletes.stopped",
                [
                    "job_id": .string(job.id), "candidates": .integer(check.candidates),
                    "records": .integer(check.records),
                ])
        }
    }
}
