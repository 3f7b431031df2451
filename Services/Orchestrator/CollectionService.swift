import Datasources
import HTTPServer
import ServiceClients
import ServiceRuntime
import SyncJobs
import WireProtocol

/// Collections as users name them: their rows in PostgreSQL and what stands for them in the vector store.
struct CollectionService: Sendable {
    let store: VectorCollectionStore
    let indexer: IndexerClient
    let jobs: SyncJobStore
    let failpoints: Failpoints
    let log: Log

    /// The dense vector of every collection the suite fills.
    static let vectorName = "text"
    /// The sparse one: BM25 weights of its words (`Shared/Lexical`), the inverse document frequency by the store. Collections of the
    /// first release have none.
    static let wordsName = "lexical"

    /// The collection that a datasource fills, made where there is none; its active version has a space then. `chosen` is asked only
    /// where the collection has none yet. A `rehearsal` makes nothing: it answers the collection that a sync would make.
    /// Throws: a 409 problem when the collection holds vectors of another space: a mixture could not be searched.
    func ensure(
        for datasource: Datasource, rehearsal: Bool = false, chosen: () async throws -> EmbeddingSpace
    ) async throws -> VectorCollection {
        var collection: VectorCollection
        if let known = try await store.collection(name: datasource.collection) {
            collection = known
        } else {
            let space = try await chosen()
            if rehearsal { return VectorCollection(planned: datasource.collection, space) }
            collection = try await store.ensure(
                name: datasource.collection, vectorSize: space.dimensions, space: space, datasourceID: datasource.id)
        }
        if collection.active.space == nil {
            let space = try await chosen()
            guard space.dimensions == collection.active.vectorSize else {
                throw Problem.conflict(
                    "the collection \(collection.name) takes \(collection.active.vectorSize) dimensions, \(space.identifier) has others"
                )
            }
            if rehearsal { return collection.filled(with: space) }
            try await store.setSpace(
                physicalName: collection.active.physicalName, space, datasourceID: datasource.id)
            collection = try await self.collection(named: collection.name)
        }
        if let reason = collection.conflict(with: datasource.embedding) { throw Problem.conflict(reason) }
        return collection
    }

    /// Lets the collection's name in the store, an alias, mean its active version. The suite itself reads physical collections, and
    /// PostgreSQL says which: what fails here is for clients of the store alone, and done again later.
    func pointAlias(_ collection: VectorCollection) async { await pointAliases([collection.name]) }

    /// Looks once at the store's aliases and corrects those that mean something else.
    func pointAliases(_ names: [String]) async {
        if names.isEmpty { return }
        do {
            let aliases = try await indexer.aliases()
            for name in names {
                // Read now: somebody may have switched meanwhile.
                guard let collection = try await store.collection(name: name) else { continue }
                try await pointAlias(collection, from: aliases[name])
            }
        } catch {
            log.warning("collection.alias_not_set", ["error": .string("\(error)")])
        }
    }

    private func pointAlias(_ collection: VectorCollection, from current: String?) async throws {
        let active = collection.active.physicalName
        // A version of the first release has the bare name itself.
        let isTaken = collection.versions.contains { $0.physicalName == collection.name }
        if isTaken || current == active { return }
        do {
            try await indexer.setAlias(collection.name, to: active, isNew: current == nil)
            log.info("collection.alias_set", ["alias": .string(collection.name), "collection": .string(active)])
        } catch let error as ServiceClientError where error.status == 404 {
            // The store has lost it; the next sync makes it again.
        }
    }

    /// Idempotent: a collection that is there already stays as it is. Of one that has to be made nothing can be known: a store that
    /// was lost must not leave records behind that count as unchanged.
    func createInStore(_ version: VectorCollection.Version, distance: String, hnsw: JSONObject? = nil) async throws {
        let known = try await jobs.incarnation(of: version.physicalName)
        if try await indexer.exists(collection: version.physicalName) { return }
        if let known { try await jobs.forgetCollection(physical: version.physicalName, incarnation: known) }
        var body: JSONObject = [
            "vectors": [Self.vectorName: ["size": JSONValue(version.vectorSize), "distance": .string(distance)]],
            "sparse_vectors": [Self.wordsName: ["modifier": "idf"]],
        ]
        let active = try await activeVersion(beside: version)
        if let hnsw {
            body["hnsw_config"] = .object(hnsw)
        } else if let active {
            body["hnsw_config"] = try await hnswSettings(of: active).map(JSONValue.object)
        }
        try await indexer.createCollection(version.physicalName, body: .object(body))
        if let active { await copyPayloadIndexes(from: active, to: version.physicalName) }
        log.info(
            "collection.created", ["collection": .string(version.physicalName), "size": JSONValue(version.vectorSize)])
    }

    /// The physical collection that is searched while another version of it is made.
    private func activeVersion(beside version: VectorCollection.Version) async throws -> String? {
        if version.state == .active { return nil }
        return try await store.collection(physicalName: version.physicalName)?.active.physicalName
    }

