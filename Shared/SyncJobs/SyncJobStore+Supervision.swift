import Postgres
import ServiceRuntime
import WireProtocol

/// What became of a delivery that its consumer lost.
package enum LostDelivery: Sendable, Equatable {
    /// Counted; the reference was given back and will be tried again.
    case counted(attempts: Int)
    /// Now single-record batches, which `unpushed` gives at once. Take the old reference off its list.
    case split(into: Int)
    /// The record that kills its consumers: a SyncError. Take the reference off its list.
    case dead
    /// Not open any more. Take the reference off its list.
    case finishedBefore
}

/// The supervisor's side (orchestrator).
extension SyncJobStore {
    /// Lost deliveries after which a batch is taken apart.
    package static let poisonLimit = 5

    /// Open batches of running jobs to push (again): those never pushed, and those pushed before `age` that are not in `listed`
    /// (`WorkQueue.queuedBatchIDs()`, asked *before* this call). Each body carries the job's present epoch. Then `markPushed`.
    package func unpushed(olderThan age: Duration, notIn listed: Set<Int64>, limit: Int = 500) async throws
        -> [QueuedBatch]
    {
        let waiting = try await pool.query(
            """
            SELECT b.id FROM sync_jobs j JOIN sync_batches b ON b.job_id = j.id
            WHERE j.status = 'running' AND b.state IN ('pending', 'queued')
                AND (b.state = 'pending' OR b.pushed_at < now() - $1 * interval '1 millisecond')
            ORDER BY b.id LIMIT $2
            """, [.int(age.milliseconds), .int(Int64(limit + listed.count))], binary: true)
        let ids = waiting.compactMap { $0.int(0) }.filter { !listed.contains($0) }.prefix(limit)
        if ids.isEmpty { return [] }
        let rows = try await pool.query(
            """
            SELECT b.id, j.epoch, b.attempts, y.body, b.op, b.read FROM sync_batches b JOIN sync_jobs j ON j.id = b.job_id
            LEFT JOIN sync_batch_bodies y ON y.batch_id = b.id
            WHERE b.id = ANY($1) AND b.state IN ('pending', 'queued') AND j.status = 'running' ORDER BY b.id
            """, [.int8Array(Array(ids))], binary: true)
        var batches: [QueuedBatch] = []
        for row in rows {
            guard let id = row.int(0) else { continue }
            do {
                guard let stored = row.bytes(3) else { throw RecordBatch.FormatError.truncated(at: 0) }
                let (header, body) = try RecordBatch.stored(stored, epoch: Int(row.int(1) ?? 0))
                batches.append(
                    QueuedBatch(message: .reference(to: header, attempt: Int(row.int(2) ?? 0) + 1), body: body))
            } catch {
                log.error("batch.unreadable", ["batch_id": .integer(id), "error": .string("\(error)")])
                try await pool.transaction { try await bury($0, id, [], type: "batch_unreadable", message: "\(error)") }
            }
        }
        return batches
    }

    package func markPushed(_ ids: [Int64]) async throws {
        _ = try await pool.query(
            "UPDATE sync_batches SET state = 'queued', pushed_at = now() WHERE id = ANY($1) AND state IN ('pending', 'queued')",
            [.int8Array(ids)])
    }

    /// Call it for each delivery that the reaper took from a dead consumer, and for nothing else.
    package func countLostDelivery(_ batchID: Int64) async throws -> LostDelivery {
        try await pool.transaction { transaction in
            let rows = try await transaction.query(
                """
                UPDATE sync_batches b SET attempts = attempts + 1 FROM sync_jobs j
                WHERE b.id = $1 AND b.state IN ('pending', 'queued') AND j.id = b.job_id
                RETURNING b.attempts, b.job_id, b.read_seq, b.op, j.epoch, (SELECT body FROM sync_batch_bodies WHERE batch_id = b.id)
                """, [.int(batchID)], binary: true)
            guard let row = rows.first, let attempts = row.int(0) else { return .finishedBefore }
            if attempts < Self.poisonLimit { return .counted(attempts: Int(attempts)) }
            let batch: RecordBatch
            do {
                let stored = try RecordBatch.stored(row.bytes(5) ?? [], epoch: Int(row.int(4) ?? 0))
                batch = try RecordBatch(decoding: stored.body)
            } catch {
                try await bury(transaction, batchID, [], type: "batch_unreadable", message: "\(error)")
                return .dead
            }
            guard batch.records.count > 1 else {
                try await bury(
                    transaction, batchID, batch.records, type: "poison_record",
                    message: "\(attempts) consumers ended while they held this record")
                return .dead
            }
            try await split(transaction, batch)
            return .split(into: batch.records.count)
        }
    }

    private func split(_ transaction: PostgresTransaction, _ batch: RecordBatch) async throws {
        let ids = try await batchIDs(transaction, batch.records.count)
        let children = try zip(ids, batch.records).map { id, record in
            var header = batch.header
            header.batchID = id
            return QueuedBatch(
                message: .reference(to: header, attempt: 1),
                body: try RecordBatch(header: header, records: [record]).encoded())
        }
        let one = batch.header.operation == .delete ? 0 : 1
        try await insertChildren(
            transaction, children, parents: ids.map { _ in batch.header.batchID },
            sequences: ids.map { _ in batch.header.readSequence },
            reads: ids.map { _ in one }, operations: ids.map { _ in batch.header.operation }, state: "pending")
        _ = try await transaction.query(
            """
            WITH bodies AS (DELETE FROM sync_batch_bodies WHERE batch_id = $1)
            UPDATE sync_batches SET state = 'split', read = 0, changed_at = now() WHERE id = $1
            """, [.int(batch.header.batchID)])
        log.warning(
            "batch.split",
            [
                "batch_id": .integer(batch.header.batchID), "job_id": .string(batch.header.jobID),
                "records": JSONValue(ids.count),
            ])
    }

