import Datasources
import HTTPServer
import ServiceClients
import ServiceRuntime
import SyncJobs
import WireProtocol

/// Another embedding model for a collection, without a gap: a new version is filled beside the one that is searched, switched to
/// when it is complete, and switched back from in one call. PostgreSQL says which version is searched; nothing else has to agree.
struct ModelChange: Sendable {
    let collections: CollectionService
    let datasources: DatasourceStore
    let jobs: SyncJobStore
    let starter: SyncStarter
    let embedder: EmbedderClient
    let indexer: IndexerClient
    let failpoints: Failpoints
    let log: Log

    // MARK: - What users ask for

    /// Begins a new version. The same request again finds the version that is being built.
    /// Throws: 400 where the embedder does not serve the space, 409 where another version is being built or nothing fills the
    /// collection.
    func rebuild(_ name: String, _ request: RebuildRequest, trace: TraceContext) async throws -> VectorCollection {
        let collection = try await collections.collection(named: name)
        let sources = try await sources(of: collection)
        guard let current = collection.active.space, !sources.isEmpty else {
            throw Problem.conflict("no datasource fills \(name): there is nothing that a rebuild could read")
        }
        let choice = SpaceChoice(providers: try await embedder.providers(trace: trace))
        let space = try choice.space(of: request.embedding, current: current)
        let templates = try templates(request.embedding, for: sources)
        if let building = collection.building, building.space == space, building.templates == templates {
            if request.switchesWhenReady != building.switchesWhenReady {
                try await collections.store.setSwitchesWhenReady(request.switchesWhenReady, of: name)
            }
        } else {
            if collection.building == nil { try await embedder.probe(space, trace: trace) }
            let version = try await collections.store.addVersion(
                of: name, vectorSize: space.dimensions, space: space, templates: templates,
                switchesWhenReady: request.switchesWhenReady)
            failpoints.reach("orchestrator.after-rebuild")
            if let previous = collection.previous { try await cancelJobs(in: previous) }
            log.with(trace).info(
                "rebuild.begun",
                ["collection": .string(version.physicalName), "space": .string(space.identifier)])
        }
        let rebuilding = try await collections.collection(named: name)
        try await keepInStep(rebuilding, trace: trace)
        return rebuilding
    }

    /// Of the version that is being built, or kept for a rollback.
    func progress(of collection: VectorCollection, _ version: VectorCollection.Version) async throws -> RebuildProgress
    {
        RebuildProgress(
            version, of: collection, datasources: try await sources(of: collection),
            standings: try await jobs.standings(in: [collection.active.physicalName, version.physicalName]))
    }

    /// Throws: 409 with what is `missing`.
    func switchOver(_ name: String) async throws -> VectorCollection {
        let collection = try await collections.collection(named: name)
        guard let building = collection.building else {
            throw Problem.conflict(
                "no version of \(name) is being built: version \(collection.active.number) is active")
        }
        let progress = try await progress(of: collection, building)
        guard progress.isReady else {
            throw Problem.conflict(
                "version \(building.number) of \(name) is not complete: \(progress.missing.joined(separator: "; "))",
                extra: ["missing": .array(progress.missing.map(JSONValue.string))])
        }
        if try await collections.isLost(building) {
            throw Problem.conflict(
                "the store does not have version \(building.number) of \(name) any more: sync its datasources again")
        }
        await collections.copyPayloadIndexes(
            from: collection.active.physicalName, to: building.physicalName)
        return try await exchange("collection.switched") {
            try await collections.store.switchVersion(of: name, to: building.number)
        }
    }

    func rollBack(_ name: String) async throws -> VectorCollection {
        let collection = try await collections.collection(named: name)
        if let previous = collection.previous, try await collections.isLost(previous) {
            throw Problem.conflict(
                "the store does not have version \(previous.number) of \(name) any more: rebuild the collection instead"
            )
        }
        return try await exchange("collection.rolled_back") { try await collections.store.rollBackVersion(of: name) }
    }

    /// Gives a version up: what fills it stops now, what it holds goes from the store a little later.
    func discard(_ state: VectorCollection.Version.State, of name: String) async throws {
        _ = try await collections.collection(named: name)
        let version = try await collections.store.discardVersion(in: state, of: name)
        log.info("version.discarded", ["collection": .string(version.physicalName)])
        try await cancelJobs(in: version)
    }

    private func cancelJobs(in version: VectorCollection.Version) async throws {
        try await jobs.cancelJobs(in: version.physicalName, reason: Self.discarded(version.physicalName))
    }

    private func exchange(
        _ event: StaticString, _ body: () async throws -> VectorCollection
    ) async throws -> VectorCollection {
        failpoints.reach("orchestrator.before-switch")
        let switched = try await body()
        failpoints.reach("orchestrator.after-switch")
        log.info(
            event,
            ["collection": .string(switched.name), "version": JSONValue(switched.active.number)])
        await collections.pointAlias(switched)
        failpoints.reach("orchestrator.after-alias")
        return switched
    }

    // MARK: - What the keeper of versions does

    /// Starts what a version beside the active one lacks: at its beginning, after a crash, and when a sync could not run beside the
    /// active version's because an older one was still under way. A sync that failed waits for somebody to look at it.
    func keepInStep(_ collection: VectorCollection, trace: TraceContext = TraceContext()) async throws {
        guard let version = collection.beside else { return }
        let progress = try await progress(of: collection, version)
        let sources = try await sources(of: collection)
        for source in progress.sources {
            guard let kind = source.nextSync, let datasource = sources.first(where: { $0.id == source.datasourceID })
            else { continue }
            var options = SyncOptions()
            if let followed = source.follows, let job = try await jobs.job(id: followed) { options = job.options }
            do {
                _ = try await starter.start(
                    datasource, into: version, of: collection, kind: kind, options: options, trace: trace)
            } catch SyncJobsError.alreadyActive {}  // somebody else was faster
        }
    }

    /// Throws: what the switch throws; 409 is a reason to wait.
    func switchIfReady(_ collection: VectorCollection) async throws {
        guard let building = collection.building, building.switchesWhenReady,
            try await progress(of: collection, building).isReady
        else { return }
        _ = try await switchOver(collection.name)
    }

    /// What was given up a while ago.
    func remove(physicalName: String) async throws {
        try await collections.remove(physicalName: physicalName, reason: Self.discarded(physicalName))
    }

    private static func discarded(_ physicalName: String) -> String { "the version \(physicalName) was given up" }

    // MARK: - Parts

    private func sources(of collection: VectorCollection) async throws -> [Datasource] {
        try await datasources.datasources(collection: collection.name, limit: 10_000).items
    }

    /// A template stands for the texts of every datasource of the collection.
    private func templates(_ wanted: Datasource.Embedding, for sources: [Datasource]) throws -> [String: String?] {
        guard let template = wanted.template else { return [:] }
        var errors: [FieldError] = []
        do {
            let fields = try TextTemplate(template).fields
            if fields.isEmpty {
                errors.append(FieldError(field: "embedding.template", message: "names no {{field}}"))
            }
            for source in sources {
                let mapped = Set(source.mapping.fields.map(\.name))
                for field in fields where !mapped.contains(field) {
                    errors.append(
                        FieldError(
                            field: "embedding.template",
                            message: "{{\(field)}} is not mapped in the datasource \(source.name)"))
                }
            }
        } catch {
            errors.append(FieldError(field: "embedding.template", message: error.reason))
        }
        guard errors.isEmpty else { throw Problem.badRequest("the template is not valid", errors: errors) }
        return Dictionary(sources.map { ($0.id, template) }, uniquingKeysWith: { $1 })
    }
}
