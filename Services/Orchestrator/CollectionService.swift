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
    let log: Log

    /// The dense vector of every collection the suite fills.
    static let vectorName = "text"

    /// The collection of that name, made where there is none, in the store too. Throws a 409 problem when the collection holds
    /// vectors of another space: a mixture could not be searched.
    func ensure(name: String, space: EmbeddingSpace, datasourceID: String) async throws -> VectorCollection.Version {
        let collection = try await store.ensure(
            name: name, vectorSize: space.dimensions, space: space, datasourceID: datasourceID)
        var version = collection.active
        if version.space == nil, version.vectorSize == space.dimensions {
            try await store.setSpace(physicalName: version.physicalName, space)
            version.space = space
        }
        guard version.space == space, version.vectorSize == space.dimensions else {
            throw Problem.conflict(
                """
                the collection \(name) holds vectors of \(version.space?.identifier ?? "\(version.vectorSize) dimensions"), \
                the datasource makes \(space.identifier): give it another collection, or change the suite's embedding settings
                """)
        }
        try await createInStore(version, distance: collection.distance)
        return version
    }

    /// Idempotent: a collection that is there already stays as it is. Of one that has to be made nothing can be known: a store that
    /// was lost must not leave records behind that count as unchanged.
    func createInStore(_ version: VectorCollection.Version, distance: String, hnsw: JSONObject? = nil) async throws {
        let known = try await jobs.incarnation(of: version.physicalName)
        if try await indexer.exists(collection: version.physicalName) { return }
        if let known { try await jobs.forgetCollection(physical: version.physicalName, incarnation: known) }
        var body: JSONObject = [
            "vectors": [Self.vectorName: ["size": JSONValue(version.vectorSize), "distance": .string(distance)]]
        ]
        if let hnsw { body["hnsw_config"] = .object(hnsw) }
        try await indexer.createCollection(version.physicalName, body: .object(body))
        log.info(
            "collection.created", ["collection": .string(version.physicalName), "size": JSONValue(version.vectorSize)])
    }

    /// Makes a collection again that the store has lost.
    func restore(physicalName: String) async throws {
        guard let collection = try await store.collection(physicalName: physicalName),
            let version = collection.versions.first(where: { $0.physicalName == physicalName })
        else { return }
        try await createInStore(version, distance: collection.distance)
    }

    /// Throws: a 404 problem that says which collections there are.
    func collection(named name: String) async throws -> VectorCollection {
        if DatasourceDraft.isCollectionName(name), let collection = try await store.collection(name: name) {
            return collection
        }
        let names = try await store.collections().map(\.name)
        let known =
            names.isEmpty ? "there is none yet: sync a datasource first" : "there are: \(names.joined(separator: ", "))"
        throw Problem.notFound("no collection is called \(name.prefix(64)); \(known)")
    }

    /// With its number of points, as the store counts them now; a store that does not answer leaves the last count.
    func refreshed(_ collection: VectorCollection) async throws -> VectorCollection {
        var collection = collection
        do {
            collection.totalPoints = try await indexer.count(collection: collection.active.physicalName)
            try await store.setTotalPoints(name: collection.name, collection.totalPoints)
        } catch let error as ServiceClientError where error.status == 404 {
            collection.totalPoints = 0
        } catch let error as ServiceClientError {
            log.warning(
                "collection.count_failed", ["collection": .string(collection.name), "error": .string("\(error)")])
        }
        return collection
    }

    /// Removes the collection everywhere; what the suite knew of its records goes too.
    func delete(_ collection: VectorCollection) async throws {
        for version in collection.versions {
            try await indexer.deleteCollection(version.physicalName)
            try await jobs.forgetCollection(physical: version.physicalName)
        }
        _ = try await store.delete(name: collection.name)
        log.info("collection.deleted", ["collection": .string(collection.name)])
    }

    /// Notes that a sync into this physical collection has just completed.
    func markSynced(physicalName: String) async throws {
        guard let collection = try await store.collection(physicalName: physicalName) else { return }
        try await store.markSynced(name: collection.name)
    }

    /// Removes the points of a datasource; its jobs have ended and its records are forgotten.
    func deletePoints(of datasource: Datasource) async throws {
        guard let collection = try await store.collection(name: datasource.collection) else { return }
        for version in collection.versions {
            try await indexer.deletePoints(
                collection: version.physicalName,
                filter: ["must": [["key": "_datasource", "match": ["value": .string(datasource.id)]]]])
        }
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
        object["lastSyncedAt"] = JSONValue(lastSyncedAt?.text)
        object["createdAt"] = .string(createdAt.text)
        object["updatedAt"] = .string(updatedAt.text)
        return object
    }
}
