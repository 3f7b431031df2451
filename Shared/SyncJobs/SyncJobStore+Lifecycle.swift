import Postgres
import WireProtocol

/// Changes of a job's state. Each of them waits for the transactions that hold the job and lets no new one in, so that what is
/// shown as stopped has stopped.
extension SyncJobStore {
    /// Stops an active job: the epoch rises, so nothing of it has an effect any more.
    /// Throws: `wrongStatus` when it is not active.
    @discardableResult
    package func cancel(id: String, reason: String? = nil) async throws -> SyncJob {
        try await stop(id, .cancelled, epoch: nil, reason: reason ?? "cancelled")
    }

    /// Ends an active job with the reason. With an `epoch`: only if the job still has it.
    @discardableResult
    package func fail(id: String, epoch: Int? = nil, reason: String) async throws -> SyncJob {
        try await stop(id, .failed, epoch: epoch, reason: reason)
    }

    private func stop(_ id: String, _ status: SyncJob.Status, epoch: Int?, reason: String) async throws -> SyncJob {
        let stopped = try await changing(id) { try await stop(id, status, epoch: epoch, reason: reason, $0) }
        let job = try await existing(id)
        guard stopped else {
            throw epoch.map { $0 != job.epoch } == true
                ? SyncJobsError.replaced(jobID: id) : SyncJobsError.wrongStatus(id: id, status: job.status)
        }
        log.with(job).info(status == .failed ? "job.failed" : "job.cancelled", ["reason": .string(reason)])
        return job
    }

    /// False when it is not active in that epoch. The caller is alone with the job.
    func stop(
        _ id: String, _ status: SyncJob.Status, epoch: Int?, reason: String, _ transaction: PostgresTransaction
    ) async throws -> Bool {
        try await transaction.query(
            """
            UPDATE sync_jobs j SET status = $2, epoch = epoch + 1, error_message = $3, completed_at = now(), \(Self.frozen)
            FROM sync_job_progress($1) p
            WHERE j.id = $1 AND status IN ('pending', 'running') AND ($4::int8 IS NULL OR epoch = $4) RETURNING j.id
            """, [.uuid(id), .text(status.rawValue), .text(Self.storable(reason)), PostgresValue(epoch)]
        ).count == 1
    }

    /// Lets a failed or cancelled job go on after its last committed page; what was applied stays, what was read is not read again.
    /// When its collection was forgotten meanwhile it begins anew.
    /// With an `epoch` it also takes a running job over from workers that went silent. Push its `harvestMessage`; the batches come
    /// from `unpushed`.
    /// Throws: `wrongStatus`, `replaced` (another epoch), `alreadyActive` (another sync of the datasource runs).
    @discardableResult
    package func resume(id: String, epoch: Int? = nil) async throws -> SyncJob {
        let known = try await existing(id)
        let saved = try await unlessActive(datasourceID: known.datasourceID, collection: known.collection) {
            try await takeUp(id, epoch: epoch, in: known.collection)
        }
        let job = try await existing(id)
        guard let saved else {
            throw epoch.map { $0 != job.epoch } == true
                ? SyncJobsError.replaced(jobID: id) : SyncJobsError.wrongStatus(id: id, status: job.status)
        }
        log.with(job).info(
            "job.resumed",
            [
                "records_not_read_again": .integer(saved.int(0) ?? 0),
                "records_not_done_again": .integer(saved.int(1) ?? 0), "batches_waiting": .integer(saved.int(2) ?? 0),
            ])
        return job
    }

