import Postgres
import WireProtocol

/// The indexer's side.
extension SyncJobStore {
    /// The index transaction: applies a claim of batches (of any jobs) to the store and records it, or neither.
    ///
    /// `write` gets the changes that still count, in the order in which they must take effect, and is called inside the transaction;
    /// it must be done, or cancelled, within `limit`. After a deadlock the whole runs again, so `write` must be repeatable.
    /// Throws: `storeTimedOut`, what `write` throws, `PostgresError`; nothing was recorded then and the batches must come again.
    package func apply(
        _ batches: [RecordBatch], within limit: Duration = .seconds(5),
        write: @escaping @Sendable ([RecordChange]) async throws -> StoreOutcome
    ) async throws -> Checkpoint {
        if batches.isEmpty { return Checkpoint() }
        return try await pool.transaction { transaction in
            var plan = ApplyPlan(batches)
            let jobs = Array(Set(batches.map(\.header.jobID)))
            try await passGate(transaction, jobs)
            plan.admit(
                epochs: try await transaction.query(
                    "SELECT id, epoch FROM sync_jobs WHERE id = ANY($1) AND status = 'running' ORDER BY id FOR SHARE",
                    [.uuidArray(jobs)]),
                open: try await transaction.query(
                    """
                    SELECT id, read FROM sync_batches WHERE id = ANY($1) AND state IN ('pending', 'queued') ORDER BY id FOR UPDATE
                    """, [.int8Array(batches.map(\.header.batchID))], binary: true))
            if plan.admitted.isEmpty { return plan.result }
            try await lockRecords(transaction, &plan)
            let changes = plan.decide()
            let started = ContinuousClock.now
            let outcome = changes.isEmpty ? StoreOutcome() : try await withLimit(limit) { try await write(changes) }
            plan.settle(outcome, took: ContinuousClock.now - started)
            try await record(transaction, plan, sequences: outcome.sequences)
            return try await replan(transaction, plan)
        }
    }

    private func lockRecords(_ transaction: PostgresTransaction, _ plan: inout ApplyPlan) async throws {
        let keys = plan.keys
        let rows = try await transaction.query(
            """
            SELECT n.position, r.seen_seq, r.applied_seq, r.gone
            FROM unnest($1::text[], $2::uuid[], $3::text[]) WITH ORDINALITY AS n(collection, datasource, key, position)
            JOIN record_states r ON r.collection_id = n.collection AND r.datasource_id = n.datasource AND r.key = n.key
            ORDER BY r.collection_id, r.datasource_id, r.key FOR UPDATE OF r
            """,
            [.textArray(keys.map(\.collection)), .uuidArray(keys.map(\.datasourceID)), .textArray(keys.map(\.key))],
            binary: true)
        for row in rows {
            guard let position = row.int(0) else { continue }
            plan.states[keys[Int(position) - 1]] = ApplyPlan.State(
                seen: row.int(1) ?? 0, applied: row.int(2) ?? 0, gone: row.bool(3) ?? false)
        }
    }

