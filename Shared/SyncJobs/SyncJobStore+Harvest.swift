import Postgres
import ServiceRuntime
import WireProtocol

/// The harvester's side.
extension SyncJobStore {
    /// Marks a pending job as running and gives where to go on. `nil`: the message is of another epoch or the job is over, drop it.
    package func begin(jobID: String, epoch: Int) async throws -> HarvestState? {
        let begun = try await pool.transaction { transaction in
            try await passGate(transaction, [jobID])
            let rows = try await transaction.query(
                "SELECT status FROM sync_jobs WHERE id = $1 AND epoch = $2 AND status IN ('pending', 'running') FOR NO KEY UPDATE",
                [.uuid(jobID), .int(Int64(epoch))])
            guard let status = rows.first?.text(0) else { return false }
            if status == "pending" {
                _ = try await transaction.query(
                    "UPDATE sync_jobs SET status = 'running', started_at = coalesce(started_at, now()), heartbeat_at = now() WHERE id = $1",
                    [.uuid(jobID)])
            }
            _ = try await transaction.query(
                "INSERT INTO sync_cursors (job_id, shard) SELECT $1, 0 WHERE NOT EXISTS (SELECT FROM sync_cursors WHERE job_id = $1)",
                [.uuid(jobID)])
            return true
        }
        guard begun, let job = try await job(id: jobID), job.epoch == epoch else { return nil }
        let watermark = try await pool.query(
            "SELECT watermark FROM sync_watermarks WHERE datasource_id = $1 AND collection_id = $2",
            [.uuid(job.datasourceID), .text(job.collection)])
        return HarvestState(
            job: job, cursors: try await cursors(jobID: jobID), previousWatermark: watermark.first?.text(0))
    }

    /// Ordered by shard.
    package func cursors(jobID: String) async throws -> [SyncCursor] {
        try await pool.query("SELECT * FROM sync_cursors WHERE job_id = $1 ORDER BY shard", [.uuid(jobID)]).map { row in
            SyncCursor(
                shard: Int(row.int("shard") ?? 0), lo: row.text("lo"), hi: row.text("hi"), after: row.text("after"),
                exhausted: row.bool("exhausted") ?? false)
        }
    }

    /// Adds parts of the source, before the first page (the part 0 that `begin` made takes its bounds), or the pass over deletion
    /// candidates. What is in use stays as it is.
    package func open(_ cursors: [SyncCursor], jobID: String, epoch: Int) async throws {
        let rows = try await pool.query(
            """
            WITH job AS (SELECT id FROM sync_jobs WHERE id = $1 AND epoch = $2 AND status = 'running'),
            added AS (
                INSERT INTO sync_cursors (job_id, shard, lo, hi, after, exhausted)
                SELECT job.id, n.shard, n.lo, n.hi, n.after, n.exhausted
                FROM job, unnest($3::int8[], $4::text[], $5::text[], $6::text[], $7::bool[]) AS n(shard, lo, hi, after, exhausted)
                ON CONFLICT (job_id, shard) DO UPDATE SET lo = excluded.lo, hi = excluded.hi
                WHERE sync_cursors.after IS NULL AND NOT sync_cursors.exhausted
                    AND sync_cursors.lo IS NULL AND sync_cursors.hi IS NULL)
            SELECT id FROM job
            """,
            [
                .uuid(jobID), .int(Int64(epoch)), .int8Array(cursors.map { Int64($0.shard) }),
                .textArray(cursors.map(\.lo)),
                .textArray(cursors.map(\.hi)), .textArray(cursors.map(\.after)), .boolArray(cursors.map(\.exhausted)),
            ])
        if rows.isEmpty { throw SyncJobsError.replaced(jobID: jobID) }
    }

    /// Records in the source, as far as it can tell beforehand.
    package func estimate(_ total: Int64, shard: Int = 0, jobID: String, epoch: Int) async throws {
        _ = try await touch(jobID, epoch, "estimate = $3, ", "AND shard = \(shard)", [.int(total)])
    }

    /// Fixes the bound up to which this job reads, in the source's own clock; it is kept as the next incremental sync's watermark when
    /// the job completes. Gives the bound that holds: after a restart, the first one.
    package func fixWatermark(_ bound: String, jobID: String, epoch: Int) async throws -> String {
        let rows = try await changing(jobID) {
            try await $0.query(
                """
                UPDATE sync_jobs SET watermark = coalesce(watermark, $3) WHERE id = $1 AND epoch = $2 AND status = 'running'
                RETURNING watermark
                """, [.uuid(jobID), .int(Int64(epoch)), .text(bound)])
        }
        guard let fixed = rows.first?.text(0) else { throw SyncJobsError.replaced(jobID: jobID) }
        return fixed
    }