    /// What it had done so far; `nil` when it cannot be resumed.
    private func takeUp(_ id: String, epoch: Int?, in collection: String) async throws -> PostgresRow? {
        try await pool.transaction { transaction in
            // Before the job's lock: the order in which a collection is forgotten.
            try await passGate(of: collection, transaction)
            try await lock(job: id, transaction)
            let row = try await transaction.query(
                """
                UPDATE sync_jobs j SET status = CASE WHEN started_at IS NULL THEN 'pending' ELSE 'running' END,
                    epoch = epoch + 1, error_message = NULL, completed_at = NULL, total_records = NULL,
                    ok = NULL, skipped = NULL, failed = NULL, deleted = NULL, heartbeat_at = now(),
                    metadata = metadata || jsonb_build_object('resumes', coalesce(metadata->'resumes', '[]') || jsonb_build_object(
                        'epoch', epoch + 1, 'from', status, 'recordsRead', p.read, 'recordsDone', p.ok + p.skipped + p.failed,
                        'batchesWaiting', p.open_batches))
                FROM sync_job_progress($1) p
                WHERE j.id = $1 AND ($2::int8 IS NULL OR epoch = $2)
                    AND (status IN ('failed', 'cancelled') OR status = 'running' AND $2::int8 IS NOT NULL)
                RETURNING p.read, p.ok + p.skipped + p.failed, p.open_batches
                """, [.uuid(id), PostgresValue(epoch)]
            ).first
            if row != nil {
                try await beginAnewIfForgotten(id, transaction)
                _ = try await transaction.query(
                    "UPDATE sync_batches SET state = 'pending', pushed_at = NULL WHERE job_id = $1 AND state = 'queued'",
                    [.uuid(id)])
            }
            return row
        }
    }

    /// A started job without a cursor was forgotten with its collection.
    private func beginAnewIfForgotten(_ id: String, _ transaction: PostgresTransaction) async throws {
        let restarted = try await transaction.query(
            """
            UPDATE sync_jobs j SET start_seq = nextval('sync_read_sequence'), deletes_planned = false, watermark = NULL
            WHERE id = $1 AND started_at IS NOT NULL AND NOT EXISTS (SELECT FROM sync_cursors WHERE job_id = j.id AND shard >= 0)
            RETURNING id
            """, [.uuid(id)])
        if restarted.isEmpty { return }
        // They will be met again.
        _ = try await transaction.query("DELETE FROM sync_errors WHERE job_id = $1", [.uuid(id)])
        log.info("job.begins_anew", ["job_id": .string(id)])
    }

    /// Ends a job as completed if that is proven: everything read, deletes planned, no batch open, and the numbers reconcile.
    /// `nil` when it is not (yet).
    package func finish(_ id: String) async throws -> SyncJob? {
        let deleted = try await changing(id) { transaction -> Int64? in
            let row = try await transaction.query(
                """
                UPDATE sync_jobs j SET status = 'completed', completed_at = now(), \(Self.frozen)
                FROM sync_job_progress($1) p WHERE j.id = $1 AND \(Self.isProven) AND p.read = p.ok + p.skipped + p.failed
                RETURNING p.deleted, watermark, options->>'retryOf', options->>'dryRun' = 'true'
                """, [.uuid(id)]
            ).first
            guard let row else { return nil }
            if row.bool(3) == true { return 0 }
            try await noteCompletion(of: id, transaction)
            if row.text(1) != nil {
                _ = try await transaction.query(
                    """
                    INSERT INTO sync_watermarks SELECT datasource_id, collection_id, watermark, id FROM sync_jobs WHERE id = $1
                    ON CONFLICT (datasource_id, collection_id) DO UPDATE SET watermark = excluded.watermark, job_id = excluded.job_id
                    """, [.uuid(id)])
            }
            if let first = row.text(2) { try await resolve(errorsOf: first, retriedIn: id, transaction) }
            return row.int(0) ?? 0
        }
        guard let deleted else { return nil }
        let job = try await existing(id)
        if deleted > 0 { try await purgeTombstones(of: job) }
        log.with(job).info(
            "job.completed",
            [
                "ok": .integer(job.ok), "skipped": .integer(job.skipped),
                "failed": .integer(job.failed),
                "deleted": .integer(job.deleted),
            ])
        return job
    }