    private func record(
        _ transaction: PostgresTransaction, _ plan: ApplyPlan, sequences: [String: UInt64]
    ) async throws {
        let changed = plan.states.filter { $0.value.isChanged }
        if !changed.isEmpty {
            _ = try await transaction.query(
                """
                UPDATE record_states r SET applied_seq = n.applied, content_hash = n.content, text_hash = n.text, gone = n.gone
                FROM unnest($1::text[], $2::uuid[], $3::text[], $4::int8[], $5::bytea[], $6::bytea[], $7::bool[])
                    AS n(collection, datasource, key, applied, content, text, gone)
                WHERE r.collection_id = n.collection AND r.datasource_id = n.datasource AND r.key = n.key
                """,
                [
                    .textArray(changed.map(\.key.collection)), .uuidArray(changed.map(\.key.datasourceID)),
                    .textArray(changed.map(\.key.key)), .int8Array(changed.map(\.value.applied)),
                    .byteaArray(changed.map(\.value.contentHash)), .byteaArray(changed.map(\.value.textHash)),
                    .boolArray(changed.map(\.value.gone)),
                ])
        }
        let counts = plan.admitted.map { plan.counts[$0.header.batchID] ?? ApplyPlan.Counts() }
        let usage = plan.admitted.map { $0.header.usage ?? RecordBatch.EmbeddingUsage() }
        let milliseconds = Int64(plan.milliseconds / max(1, plan.admitted.count))
        _ = try await transaction.query(
            """
            WITH bodies AS (DELETE FROM sync_batch_bodies WHERE batch_id = ANY($1::int8[])),
            stores AS (
                UPDATE store_incarnations s SET sequence = n.sequence FROM unnest($11::text[], $12::int8[]) AS n(collection, sequence)
                WHERE s.collection_id = n.collection AND s.sequence < n.sequence)
            UPDATE sync_batches b SET state = 'done', changed_at = now(), read = n.ok + n.skipped + n.failed, ok = n.ok,
                skipped = n.skipped, failed = n.failed, deleted = n.deleted, index_ms = $6::int8, embeddings_requested = n.requested,
                embeddings_cached = n.cached, tokens_billed = n.tokens, cost = n.cost
            FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $7::int8[], $8::int8[], $9::int8[], $10::float8[])
                AS n(id, ok, skipped, failed, deleted, requested, cached, tokens, cost)
            WHERE b.id = n.id
            """,
            [
                .int8Array(plan.admitted.map(\.header.batchID)), .int8Array(counts.map { Int64($0.ok) }),
                .int8Array(counts.map { Int64($0.skipped) }), .int8Array(counts.map { Int64($0.failed) }),
                .int8Array(counts.map { Int64($0.deleted) }), .int(milliseconds),
                .int8Array(usage.map { Int64($0.requested) }),
                .int8Array(usage.map { Int64($0.cached) }), .int8Array(usage.map(\.billedTokens)),
                .doubleArray(usage.map(\.cost)), .textArray(Array(sequences.keys)),
                .int8Array(sequences.values.map { Int64(clamping: $0) }),
            ])
        for (job, records) in plan.failures { try await insertErrors(transaction, records, jobID: job) }
    }

    /// A payload change whose point is missing becomes an upsert.
    private func replan(_ transaction: PostgresTransaction, _ plan: ApplyPlan) async throws -> Checkpoint {
        var result = plan.result
        if plan.missing.isEmpty { return result }
        let ids = try await batchIDs(transaction, plan.missing.count)
        for (id, batch) in zip(ids, plan.missing) {
            var header = batch.header
            header.batchID = id
            header.operation = .upsert
            header.usage = nil
            result.replanned.append(
                QueuedBatch(
                    message: .reference(to: header, attempt: 1),
                    body: try RecordBatch(header: header, records: batch.records).encoded()))
        }
        try await insertChildren(
            transaction, result.replanned, parents: plan.missing.map(\.header.batchID),
            sequences: plan.missing.map(\.header.readSequence),
            reads: plan.missing.map(\.records.count), operations: plan.missing.map { _ in .upsert }, state: "queued")
        return result
    }

    /// Batches made of others, with their bodies.
    func insertChildren(
        _ transaction: PostgresTransaction, _ batches: [QueuedBatch], parents: [Int64], sequences: [Int64],
        reads: [Int],
        operations: [RecordBatch.Operation], state: String
    ) async throws {
        _ = try await transaction.query(
            """
            WITH bodies AS (INSERT INTO sync_batch_bodies (batch_id, body) SELECT * FROM unnest($1::int8[], $2::bytea[]))
            INSERT INTO sync_batches (id, job_id, parent_id, read_seq, op, state, pushed_at, read)
            SELECT id, job, parent, seq, op, $3, CASE WHEN $3 = 'queued' THEN now() END, read
            FROM unnest($1::int8[], $4::uuid[], $5::int8[], $6::int8[], $7::text[], $8::int8[]) AS n(id, job, parent, seq, op, read)
            """,
            [
                .int8Array(batches.map(\.message.batchID)), .byteaArray(batches.map(\.body)), .text(state),
                .uuidArray(batches.map(\.message.jobID)), .int8Array(parents), .int8Array(sequences),
                .textArray(operations.map(\.rawValue)), .int8Array(reads.map(Int64.init)),
            ])
    }
}

/// Throws: `storeTimedOut` when `body` takes longer; it is cancelled then, and waited for.
private func withLimit<R: Sendable>(_ limit: Duration, _ body: @escaping @Sendable () async throws -> R) async throws
    -> R
{
    try await withThrowingTaskGroup(of: R?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: limit)
            return nil
        }
        defer { group.cancelAll() }
        guard let result = try await group.next() ?? nil else { throw SyncJobsError.storeTimedOut(after: limit) }
        return result
    }
}