    /// Draw it *before* each read of the source.
    package func nextReadSequence() async throws -> Int64 {
        try await pool.query("SELECT nextval('sync_read_sequence')")[0].int(0) ?? 0
    }

    /// Says that the harvester lives, while a page takes long. False: it has been replaced, stop.
    package func heartbeat(jobID: String, epoch: Int) async throws -> Bool { try await touch(jobID, epoch, "", "", []) }

    private func touch(
        _ jobID: String, _ epoch: Int, _ assignment: String, _ condition: String, _ values: [PostgresValue]
    ) async throws -> Bool {
        try await pool.query(
            """
            UPDATE sync_cursors SET \(assignment)touched_at = now() WHERE job_id = $1 \(condition)
                AND EXISTS (SELECT FROM sync_jobs WHERE id = $1 AND epoch = $2 AND status = 'running')
            """, [.uuid(jobID), .int(Int64(epoch))] + values
        ).affected > 0
    }

    // MARK: - The harvest transaction

    /// Records one read of the source: what is unchanged is marked as seen, everything else is planned as batches with their bodies.
    /// Throws: `replaced` when another harvester or epoch has taken over; nothing was written then.
    package func commit(_ page: RecordPage, of job: SyncJob) async throws -> CommittedPage {
        let draft = PageDraft(page)
        return try await pool.transaction { transaction in
            try await passGate(transaction, [job.id])
            try await advanceCursor(transaction, page, job)
            if job.options.dryRun { return try await count(transaction, draft, page, job) }

            let unchanged = job.options.force ? [] : try await markUnchanged(transaction, draft.records, page, job)
            let others = draft.records.indices.filter { !unchanged.contains($0) }.map { draft.records[$0] }
            let textHashes = try await markSeen(transaction, others.map(\.key) + draft.failedKeys, page, job)
            var planned = PagePlan(page, job)
            var result = CommittedPage(batches: [], unchanged: unchanged.count, failed: draft.failures.count)
            for record in others {
                guard let stored = textHashes[record.key] else {
                    result.superseded += 1
                    continue
                }
                let isPayloadOnly = !job.options.force && stored == record.textHash && !record.textHash.isEmpty
                planned.add(record, isPayloadOnly ? .payload : .upsert)
                if isPayloadOnly { result.payloadOnly += 1 } else { result.upserts += 1 }
            }
            let absent =
                draft.absent.isEmpty
                ? [] : try await markAbsent(transaction, draft.absent, planned.deleteSequence, page, job)
            for key in absent { planned.add(ProcessedRecord(key: key), .delete) }
            result.deletes = absent.count
            result.batches = try await insert(transaction, planned.batches, page, job, accounting: result)
            try await insertErrors(transaction, draft.failures, jobID: job.id)
            return result
        }
    }

    /// Step 1: the job as this worker knows it, and the cursor where it left it.
    private func advanceCursor(_ transaction: PostgresTransaction, _ page: RecordPage, _ job: SyncJob) async throws {
        let rows = try await transaction.query(
            """
            WITH job AS (SELECT id FROM sync_jobs WHERE id = $1 AND epoch = $2 AND status = 'running' FOR SHARE)
            UPDATE sync_cursors c SET after = $5, exhausted = $6, touched_at = now() FROM job
            WHERE c.job_id = job.id AND c.shard = $3 AND c.after IS NOT DISTINCT FROM $4 AND NOT c.exhausted
            RETURNING c.shard
            """,
            [
                .uuid(job.id), .int(Int64(job.epoch)), .int(Int64(page.shard)), PostgresValue(page.previous),
                PostgresValue(page.next),
                .bool(page.isLast),
            ])
        if rows.isEmpty { throw SyncJobsError.replaced(jobID: job.id) }
    }

