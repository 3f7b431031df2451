import Foundation
import Postgres
import ServiceRuntime
import WireProtocol

/// Sync jobs in PostgreSQL: the one truth about what was read, what is on its way and what the store holds.
///
/// Orchestrator, harvester and indexer each see their part: `+Lifecycle`, `+Supervision`, `+Harvest`, `+Deletes`, `+Apply`,
/// `+Incarnation`. The rules are DESIGN.md, section 4.
package struct SyncJobStore: Sendable {
    let pool: PostgresPool
    let log: Log

    package init(pool: PostgresPool, log: Log) {
        self.pool = pool
        self.log = log
    }

    // MARK: - Jobs

    /// A new pending job of epoch 1. Push `harvestMessage` of it.
    /// Throws: `alreadyActive` with the job that stands in the way.
    package func create(
        datasourceID: String, collection: String, space: EmbeddingSpace, type: SyncJob.Kind,
        options: SyncOptions = SyncOptions(), metadata: JSONObject = JSONObject()
    ) async throws -> SyncJob {
        try await unlessActive(datasourceID: datasourceID, collection: collection) {
            let id = try await pool.transaction { transaction in
                try await passGate(of: collection, transaction)
                return try await transaction.query(
                    """
                    INSERT INTO sync_jobs (datasource_id, collection_id, space, type, options, metadata)
                    VALUES ($1, $2, $3, $4, $5, $6) RETURNING id
                    """,
                    [
                        .uuid(datasourceID), .text(collection), .text(space.identifier), .text(type.rawValue),
                        .json([UInt8](try JSONEncoder().encode(options))),
                        .json(JSONValue.object(metadata).serializedBytes),
                    ])[0].text(0)
            }
            return try await existing(id ?? "")
        }
    }

    /// Makes a job active. Throws: `alreadyActive` with the one that stands in the way.
    func unlessActive<R>(datasourceID: String, collection: String, _ body: () async throws -> R) async throws -> R {
        var attempts = 0
        while true {
            do {
                return try await body()
            } catch let error as PostgresError where error.sqlState == "23505" {
                if let active = try await active(datasourceID: datasourceID, collection: collection) {
                    throw SyncJobsError.alreadyActive(active)
                }
                // It ended in between: try again.
                attempts += 1
                if attempts == 3 { throw error }
            }
        }
    }

    /// The full or incremental sync that runs or waits for this datasource and collection.
    package func active(datasourceID: String, collection: String) async throws -> SyncJob? {
        try await select(
            "WHERE datasource_id = $1 AND collection_id = $2 AND type <> 'webhook' AND status IN ('pending', 'running')",
            [.uuid(datasourceID), .text(collection)]
        ).first
    }

    /// The physical collections that a datasource has been synced into, as far back as jobs are kept.
    package func collections(filledBy datasourceID: String) async throws -> [String] {
        try await pool.query(
            """
            SELECT DISTINCT collection_id FROM sync_jobs
            WHERE datasource_id = $1 AND coalesce(options->>'dryRun', 'false') <> 'true' ORDER BY collection_id
            """, [.uuid(datasourceID)]
        ).compactMap { $0.text(0) }
    }

    package func job(id: String) async throws -> SyncJob? {
        guard UUID(uuidString: id) != nil else { return nil }
        return try await select("WHERE j.id = $1", [.uuid(id)]).first
    }

    /// Newest first.
    package func jobs(
        status: SyncJob.Status? = nil, type: SyncJob.Kind? = nil, datasourceID: String? = nil, limit: Int = 50,
        offset: Int = 0
    ) async throws -> (items: [SyncJob], total: Int) {
        var conditions: [String] = []
        var values: [PostgresValue] = []
        func add(_ column: String, _ value: PostgresValue) {
            values.append(value)
            conditions.append("\(column) = $\(values.count)")
        }
        if let status { add("status", .text(status.rawValue)) }
        if let type { add("type", .text(type.rawValue)) }
        if let datasourceID {
            guard UUID(uuidString: datasourceID) != nil else { return ([], 0) }
            add("datasource_id", .uuid(datasourceID))
        }
        let filter = conditions.isEmpty ? "" : "WHERE " + conditions.joined(separator: " AND ")
        let total = Int(try await pool.query("SELECT count(*) FROM sync_jobs \(filter)", values)[0].int(0) ?? 0)
        values += [.int(Int64(limit)), .int(Int64(offset))]
        let items = try await select(
            "\(filter) ORDER BY created_at DESC, j.id LIMIT $\(values.count - 1) OFFSET $\(values.count)", values)
        return (items, total)
    }

    /// Oldest first. `resolved` filters when given.
    package func errors(
        jobID: String, resolved: Bool? = nil, limit: Int = 50, offset: Int = 0
    ) async throws -> (items: [SyncError], total: Int) {
        guard UUID(uuidString: jobID) != nil else { return ([], 0) }
        let filter = resolved.map { " AND resolved = \($0)" } ?? ""
        let total = try await pool.query("SELECT count(*) FROM sync_errors WHERE job_id = $1\(filter)", [.uuid(jobID)])
        let rows = try await pool.query(
            """
            SELECT *, (extract(epoch FROM created_at) * 1000)::int8 AS created FROM sync_errors WHERE job_id = $1\(filter)
            ORDER BY created_at, id LIMIT $2 OFFSET $3
            """, [.uuid(jobID), .int(Int64(limit)), .int(Int64(offset))])
        return (rows.map(SyncError.init), Int(total[0].int(0) ?? 0))
    }

    /// The keys of a job's unresolved errors (of `ids`, when given), counted as tried once more. Make a webhook job with them as
    /// `options.codes` and the job as `options.retryOf`: what succeeds there is resolved when it completes.
    package func errorsToRetry(jobID: String, ids: [String]? = nil) async throws -> [String] {
        let rows = try await pool.query(
            """
            UPDATE sync_errors SET retry_count = retry_count + 1
            WHERE job_id = $1 AND NOT resolved AND record_identifier <> '' AND ($2 OR id = ANY($3::uuid[]))
            RETURNING record_identifier
            """, [.uuid(jobID), .bool(ids == nil), .uuidArray(ids ?? [])])
        return Array(Set(rows.compactMap { $0.text(0) })).sorted()
    }

    // MARK: - Rows

    func existing(_ id: String) async throws -> SyncJob {
        guard let job = try await job(id: id) else { throw SyncJobsError.unknownJob(id: id) }
        return job
    }

    /// Jobs at rest carry their counters; only active ones are summed.
    func select(_ clause: String, _ values: [PostgresValue], on transaction: PostgresTransaction? = nil) async throws
        -> [SyncJob]
    {
        func milliseconds(_ column: String) -> String { "(extract(epoch FROM \(column)) * 1000)::int8" }
        let sql = """
            SELECT j.id, datasource_id, collection_id, space, type, status, epoch, start_seq, deletes_planned, error_message,
                coalesce(p.total, total_records, 0) AS total, coalesce(p.read, j.ok + j.skipped + j.failed, 0) AS read,
                coalesce(p.ok, j.ok, 0) AS ok, coalesce(p.skipped, j.skipped, 0) AS skipped,
                coalesce(p.failed, j.failed, 0) AS failed, coalesce(p.deleted, j.deleted, 0) AS deleted,
                coalesce(p.open_batches, 0) AS open_batches,
                \(milliseconds("started_at")) AS started, \(milliseconds("completed_at")) AS completed,
                \(milliseconds("greatest(j.heartbeat_at, p.heartbeat, started_at)")) AS heartbeat,
                \(milliseconds("created_at")) AS created, options,
                CASE WHEN p.stats IS NULL THEN metadata ELSE metadata || jsonb_build_object('stats', \(Self.stats("p.stats", "p.read"))) END
                    AS metadata
            FROM sync_jobs j LEFT JOIN LATERAL (
                SELECT * FROM sync_job_progress(j.id) WHERE j.status IN ('pending', 'running')) p ON true
            \(clause)
            """
        let rows =
            if let transaction { try await transaction.query(sql, values) } else { try await pool.query(sql, values) }
        return try rows.map(SyncJob.init)
    }

    /// Adds how long the job has taken; `stats` has the stages.
    static func stats(_ stages: String, _ read: String) -> String {
        """
        jsonb_build_object('stages', \(stages), 'durationMs',
            (extract(epoch FROM coalesce(completed_at, now()) - coalesce(started_at, created_at)) * 1000)::int8,
            'recordsPerSecond', round(\(read) / greatest(
                extract(epoch FROM coalesce(completed_at, now()) - coalesce(started_at, created_at)), 0.001), 1))
        """
    }
}

