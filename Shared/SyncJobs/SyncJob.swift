import ServiceRuntime
import WireProtocol

/// One run of a datasource into one physical collection.
package struct SyncJob: Sendable, Equatable {
    package enum Kind: String, Codable, Sendable, CaseIterable { case full, incremental, webhook }

    /// `pending -> running -> completed | failed | cancelled`; failed and cancelled jobs may be resumed.
    package enum Status: String, Codable, Sendable, CaseIterable {
        case pending, running, completed, failed, cancelled
        package var isActive: Bool { self == .pending || self == .running }
    }

    package var id: String
    package var datasourceID: String
    /// The physical collection in the store.
    package var collection: String
    package var space: EmbeddingSpace
    package var type: Kind
    package var status: Status
    /// What is older has no effect any more.
    package var epoch: Int
    /// A record not seen since has vanished from the source (full sync).
    package var startSequence: Int64
    package var deletesPlanned: Bool

    /// An estimate until the source is exhausted, then what was read.
    package var totalRecords: Int64
    package var read: Int64
    package var ok: Int64
    package var skipped: Int64
    package var failed: Int64
    package var deleted: Int64
    package var processed: Int64 { ok + skipped + failed }
    /// Batches neither done, dead nor split.
    package var openBatches: Int

    package var startedAt: Timestamp?
    package var completedAt: Timestamp?
    /// The last thing that moved: a page read, a batch applied.
    package var heartbeatAt: Timestamp?
    package var createdAt: Timestamp
    package var errorMessage: String?
    /// `stats`, `resumes`, `massDelete`; what the creator put in.
    package var metadata: JSONObject
    package var options: SyncOptions
}

/// What a caller may choose for one run.
package struct SyncOptions: Codable, Sendable, Equatable {
    /// Records in a batch, 1 to 1000.
    package var batchSize = 50
    /// Embed even what has not changed.
    package var force = false
    /// Count only: record states, batches and the store stay as they are.
    package var dryRun = false
    /// Delete what vanished, whatever its share.
    package var allowMassDelete = false
    /// The keys that a webhook, or a retry of errors, asks for.
    package var codes: [String]?
    /// The job whose errors this one tries again: what succeeds is marked as resolved there.
    package var retryOf: String?

    package init(
        batchSize: Int = 50, force: Bool = false, dryRun: Bool = false, allowMassDelete: Bool = false,
        codes: [String]? = nil, retryOf: String? = nil
    ) {
        self.batchSize = min(1000, max(1, batchSize))
        self.force = force
        self.dryRun = dryRun
        self.allowMassDelete = allowMassDelete
        self.codes = codes
        self.retryOf = retryOf
    }
}

/// Why one record failed in one job.
package struct SyncError: Sendable, Equatable {
    package var id: String
    package var syncJobID: String
    package var recordIdentifier: String
    package var errorType: String
    package var errorMessage: String
    /// JSON.
    package var recordData: [UInt8]?
    package var retryCount: Int
    package var resolved: Bool
    package var createdAt: Timestamp
}

package enum SyncJobsError: Error, Equatable, CustomStringConvertible {
    /// One full or incremental sync of a datasource into a collection at a time.
    case alreadyActive(SyncJob)
    case unknownJob(id: String)
    /// The job is not in a state from which this can be done.
    case wrongStatus(id: String, status: SyncJob.Status)
    /// Another worker, or another epoch, has taken over: stop, nothing was written.
    case replaced(jobID: String)
    /// The store did not answer within its limit: nothing was recorded, the batches come again.
    case storeTimedOut(after: Duration)

    package var description: String {
        switch self {
        case .alreadyActive(let job): "job \(job.id) is \(job.status.rawValue) for this datasource"
        case .unknownJob(let id): "there is no job \(id)"
        case .wrongStatus(let id, let status): "job \(id) is \(status.rawValue)"
        case .replaced(let jobID): "job \(jobID) has another worker or another epoch"
        case .storeTimedOut(let limit): "the store did not answer within \(limit)"
        }
    }
}
