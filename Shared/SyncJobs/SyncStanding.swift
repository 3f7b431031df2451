import Postgres
import ServiceRuntime
import WireProtocol

/// How far a datasource has been brought into one physical collection.
package struct SyncStanding: Sendable, Equatable {
    package struct Job: Sendable, Equatable {
        package var id: String
        package var type: SyncJob.Kind
        package var status: SyncJob.Status
        package var startSequence: Int64
        /// Records; `nil` while the job is active.
        package var failed: Int64?

        package init(
            id: String, type: SyncJob.Kind, status: SyncJob.Status, startSequence: Int64, failed: Int64? = nil
        ) {
            self.id = id
            self.type = type
            self.status = status
            self.startSequence = startSequence
            self.failed = failed
        }
    }
    package var collection: String
    package var datasourceID: String
    /// When a full sync last completed.
    package var fullAt: Timestamp?
    /// Of the completed sync that began last; 0 before the first one.
    package var startSequence: Int64 = 0
    /// That sync.
    package var jobID: String?
    /// The newest full or incremental sync, whatever became of it; `nil` when there is none (any more).
    package var last: Job?

    package init(
        collection: String, datasourceID: String, fullAt: Timestamp? = nil, startSequence: Int64 = 0,
        jobID: String? = nil, last: Job? = nil
    ) {
        self.collection = collection
        self.datasourceID = datasourceID
        self.fullAt = fullAt
        self.startSequence = startSequence
        self.jobID = jobID
        self.last = last
    }
}

/// The change of a model: several physical collections of one name are kept in step.
extension SyncJobStore {
    /// What is known of every datasource that was ever synced into one of `collections`; webhooks and dry runs do not count.
    package func standings(in collections: [String]) async throws -> [SyncStanding] {
        let rows = try await pool.query(
            """
            WITH last AS (
                SELECT DISTINCT ON (collection_id, datasource_id) collection_id, datasource_id, id, type, status, start_seq, failed
                FROM sync_jobs WHERE collection_id = ANY($1) AND type <> 'webhook' AND coalesce(options->>'dryRun', 'false') <> 'true'
                ORDER BY collection_id, datasource_id, created_at DESC, id)
            SELECT coalesce(c.collection_id, l.collection_id) AS collection, coalesce(c.datasource_id, l.datasource_id) AS datasource,
                (extract(epoch FROM c.full_at) * 1000)::int8 AS full_at, c.start_seq, c.job_id, l.id AS last_id, l.type AS last_type,
                l.status AS last_status, l.start_seq AS last_seq, l.failed AS last_failed
            FROM (SELECT * FROM sync_completions WHERE collection_id = ANY($1)) c
            FULL JOIN last l ON l.collection_id = c.collection_id AND l.datasource_id = c.datasource_id
            """, [.textArray(collections)])
        return rows.map { row in
            var last: SyncStanding.Job?
            if let id = row.text("last_id") {
                last = SyncStanding.Job(
                    id: id, type: row.text("last_type").flatMap(SyncJob.Kind.init) ?? .full,
                    status: row.text("last_status").flatMap(SyncJob.Status.init) ?? .failed,
                    startSequence: row.int("last_seq") ?? 0, failed: row.int("last_failed"))
            }
            return SyncStanding(
                collection: row.text("collection") ?? "", datasourceID: row.text("datasource") ?? "",
                fullAt: row.int("full_at").map(Timestamp.init(milliseconds:)),
                startSequence: row.int("start_seq") ?? 0,
                jobID: row.text("job_id"), last: last)
        }
    }

    /// Whether a full sync of the datasource has completed there: before that an incremental one would leave gaps.
    package func hasCompletedFull(datasourceID: String, collection: String) async throws -> Bool {
        try await pool.query(
            "SELECT full_at IS NOT NULL FROM sync_completions WHERE collection_id = $1 AND datasource_id = $2",
            [.text(collection), .uuid(datasourceID)]
        ).first?.bool(0) ?? false
    }

    /// Ends whatever fills a physical collection.
    package func cancelJobs(in collection: String, reason: String) async throws {
        for row in try await pool.query(
            "SELECT id FROM sync_jobs WHERE collection_id = $1 AND status IN ('pending', 'running') ORDER BY id",
            [.text(collection)])
        {
            do {
                try await cancel(id: row.text(0) ?? "", reason: reason)
            } catch SyncJobsError.wrongStatus {}  // it has just ended by itself
        }
    }

    /// In the transaction that completes a job.
    func noteCompletion(of id: String, _ transaction: PostgresTransaction) async throws {
        _ = try await transaction.query(
            """
            INSERT INTO sync_completions AS c (collection_id, datasource_id, full_at, start_seq, job_id)
            SELECT collection_id, datasource_id, CASE WHEN type = 'full' THEN now() END, start_seq, id
            FROM sync_jobs WHERE id = $1 AND type <> 'webhook'
            ON CONFLICT (collection_id, datasource_id) DO UPDATE SET full_at = coalesce(excluded.full_at, c.full_at),
                start_seq = greatest(c.start_seq, excluded.start_seq),
                job_id = CASE WHEN excluded.start_seq > c.start_seq THEN excluded.job_id ELSE c.job_id END
            """, [.uuid(id)])
    }
}