    /// What `POST /api/collections` was given: for a real Qdrant. `nil` where the store does not have the collection.
    private func hnswSettings(of physicalName: String) async throws -> JSONObject? {
        do {
            let config = try await indexer.info(collection: physicalName)["config"]?["hnsw_config"]
            let members = ["m", "ef_construct"].compactMap { name in config?[name].map { (name, $0) } }
            return members.isEmpty ? nil : JSONObject(members)
        } catch let error as ServiceClientError where error.status == 404 {
            return nil
        }
    }

    /// Indexes that somebody made for filters go along to the next version. Without them searches are slower, not wrong.
    func copyPayloadIndexes(from source: String, to target: String) async {
        do {
            let wanted = try await indexer.info(collection: source)["payload_schema"]?.object ?? JSONObject()
            if wanted.isEmpty { return }
            let present = try await indexer.info(collection: target)["payload_schema"]?.object ?? JSONObject()
            for (field, index) in wanted.members where present[field] == nil {
                guard let schema = index["params"]?.nonNull ?? index["data_type"] else { continue }
                try await indexer.createPayloadIndex(collection: target, field: field, schema: schema)
            }
        } catch {
            log.warning(
                "collection.indexes_not_copied", ["collection": .string(target), "error": .string("\(error)")])
        }
    }

    /// Makes the collection of a job again where the store has lost it.
    /// Throws: a 409 problem when that version was given up, or is of another space by now.
    func restore(for job: SyncJob) async throws {
        guard let collection = try await store.collection(physicalName: job.collection),
            let version = collection.versions.first(where: { $0.physicalName == job.collection }),
            version.state != .removing, version.space == job.space
        else {
            throw Problem.conflict(
                "the collection \(job.collection) that job \(job.id) filled is not kept any more: start a new sync")
        }
        try await createInStore(version, distance: collection.distance)
    }

    /// Throws: a 404 problem that says which collections there are.
    func collection(named name: String) async throws -> VectorCollection {
        if DatasourceDraft.isCollectionName(name), let collection = try await store.collection(name: name) {
            return collection
        }
        throw try await unknown(name)
    }

    func unknown(_ name: String) async throws -> Problem {
        let names = try await store.collections().map(\.name)
        let known =
            names.isEmpty ? "there is none yet: sync a datasource first" : "there are: \(names.joined(separator: ", "))"
        return .notFound("no collection is called \(name.prefix(64)); \(known)")
    }

    /// With their numbers of points, as the store counts them now; from where it does not answer on with the last counts.
    func refreshed(_ collections: some Collection<VectorCollection>) async throws -> [VectorCollection] {
        var collections = Array(collections)
        for index in collections.indices {
            let (name, physical) = (collections[index].name, collections[index].active.physicalName)
            do {
                let total = try await indexer.count(collection: physical)
                collections[index].totalPoints = total
                try await store.setTotalPoints(name: name, total)
            } catch let error as ServiceClientError where error.status == 404 {
                collections[index].totalPoints = 0
            } catch let error as ServiceClientError {
                log.warning("collection.count_failed", ["collection": .string(name), "error": .string("\(error)")])
                break
            }
        }
        return collections
    }
    func refreshed(_ collection: VectorCollection) async throws -> VectorCollection {
        try await refreshed([collection])[0]
    }

    /// Notes that a sync into this physical collection has just completed, if it is one that is searched.
    func markSynced(physicalName: String) async throws {
        guard let collection = try await store.collection(physicalName: physicalName),
            collection.active.physicalName == physicalName
        else { return }
        try await store.markSynced(name: collection.name)
    }
}

extension VectorCollection {
    /// As the sync API answers it.
    var json: JSONObject {
        var object = JSONObject()
        object["id"] = .string(id)
        object["name"] = .string(name)
        object["vectorSize"] = JSONValue(active.vectorSize)
        object["distance"] = .string(distance)
        object["totalPoints"] = .integer(totalPoints)
        object["datasourceId"] = JSONValue(datasourceID)
        object["embeddingSpace"] = JSONValue(active.space?.identifier)
        object["version"] = JSONValue(active.number)
        object["versions"] = .array(versions.map { .object($0.json) })
        object["lastSyncedAt"] = JSONValue(lastSyncedAt?.text)
        object["createdAt"] = .string(createdAt.text)
        object["updatedAt"] = .string(updatedAt.text)
        return object
    }
}

extension VectorCollection.Version {
    var json: JSONObject {
        var object = JSONObject()
        object["number"] = JSONValue(number)
        object["physicalName"] = .string(physicalName)
        object["state"] = .string(state.rawValue)
        object["vectorSize"] = JSONValue(vectorSize)
        object["embeddingSpace"] = JSONValue(space?.identifier)
        object["createdAt"] = .string(createdAt.text)
        return object
    }
}