    /// Step 2. Gives the positions of the records that the store has just so.
    private func markUnchanged(
        _ transaction: PostgresTransaction, _ records: [ProcessedRecord], _ page: RecordPage, _ job: SyncJob
    ) async throws -> Set<Int> {
        if records.isEmpty { return [] }
        let rows = try await transaction.query(
            """
            UPDATE record_states r SET seen_seq = $3
            FROM (SELECT $1::text AS collection, $2 AS datasource, * FROM unnest($4::text[], $5::bytea[]) WITH ORDINALITY OFFSET 0)
                AS n(collection, datasource, key, hash, position)
            WHERE r.collection_id = n.collection AND r.datasource_id = n.datasource AND r.key = n.key AND r.content_hash = n.hash
                AND r.seen_seq < $3
            RETURNING n.position
            """,
            [
                .text(job.collection), .uuid(job.datasourceID), .int(page.readSequence), .textArray(records.map(\.key)),
                .byteaArray(records.map(\.contentHash)),
            ], binary: true)
        return Set(rows.lazy.compactMap { $0.int(0).map { Int($0) - 1 } })
    }

    /// Step 3. Gives the text hash, or an empty one, of each record that no newer read has seen.
    private func markSeen(
        _ transaction: PostgresTransaction, _ keys: [String], _ page: RecordPage, _ job: SyncJob
    ) async throws -> [String: [UInt8]] {
        if keys.isEmpty { return [:] }
        let rows = try await transaction.query(
            """
            INSERT INTO record_states AS r (collection_id, datasource_id, key, seen_seq)
            SELECT $1, $2, key, $3 FROM unnest($4::text[]) AS key ORDER BY key COLLATE "C"
            ON CONFLICT (collection_id, datasource_id, key) DO UPDATE SET
                seen_seq = $3, gone = false, content_hash = NULL,
                text_hash = CASE WHEN r.content_hash IS NULL THEN NULL ELSE r.text_hash END
            WHERE r.seen_seq < $3
            RETURNING key, text_hash
            """, [.text(job.collection), .uuid(job.datasourceID), .int(page.readSequence), .textArray(keys)],
            binary: true)
        return Dictionary(
            rows.lazy.map { ($0.text(0) ?? "", $0.bytes(1) ?? []) }, uniquingKeysWith: { first, _ in first })
    }

    /// Planning a delete: an older upsert must not bring the record back. What a newer read has seen stays.
    private func markAbsent(
        _ transaction: PostgresTransaction, _ keys: [String], _ sequence: Int64, _ page: RecordPage, _ job: SyncJob
    ) async throws -> [String] {
        try await transaction.query(
            """
            INSERT INTO record_states AS r (collection_id, datasource_id, key, seen_seq, applied_seq, gone)
            SELECT $1, $2, key, 0, $3, true FROM unnest($4::text[]) AS key ORDER BY key COLLATE "C"
            ON CONFLICT (collection_id, datasource_id, key) DO UPDATE SET
                content_hash = NULL, applied_seq = greatest(r.applied_seq, $3)
            WHERE r.seen_seq < $3
            RETURNING key
            """, [.text(job.collection), .uuid(job.datasourceID), .int(sequence), .textArray(keys)]
        ).compactMap { $0.text(0) }
    }

    /// Step 4, and one row that accounts for what needs no further work.
    private func insert(
        _ transaction: PostgresTransaction, _ batches: [PagePlan.Batch], _ page: RecordPage, _ job: SyncJob,
        accounting result: CommittedPage
    ) async throws -> [QueuedBatch] {
        let ids = try await batchIDs(transaction, batches.count + 1)
        let queued = try zip(ids, batches).map { id, batch in
            try batch.queued(id: id, job: job, traceparent: page.traceparent)
        }
        let none = Array(repeating: Int64(0), count: batches.count)
        let skipped = Int64(result.unchanged + result.superseded)
        let failed = Int64(result.failed)
        _ = try await transaction.query(
            """
            WITH bodies AS (
                INSERT INTO sync_batch_bodies (batch_id, body) SELECT * FROM unnest($9::int8[], $10::bytea[]))
            INSERT INTO sync_batches (id, job_id, read_seq, op, state, pushed_at, read, skipped, failed, read_ms, process_ms, retries)
            SELECT n.id, $1, n.seq, n.op, n.state, now(), n.read, n.skipped, n.failed, n.a * $11, n.a * $12, n.a * $13
            FROM unnest($2::int8[], $3::int8[], $4::text[], $5::text[], $6::int8[], $7::int8[], $8::int8[], $14::int8[])
                AS n(id, seq, op, state, read, skipped, failed, a)
            """,
            [
                .uuid(job.id), .int8Array(ids), .int8Array(batches.map(\.readSequence) + [page.readSequence]),
                .textArray(batches.map(\.operation.rawValue) + ["upsert"]),
                .textArray(batches.map { _ in "queued" } + ["done"]),
                .int8Array(batches.map { Int64($0.operation == .delete ? 0 : $0.records.count) } + [skipped + failed]),
                .int8Array(none + [skipped]), .int8Array(none + [failed]), .int8Array(Array(ids.dropLast())),
                .byteaArray(queued.map(\.body)), .int(Int64(page.readMilliseconds)),
                .int(Int64(page.processMilliseconds)),
                .int(Int64(page.retries)), .int8Array(none + [1]),
            ])
        return queued
    }

