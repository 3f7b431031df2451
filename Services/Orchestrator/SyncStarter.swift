import Datasources
import HTTPServer
import ServiceClients
import ServiceRuntime
import SyncJobs
import WireProtocol
import WorkQueue

/// Makes a sync job and sends it on its way: the collection is there, in the right space, before the job is.
struct SyncStarter: Sendable {
    let jobs: SyncJobStore
    let collections: CollectionService
    let embedder: EmbedderClient
    let queue: WorkQueue
    let failpoints: Failpoints
    let log: Log

    /// Throws: `SyncJobsError.alreadyActive` where a full or incremental sync runs for this datasource.
    func start(
        _ datasource: Datasource, kind: SyncJob.Kind, options: SyncOptions, trace: TraceContext
    ) async throws -> SyncJob {
        guard datasource.status != .paused || kind != .webhook else {
            throw Problem.conflict("the datasource \(datasource.name) is paused")
        }
        if kind == .incremental, datasource.mapping.updatedAt == nil {
            throw Problem.badRequest(
                field: "fieldMapping.updatedAt", "is not mapped: an incremental sync reads rows by it; start a full one"
            )
        }
        let space = datasource.space(default: try await embedder.defaultSpace(trace: trace))
        let version = try await collections.ensure(
            name: datasource.collection, space: space, datasourceID: datasource.id)
        let job = try await jobs.create(
            datasourceID: datasource.id, collection: version.physicalName, space: space, type: kind, options: options,
            metadata: ["traceparent": .string(trace.traceparent)])
        failpoints.reach("orchestrator.after-create")
        log.with(trace).info("job.created", ["job_id": .string(job.id), "type": .string(kind.rawValue)])
        do {
            try await queue.push([(job.harvestMessage, nil)], to: .harvest)
            failpoints.reach("orchestrator.after-push")
        } catch {
            // PostgreSQL has the job: the supervisor pushes it as soon as Redis answers.
            log.warning("job.push_failed", ["job_id": .string(job.id), "error": .string("\(error)")])
        }
        return job
    }

    /// Lets a job go on, or begin anew where its collection was lost: then that is made again first.
    func resume(id: String) async throws -> SyncJob {
        guard let job = try await jobs.job(id: id) else { throw SyncJobsError.unknownJob(id: id) }
        if !job.status.isActive { try await collections.restore(physicalName: job.collection) }
        let resumed = try await jobs.resume(id: id)
        await hint(resumed)
        return resumed
    }

    /// Lets workers of an older epoch stop before they pay for more; PostgreSQL fences them anyway.
    func hint(_ job: SyncJob) async {
        do {
            try await queue.setEpoch(job: job.id, epoch: job.epoch)
        } catch {
            log.warning("job.hint_failed", ["job_id": .string(job.id), "error": .string("\(error)")])
        }
    }
}
