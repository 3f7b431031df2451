import Foundation
import HTTPServer
import ServiceRuntime
import WireProtocol

extension IndexerRoutes {
    /// `?details_level`: 0 numbers only; from 1 each collection too.
    @Sendable func telemetry(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let level = try request.queryInteger("details_level", default: 0)
        let names = try await store.collectionNames()
        var collections: JSONObject = ["number_of_collections": JSONValue(names.count)]
        if level > 0 {
            var list: [JSONValue] = []
            for name in names {
                do {
                    list.append(CollectionTelemetry.json(try await store.collection(name), level: level))
                } catch StoreError.collectionNotFound {}  // deleted meanwhile
            }
            collections["collections"] = .array(list)
        }
        var telemetry: JSONObject = [
            "id": .string(instance.uuidString.lowercased()),
            "app": ["name": "qdrant", "version": .string(Self.qdrantVersion), "startup": .string(startup.text)],
            "collections": .object(collections), "cluster": ["enabled": false],
            "requests": ["rest": ["responses": ledger.json], "grpc": ["responses": [:]]],
        ]
        if level > 0 {
            telemetry["memory"] = Self.memory
            telemetry["hardware"] = ["collection_data": [:]]
        }
        return QdrantAnswer.ok(.object(telemetry), since: started)
    }

    private static var memory: JSONValue {
        let counts = ProcessMemory.counts
        return [
            "active_bytes": JSONValue(counts.resident), "allocated_bytes": JSONValue(counts.data), "metadata_bytes": 0,
            "resident_bytes": JSONValue(counts.resident), "retained_bytes": JSONValue(counts.virtual),
        ]
    }

    // MARK: - What one node without neighbours says of its cluster

    @Sendable func cluster(_ request: HTTPRequest) async throws -> HTTPResponse {
        QdrantAnswer.ok(["status": "disabled"], since: .now)
    }

    @Sendable func collectionCluster(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let points = try await store.collection(request.collection).points
        return QdrantAnswer.ok(
            [
                "peer_id": 0, "shard_count": 1,
                "local_shards": [["shard_id": 0, "points_count": JSONValue(points), "state": "Active"]],
                "remote_shards": [], "shard_transfers": [],
            ], since: started)
    }

    /// The one segment of a collection is searchable as soon as it is written: nothing waits for an optimizer, none runs.
    @Sendable func optimizations(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        _ = try request.queryInteger("completed_limit", default: 16)
        let collection = try await store.collection(request.collection)
        var result: JSONObject = [
            "summary": ["queued_optimizations": 0, "queued_segments": 0, "queued_points": 0, "idle_segments": 1],
            "running": [],
        ]
        for name in request.query("with")?.split(separator: ",") ?? [] {
            switch name {
            case "queued", "completed": result[String(name)] = []
            case "idle_segments":
                result["idle_segments"] = [
                    ["uuid": .string(collection.incarnation), "points_count": JSONValue(collection.points)]
                ]
            default:
                throw RequestError.bad(
                    "Deserialize error in query parameters: with: unknown field `\(name)`, expected one of `queued`, `completed`, `idle_segments`"
                )
            }
        }
        return QdrantAnswer.ok(.object(result), since: started)
    }

    @Sendable func issues(_ request: HTTPRequest) async throws -> HTTPResponse {
        QdrantAnswer.ok(["issues": []], since: .now)
    }
    @Sendable func clearIssues(_ request: HTTPRequest) async throws -> HTTPResponse {
        QdrantAnswer.ok(true, since: .now)
    }
}

/// Operations of Qdrant that this store does not have: they say so, with 400, or with 405 as a Qdrant without peers does.
struct UnsupportedOperation {
    var method: String
    var path: String
    var subject: String
    var status = 400

    static let all: [UnsupportedOperation] = {
        let collection = "/collections/:collection"
        let (snapshots, shards) = ("snapshots", "shards and clusters")
        func several(_ subject: String, _ operations: [(String, String)]) -> [UnsupportedOperation] {
            operations.map { UnsupportedOperation(method: $0.0, path: $0.1, subject: subject) }
        }
        return several(
            snapshots,
            [
                ("GET", "/snapshots"), ("POST", "/snapshots"), ("GET", "/snapshots/:snapshot"),
                ("DELETE", "/snapshots/:snapshot"), ("GET", collection + "/snapshots"),
                ("POST", collection + "/snapshots"), ("POST", collection + "/snapshots/upload"),
                ("PUT", collection + "/snapshots/recover"), ("GET", collection + "/snapshots/:snapshot"),
                ("DELETE", collection + "/snapshots/:snapshot"), ("GET", collection + "/shards/:shard/snapshot"),
                ("GET", collection + "/shards/:shard/snapshots"), ("POST", collection + "/shards/:shard/snapshots"),
                ("POST", collection + "/shards/:shard/snapshots/upload"),
                ("PUT", collection + "/shards/:shard/snapshots/recover"),
                ("GET", collection + "/shards/:shard/snapshots/:snapshot"),
                ("DELETE", collection + "/shards/:shard/snapshots/:snapshot"),
            ])
            + several(
                shards,
                [
                    ("GET", collection + "/shards"), ("PUT", collection + "/shards"),
                    ("POST", collection + "/shards/delete"), ("POST", collection + "/cluster"),
                    ("GET", "/cluster/telemetry"),
                ])
            + [("POST", "/cluster/recover"), ("DELETE", "/cluster/peer/:peer")].map {
                UnsupportedOperation(method: $0.0, path: $0.1, subject: "peers: standalone mode", status: 405)
            }
            + several("quotas", [("GET", "/quotas"), ("PUT", "/quotas")])
    }()

    @Sendable func refuse(_ request: HTTPRequest) throws -> HTTPResponse {
        throw RequestError(
            status: status, description: "Bad request: \(subject): not supported by the embedded store")
    }
}