extension SyncJob {
    init(_ row: PostgresRow) throws {
        func timestamp(_ column: String) -> Timestamp? { row.int(column).map(Timestamp.init(milliseconds:)) }
        func json<T: Decodable>(_ column: String, as: T.Type) throws -> T {
            try JSONDecoder().decode(T.self, from: Data(row.bytes(column) ?? []))
        }
        self.init(
            id: row.text("id") ?? "", datasourceID: row.text("datasource_id") ?? "",
            collection: row.text("collection_id") ?? "",
            space: row.text("space").flatMap(EmbeddingSpace.init(identifier:))
                ?? EmbeddingSpace(provider: "", model: "", dimensions: 1),
            type: row.text("type").flatMap(Kind.init) ?? .full,
            status: row.text("status").flatMap(Status.init) ?? .failed,
            epoch: Int(row.int("epoch") ?? 0), startSequence: row.int("start_seq") ?? 0,
            deletesPlanned: row.bool("deletes_planned") ?? false,
            totalRecords: row.int("total") ?? 0, read: row.int("read") ?? 0, ok: row.int("ok") ?? 0,
            skipped: row.int("skipped") ?? 0, failed: row.int("failed") ?? 0, deleted: row.int("deleted") ?? 0,
            openBatches: Int(row.int("open_batches") ?? 0), startedAt: timestamp("started"),
            completedAt: timestamp("completed"),
            heartbeatAt: timestamp("heartbeat"), createdAt: timestamp("created") ?? .now,
            errorMessage: row.text("error_message"),
            metadata: try json("metadata", as: JSONValue.self).object ?? JSONObject(),
            options: try json("options", as: SyncOptions.self))
    }

    /// What starts this job, or lets a harvester go on with it: push it on the list of harvests.
    package var harvestMessage: WorkMessage {
        WorkMessage(
            jobID: id, epoch: epoch, batchID: 0, kind: .harvest, traceparent: metadata["traceparent"]?.string,
            enqueuedAt: Timestamp.now.milliseconds)
    }
}

extension SyncError {
    init(_ row: PostgresRow) {
        self.init(
            id: row.text("id") ?? "", syncJobID: row.text("job_id") ?? "",
            recordIdentifier: row.text("record_identifier") ?? "",
            errorType: row.text("error_type") ?? "", errorMessage: row.text("error_message") ?? "",
            recordData: row.bytes("record_data"), retryCount: Int(row.int("retry_count") ?? 0),
            resolved: row.bool("resolved") ?? false, createdAt: Timestamp(milliseconds: row.int("created") ?? 0))
    }
}

extension Log {
    func with(_ job: SyncJob) -> Log {
        with(jobID: job.id, epoch: job.epoch, traceparent: job.metadata["traceparent"]?.string)
    }
}