    func batchIDs(_ transaction: PostgresTransaction, _ count: Int) async throws -> [Int64] {
        if count == 0 { return [] }
        return try await transaction.query(
            "SELECT nextval('sync_batches_id_seq') FROM generate_series(1, $1::int8)", [.int(Int64(count))],
            binary: true
        ).compactMap { $0.int(0) }
    }

    /// `payload` of a record is kept as its data.
    func insertErrors(_ transaction: PostgresTransaction, _ records: [ProcessedRecord], jobID: String) async throws {
        if records.isEmpty { return }
        _ = try await transaction.query(
            """
            INSERT INTO sync_errors (job_id, record_identifier, error_type, error_message, record_data)
            SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
            """,
            [
                .uuid(jobID), .textArray(records.map { Self.storable($0.key) }),
                .textArray(records.map { Self.storable($0.failure?.type ?? "unknown") }),
                .textArray(records.map { Self.storable($0.failure?.message ?? "") }),
                .textArray(
                    records.map {
                        $0.payload.isEmpty ? nil : Self.storable(String(decoding: $0.payload, as: UTF8.self))
                    }),
            ])
    }

    /// A dry run: what would change and what that would cost, and nothing that changes it.
    private func count(
        _ transaction: PostgresTransaction, _ draft: PageDraft, _ page: RecordPage, _ job: SyncJob
    ) async throws -> CommittedPage {
        let rows = try await transaction.query(
            """
            SELECT n.position, r.content_hash = n.hash AS same
            FROM (SELECT $1::text AS collection, $2 AS datasource, *
                FROM unnest($3::text[], $4::bytea[], $5::bytea[]) WITH ORDINALITY OFFSET 0)
                AS n(collection, datasource, key, hash, text, position)
            JOIN record_states r ON r.collection_id = n.collection AND r.datasource_id = n.datasource AND r.key = n.key
            WHERE r.content_hash = n.hash OR (r.content_hash IS NOT NULL AND r.text_hash = n.text)
            """,
            [
                .text(job.collection), .uuid(job.datasourceID), .textArray(draft.records.map(\.key)),
                .byteaArray(draft.records.map(\.contentHash)), .byteaArray(draft.records.map(\.textHash)),
            ])
        var result = CommittedPage(batches: [], failed: draft.failures.count, deletes: draft.absent.count)
        var known = Set<Int>()
        for row in rows where !job.options.force {
            known.insert(Int(row.int(0) ?? 0) - 1)
            if row.bool(1) == true { result.unchanged += 1 } else { result.payloadOnly += 1 }
        }
        result.upserts = draft.records.count - result.unchanged - result.payloadOnly
        let tokens = draft.records.indices.filter { !known.contains($0) }.reduce(0) {
            $0 + Self.estimatedTokens(of: draft.records[$1].text)
        }
        _ = try await transaction.query(
            """
            INSERT INTO sync_batches (job_id, read_seq, op, state, read, ok, skipped, failed, read_ms, process_ms,
                embeddings_requested, tokens_billed)
            VALUES ($1, $2, 'upsert', 'done', $3 + $4 + $5, $3, $4, $5, $6, $7, $8, $9)
            """,
            [
                .uuid(job.id), .int(page.readSequence), .int(Int64(result.upserts + result.payloadOnly)),
                .int(Int64(result.unchanged)),
                .int(Int64(result.failed)), .int(Int64(page.readMilliseconds)), .int(Int64(page.processMilliseconds)),
                .int(Int64(result.upserts)), .int(Int64(tokens)),
            ])
        try await insertErrors(transaction, draft.failures, jobID: job.id)
        return result
    }

    /// Four bytes a token, as in English prose; other languages and codes have up to twice as many.
    private static func estimatedTokens(of text: String) -> Int { text.utf8.count / 4 + 1 }
}
