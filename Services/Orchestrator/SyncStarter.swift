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
    let datasources: DatasourceStore
    let collections: CollectionService
    let embedder: EmbedderClient
    let queue: WorkQueue
    let failpoints: Failpoints
    let log: Log

    struct Started: Sendable {
        /// Into the version that is searched.
        var job: SyncJob
        /// Into the version that is kept in step with it, while there is one.
        var beside: [SyncJob] = []
    }

    /// A job for each version of the datasource's collection.
    /// Throws: `SyncJobsError.alreadyActive` where a full or incremental sync into the active version runs for this datasource.
    func start(
        _ datasource: Datasource, kind: SyncJob.Kind, options: SyncOptions, trace: TraceContext
    ) async throws -> Started {
        guard datasource.status != .paused || kind != .webhook else {
            throw Problem.conflict("the datasource \(datasource.name) is paused")
        }
        if kind == .incremental, datasource.mapping.updatedAt == nil {
            throw Problem.badRequest(
                field: "fieldMapping.updatedAt", "is not mapped: an incremental sync reads rows by it; start a full one"
            )
        }
        let collection = try await collections.ensure(for: datasource, rehearsal: options.dryRun) {
            let choice = SpaceChoice(providers: try await embedder.providers(trace: trace))
            let space = try choice.space(of: datasource.embedding)
            if !choice.isConfigured(space) { try await embedder.probe(space, trace: trace) }
            return space
        }
        var started = Started(
            job: try await start(
                datasource, into: collection.active, of: collection, kind: kind, options: options, trace: trace))
        if !options.dryRun { await collections.pointAlias(collection) }
        guard let version = collection.beside else { return started }
        do {
            let hasAll = try await jobs.hasCompletedFull(
                datasourceID: datasource.id, collection: version.physicalName)
            let job = try await start(
                datasource, into: version, of: collection, kind: kind == .incremental && !hasAll ? .full : kind,
                options: options, trace: trace)
            started.beside.append(job)
        } catch  where kind != .webhook {
            // The keeper of versions starts it as soon as it can: it sees that the active version is ahead.
            log.with(trace).info(
                "job.beside_later", ["collection": .string(version.physicalName), "reason": .string("\(error)")])
        }
        return started
    }

    /// A job into one version, in that version's space, whatever others do. A dry run needs nothing in the store.
    /// Throws: 409 where the version or the datasource was given up meanwhile.
    func start(
        _ datasource: Datasource, into version: VectorCollection.Version, of collection: VectorCollection,
        kind: SyncJob.Kind, options: SyncOptions, trace: TraceContext
    ) async throws -> SyncJob {
        guard let space = version.space else { throw DatasourcesError.corrupt("version \(version.physicalName)") }
        if !options.dryRun { try await collections.createInStore(version, distance: collection.distance) }
        var metadata: JSONObject = ["traceparent": .string(trace.traceparent)]
        if options.dryRun {
            metadata["prices"] = .array(try await embedder.providers(trace: trace).map(\.price))
        }
        let job = try await jobs.create(
            datasourceID: datasource.id, collection: version.physicalName, space: space, type: kind, options: options,
            metadata: metadata)
        failpoints.reach("orchestrator.after-create")
        try await withdraw(job, ifGone: datasource, version, of: collection)
        log.with(trace).info(
            "job.created",
            [
                "job_id": .string(job.id), "type": .string(kind.rawValue),
                "collection": .string(version.physicalName),
            ])
        do {
            try await queue.push([(job.harvestMessage, nil)], to: .harvest)
            failpoints.reach("orchestrator.after-push")
        } catch {
            // PostgreSQL has the job: the supervisor pushes it as soon as Redis answers.
            log.warning("job.push_failed", ["job_id": .string(job.id), "error": .string("\(error)")])
        }
        return job
    }

    /// Who deletes a datasource or a collection ends the jobs that he sees. One that was made behind his back ends here, before
    /// anybody works on it.
    private func withdraw(
        _ job: SyncJob, ifGone datasource: Datasource, _ version: VectorCollection.Version,
        of collection: VectorCollection
    ) async throws {
        var reason: String?
        if try await datasources.datasource(id: datasource.id) == nil {
            reason = "the datasource \(datasource.name) was deleted"
        } else if !job.options.dryRun, try await !collections.keeps(version, of: collection) {
            reason = "version \(version.number) of the collection \(collection.name) was given up"
        }
        guard let reason else { return }
        do {
            try await jobs.cancel(id: job.id, reason: reason)
        } catch SyncJobsError.wrongStatus {}  // who gave it up has seen it
        throw Problem.conflict("\(reason) meanwhile")
    }

    /// Reads records again into the collection they failed in; where that version is given up there is nothing to mend.
    func retry(_ failed: SyncJob, of datasource: Datasource, options: SyncOptions, trace: TraceContext) async throws
        -> SyncJob
    {
        guard datasource.status != .paused else {
            throw Problem.conflict("the datasource \(datasource.name) is paused")
        }
        guard let collection = try await collections.store.collection(physicalName: failed.collection),
            let version = collection.versions.first(where: { $0.physicalName == failed.collection }),
            version.state != .removing
        else {
            throw Problem.conflict(
                "the collection \(failed.collection) of job \(failed.id) is not kept any more: sync the datasource again"
            )
        }
        return try await start(
            datasource, into: version, of: collection, kind: .webhook, options: options, trace: trace)
    }

    /// Lets a job go on, or begin anew where its collection was lost: then that is made again first.
    func resume(id: String) async throws -> SyncJob {
        guard let job = try await jobs.job(id: id) else { throw SyncJobsError.unknownJob(id: id) }
        if !job.status.isActive, !job.options.dryRun {
            try await collections.restore(for: job)
            await collections.pointAliases([VectorCollection.parts(ofPhysical: job.collection).name])
        }
        let resumed = try await jobs.resume(id: id)
        await hint(resumed)
        return resumed
    }

    /// Lets workers of an older epoch stop.
    func hint(_ job: SyncJob) async { await queue.raiseEpoch(ofJob: job.id, to: job.epoch) }
}

extension EmbedderClient.Provider {
    /// As the estimate of a dry run reads it.
    fileprivate var price: JSONValue {
        [
            "provider": .string(name), "model": .string(space.model),
            "costPerMillionTokens": .number(costPerMillionTokens),
        ]
    }
}