    /// Gives a batch up: its records have failed.
    private func bury(
        _ transaction: PostgresTransaction, _ id: Int64, _ records: [ProcessedRecord], type: String, message: String
    ) async throws {
        let rows = try await transaction.query(
            """
            WITH bodies AS (DELETE FROM sync_batch_bodies WHERE batch_id = $1)
            UPDATE sync_batches SET state = 'dead', changed_at = now(), read = greatest(read, 1), failed = greatest(read, 1),
                ok = 0, skipped = 0 WHERE id = $1 AND state IN ('pending', 'queued') RETURNING job_id
            """, [.int(id)])
        guard let jobID = rows.first?.text(0) else { return }
        let failure = RecordFailure(type: type, message: message)
        let named = records.isEmpty ? [ProcessedRecord(key: "")] : records
        try await insertErrors(
            transaction,
            named.map { record in
                var record = record
                record.failure = failure
                return record
            }, jobID: jobID)
        log.error("batch.dead", ["batch_id": .integer(id), "job_id": .string(jobID), "type": .string(type)])
    }

    // MARK: - Jobs to look after

    /// The epochs of jobs that failed or were cancelled lately.
    package func endedEpochs(within period: Duration) async throws -> [String: Int] {
        let rows = try await pool.query(
            """
            SELECT id, epoch FROM sync_jobs
            WHERE status IN ('failed', 'cancelled') AND completed_at > now() - $1::int8 * interval '1 second'
            """, [.int(period.components.seconds)])
        return Dictionary(
            rows.map { ($0.text(0) ?? "", Int($0.int(1) ?? 0)) }, uniquingKeysWith: { first, _ in first })
    }

    /// Running jobs that are proven complete, or whose numbers cannot reconcile: `reconcile` each.
    package func finishable() async throws -> [String] {
        try await pool.query(
            """
            SELECT j.id FROM sync_jobs j
            WHERE status = 'running' AND NOT EXISTS (SELECT FROM sync_batches WHERE job_id = j.id AND state IN ('pending', 'queued'))
                AND (type <> 'full' OR deletes_planned OR options->>'dryRun' = 'true')
                AND EXISTS (SELECT FROM sync_cursors WHERE job_id = j.id AND shard >= 0)
                AND NOT EXISTS (SELECT FROM sync_cursors WHERE job_id = j.id AND NOT exhausted)
            """
        ).compactMap { $0.text(0) }
    }

    /// Active jobs whose source is not read to the end and whose harvester has been silent for `age`: push the message again unless it is
    /// on the list of harvests. (Two harvesters of one epoch do no harm: the cursor lets one go on.)
    package func jobsToHarvest(silentFor age: Duration) async throws -> [WorkMessage] {
        try await select(
            """
            WHERE j.status IN ('pending', 'running') AND (j.status = 'pending'
                OR NOT EXISTS (SELECT FROM sync_cursors WHERE job_id = j.id AND shard >= 0)
                OR EXISTS (SELECT FROM sync_cursors WHERE job_id = j.id AND NOT exhausted)
                OR (type = 'full' AND NOT deletes_planned AND coalesce(options->>'dryRun', 'false') <> 'true'))
                AND coalesce((SELECT max(touched_at) FROM sync_cursors WHERE job_id = j.id), j.started_at, j.created_at)
                    < now() - $1 * interval '1 millisecond'
            ORDER BY created_at
            """, [.int(age.milliseconds)]
        ).map(\.harvestMessage)
    }

    /// Running jobs without any progress for `age`: resume them under a new epoch (`resume(id:epoch:)`) or fail them.
    package func stalled(for age: Duration) async throws -> [SyncJob] {
        try await select(
            """
            WHERE j.status = 'running' AND coalesce(greatest(p.heartbeat, j.heartbeat_at, j.started_at), j.created_at)
                < now() - $1 * interval '1 millisecond'
            """, [.int(age.milliseconds)])
    }

    /// Removes jobs that ended before `age` ago, with all that belongs to them. Gives their number.
    @discardableResult
    package func removeJobs(endedBefore age: Duration) async throws -> Int {
        try await pool.transaction { transaction in
            let ids = try await transaction.query(
                """
                DELETE FROM sync_jobs WHERE id IN (SELECT id FROM sync_jobs
                    WHERE status NOT IN ('pending', 'running') AND completed_at < now() - $1 * interval '1 millisecond' LIMIT 100)
                RETURNING id
                """, [.int(age.milliseconds)]
            ).compactMap { $0.text(0) }
            for table in ["sync_errors", "sync_cursors"] {
                _ = try await transaction.query("DELETE FROM \(table) WHERE job_id = ANY($1)", [.uuidArray(ids)])
            }
            _ = try await transaction.query(
                """
                WITH gone AS (DELETE FROM sync_batches WHERE job_id = ANY($1) RETURNING id)
                DELETE FROM sync_batch_bodies WHERE batch_id IN (SELECT id FROM gone)
                """, [.uuidArray(ids)])
            return ids.count
        }
    }
}

extension Duration {
    var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
