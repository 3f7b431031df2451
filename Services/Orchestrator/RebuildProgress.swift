import Datasources
import ServiceRuntime
import SyncJobs
import WireProtocol

/// How far a version beside the active one has come: what it lacks before it may be searched, and what has to be started for it.
struct RebuildProgress: Sendable {
    struct Source: Sendable, Equatable {
        var datasourceID: String
        var name: String
        var fullAt: Timestamp?
        var job: SyncStanding.Job?
        /// Why the version may not be switched to yet; `nil` when this datasource is all there.
        var missing: String?
        /// What has to be started now.
        var nextSync: SyncJob.Kind?
        /// The sync into the active version that it has to follow; its options are taken.
        var follows: String?
    }
    let version: VectorCollection.Version
    let sources: [Source]
    var missing: [String] {
        // A version that nothing fills would be searched in vain.
        if sources.isEmpty { return ["no datasource fills the collection any more"] }
        return sources.compactMap { source in source.missing.map { "\(source.name): \($0)" } }
    }
    var isReady: Bool { missing.isEmpty }

    init(
        _ version: VectorCollection.Version, of collection: VectorCollection, datasources: [Datasource],
        standings: [SyncStanding]
    ) {
        func standing(_ physicalName: String, _ datasource: Datasource) -> SyncStanding {
            standings.first { $0.collection == physicalName && $0.datasourceID == datasource.id }
                ?? SyncStanding(collection: physicalName, datasourceID: datasource.id)
        }
        self.version = version
        sources = datasources.map { datasource in
            Source(
                datasource, in: version, standing: standing(version.physicalName, datasource),
                ahead: standing(collection.active.physicalName, datasource))
        }
    }
}

extension RebuildProgress.Source {
    /// - Parameter ahead: the datasource's standing in the version that is searched.
    fileprivate init(
        _ datasource: Datasource, in version: VectorCollection.Version, standing: SyncStanding, ahead: SyncStanding
    ) {
        datasourceID = datasource.id
        name = datasource.name
        fullAt = standing.fullAt
        job = standing.last
        // One that came later and was never synced has nothing in the active version either.
        let isExpected = ahead.startSequence > 0 || datasource.createdAt < version.createdAt
        let isBehind = ahead.startSequence > standing.startSequence
        guard isExpected, fullAt == nil || isBehind || standing.hasFailed else { return }

        let number = version.number
        if let job, job.status.isActive {
            missing = "job \(job.id) is \(job.status.rawValue) for version \(number)"
        } else if let job, standing.hasFailed {
            missing =
                "job \(job.id) \(job.status.rawValue) for version \(number): resume it, or sync the datasource again"
        } else {
            missing =
                fullAt == nil
                ? "no full sync into version \(number) has completed"
                : "version \(number) lacks the datasource's last sync"
            follows = ahead.jobID
            let needsFull = fullAt == nil || (ahead.fullAt ?? .distantPast) > (fullAt ?? .distantPast)
            nextSync = needsFull || datasource.mapping.updatedAt == nil ? .full : .incremental
        }
    }
}

extension SyncStanding {
    /// The newest sync did not come to its end: somebody has to look at it first.
    fileprivate var hasFailed: Bool {
        guard let last else { return false }
        return (last.status == .failed || last.status == .cancelled) && last.startSequence > startSequence
    }
}

extension Timestamp {
    fileprivate static let distantPast = Timestamp(milliseconds: 0)
}

extension RebuildProgress {
    /// As the API answers it.
    func json(of collection: VectorCollection) -> JSONObject {
        var object = JSONObject()
        object["collection"] = .string(collection.name)
        object["ready"] = .bool(isReady)
        object["switchWhenReady"] = .bool(version.switchesWhenReady)
        object["active"] = .object(collection.active.json)
        object["version"] = .object(version.json)
        object["datasources"] = .array(
            sources.map { source in
                var members: JSONObject = [
                    "id": .string(source.datasourceID), "name": .string(source.name),
                    "ready": .bool(source.missing == nil), "fullSyncAt": JSONValue(source.fullAt?.text),
                ]
                if let job = source.job {
                    members["job"] = [
                        "id": .string(job.id), "type": .string(job.type.rawValue),
                        "status": .string(job.status.rawValue),
                        "failedRecords": job.failed.map { .integer($0) } ?? .null,
                    ]
                }
                if let missing = source.missing { members["missing"] = .string(missing) }
                return .object(members)
            })
        object["missing"] = .array(missing.map(JSONValue.string))
        return object
    }
}