    /// Recomputes the status from the facts: completed if that is proven; a job whose numbers cannot reconcile any more fails.
    package func reconcile(id: String) async throws -> SyncJob {
        if let finished = try await finish(id) { return finished }
        let job = try await existing(id)
        let isWrong = try await pool.query(
            "SELECT 1 FROM sync_jobs j, sync_job_progress($1) p WHERE j.id = $1 AND \(Self.isProven) AND p.read <> p.ok + p.skipped + p.failed",
            [.uuid(id)])
        guard !isWrong.isEmpty else { return job }
        return try await fail(
            id: id, reason: "counters do not reconcile: read \(job.read), accounted for \(job.processed)")
    }

    private func resolve(errorsOf first: String, retriedIn id: String, _ transaction: PostgresTransaction) async throws
    {
        _ = try await transaction.query(
            """
            UPDATE sync_errors e SET resolved = true
            FROM sync_jobs j, jsonb_array_elements_text(j.options->'codes') code
            WHERE j.id = $1 AND e.job_id = $2 AND e.record_identifier = code
                AND NOT EXISTS (SELECT FROM sync_errors n WHERE n.job_id = $1 AND n.record_identifier = code)
            """, [.uuid(id), .uuid(first)])
    }

    /// A tombstone keeps older jobs, also those that may still be resumed with what they had planned, from bringing a record back;
    /// without them it is of no use.
    private func purgeTombstones(of job: SyncJob) async throws {
        _ = try await pool.query(
            """
            DELETE FROM record_states
            WHERE collection_id = $1 AND datasource_id = $2 AND gone AND greatest(applied_seq, seen_seq) < (
                SELECT coalesce(min(start_seq), (SELECT last_value + 1 FROM sync_read_sequence)) FROM sync_jobs j
                WHERE datasource_id = $2 AND collection_id = $1 AND (status IN ('pending', 'running') OR EXISTS (
                    SELECT FROM sync_batches WHERE job_id = j.id AND state IN ('pending', 'queued'))))
            """, [.text(job.collection), .uuid(job.datasourceID)])
    }

    // MARK: - Parts

    /// The counters as they are now, kept with the job.
    static let frozen = """
        total_records = p.total, ok = p.ok, skipped = p.skipped, failed = p.failed, deleted = p.deleted, heartbeat_at = p.heartbeat,
        metadata = metadata || jsonb_build_object('stats', \(stats("p.stats", "p.read")))
        """

    static let isProven = """
        status = 'running' AND p.open_batches = 0 AND (type <> 'full' OR deletes_planned OR options->>'dryRun' = 'true')
        AND EXISTS (SELECT FROM sync_cursors WHERE job_id = j.id AND shard >= 0)
        AND NOT EXISTS (SELECT FROM sync_cursors WHERE job_id = j.id AND NOT exhausted)
        """

    /// Runs `body` alone with the job.
    func changing<R: Sendable>(_ id: String, _ body: (PostgresTransaction) async throws -> R) async throws -> R {
        try await pool.transaction { transaction in
            try await lock(job: id, transaction)
            return try await body(transaction)
        }
    }
    func lock(job id: String, _ transaction: PostgresTransaction) async throws {
        _ = try await transaction.query(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 7))", [.text(id.lowercased())])
    }

    /// Before the shared lock on the job rows: a queue that is fair to whoever wants to change a job, which row locks are not (a
    /// steady stream of sharers can keep a cancel waiting for ever).
    ///
    /// It also keeps the planner to the primary keys for the rest of the transaction: a plan made while a table was empty, or not yet
    /// analysed, reads all of it for each page (measured: 2,000 rows/s). For the same reason the statements bring collection and
    /// datasource along with each key, behind OFFSET 0: otherwise those two alone look selective enough.
    func passGate(_ transaction: PostgresTransaction, _ jobs: [String]) async throws {
        _ = try await transaction.query(
            """
            SELECT pg_advisory_xact_lock_shared(hashtextextended(id, 7)), set_config('enable_seqscan', 'off', true),
                set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
            FROM unnest($1::text[]) AS id
            """, [.textArray(jobs.map { $0.lowercased() }.sorted())])
    }

    /// PostgreSQL has no zero byte in a text.
    static func storable(_ text: String) -> String {
        text.utf8.contains(0) ? text.replacing("\0", with: "\u{FFFD}") : text
    }
}
