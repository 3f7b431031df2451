import Datasources
import ServiceClients

/// The ends of collections and of their versions, and how others notice them.
extension CollectionService {
    /// Removes the collection everywhere. Nobody finds it from the first step on; what a crash cuts off the keeper of versions ends.
    /// Throws: a 404 problem.
    func delete(_ name: String) async throws {
        let versions = try await store.discardAll(of: name)
        if versions.isEmpty { throw try await unknown(name) }
        failpoints.reach("orchestrator.after-discard")
        for physicalName in versions {
            try await remove(physicalName: physicalName, reason: "the collection \(name) was deleted")
        }
        log.info("collection.deleted", ["collection": .string(name)])
    }

    /// Nothing of a version that was given up is left afterwards: no job, no record state, no vector.
    func remove(physicalName: String, reason: String) async throws {
        try await jobs.cancelJobs(in: physicalName, reason: reason)
        try await indexer.deleteCollection(physicalName)
        failpoints.reach("orchestrator.after-removal")
        try await jobs.forgetCollection(physical: physicalName)
        try await store.removeVersion(physicalName: physicalName)
        log.info("version.removed", ["collection": .string(physicalName)])
    }

    /// Removes the points of a datasource, also where it was synced into before; its jobs have ended and its records are forgotten.
    func deletePoints(of datasource: Datasource) async throws {
        var names = Set(try await jobs.collections(filledBy: datasource.id))
        if let collection = try await store.collection(name: datasource.collection) {
            names.formUnion(collection.versions.map(\.physicalName))
        }
        for physicalName in names.sorted() {
            try await indexer.deletePoints(
                collection: physicalName,
                filter: ["must": [["key": "_datasource", "match": ["value": .string(datasource.id)]]]])
        }
    }

    /// Whether a job may go on that was made for this version: nobody has given it up, or deleted it and made another, since
    /// `collection` was read.
    func keeps(_ version: VectorCollection.Version, of collection: VectorCollection) async throws -> Bool {
        guard let now = try await store.collection(physicalName: version.physicalName), now.id == collection.id else {
            return false
        }
        return now.versions.contains { $0.physicalName == version.physicalName && $0.state != .removing }
    }

    /// Whether the store says that it does not have this version (any more): searched, it would have nothing. False where the store
    /// does not answer.
    func isLost(_ version: VectorCollection.Version) async throws -> Bool {
        do {
            return try await !indexer.exists(collection: version.physicalName)
        } catch let error as ServiceClientError {
            log.warning(
                "collection.not_looked_for",
                ["collection": .string(version.physicalName), "error": .string("\(error)")])
            return false
        }
    }
}
