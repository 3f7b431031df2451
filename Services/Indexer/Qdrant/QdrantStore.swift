import HTTPClient
import WireProtocol

/// A real Qdrant, or another indexer, as the vector store: the same protocol over its REST API.
///
/// What is too long for one body is cut: then a request is not atomic, but every part of it is, and all of it can be repeated.
struct QdrantStore: VectorStore {
    let qdrant: QdrantConnection
    /// Units: bytes of one request. Qdrant's own limit is 32 MiB; several smaller ones keep both sides busy.
    var bodyBytes: Int
    /// Requests under way at once, where their order does not matter.
    var concurrentRequests = 4
    private let marker = IncarnationMarker()

    init(qdrant: QdrantConnection, bodyBytes: Int = 2 << 20) {
        self.qdrant = qdrant
        self.bodyBytes = bodyBytes
    }

    /// The member of a collection's `metadata` that tells it from another one that had its name. Qdrant keeps metadata since 1.16.
    static let incarnationKey = "suite_incarnation"

    // MARK: - Collections

    func collectionNames() async throws -> [String] {
        let result = try await qdrant.result("GET", "/collections")
        return (result["collections"]?.array ?? []).compactMap { $0["name"]?.string }.sorted()
    }

    func createCollection(_ name: String, _ configuration: CollectionConfiguration) async throws {
        _ = try await qdrant.result(
            "PUT", QdrantConnection.path(name), JSONValue.object(Self.marked(configuration.request)).serializedBytes,
            collection: name, isIdempotent: false, waits: true)
    }

    /// A creation request with an incarnation of its own.
    static func marked(_ request: JSONObject) -> JSONObject {
        var request = request
        var metadata = request["metadata"]?.object ?? JSONObject()
        metadata[incarnationKey] = .string(
            PointID(uuidHigh: .random(in: 0 ... .max), low: .random(in: 0 ... .max)).text)
        request["metadata"] = .object(metadata)
        return request
    }

    func updateCollection(_ name: String, _ changes: JSONObject) async throws {
        _ = try await qdrant.result(
            "PATCH", QdrantConnection.path(name), JSONValue.object(changes).serializedBytes, collection: name,
            waits: true)
    }

    func addVector(_ name: String, _ parameters: JSONObject, to collection: String) async throws -> UInt64 {
        Self.sequence(
            try await qdrant.result(
                "PUT", Self.vectorPath(collection, name), JSONValue.object(parameters).serializedBytes,
                collection: collection, isIdempotent: false, waits: true))
    }
    func removeVector(_ name: String, from collection: String) async throws -> UInt64 {
        Self.sequence(
            try await qdrant.result(
                "DELETE", Self.vectorPath(collection, name), collection: collection, isIdempotent: false, waits: true))
    }
    private static func vectorPath(_ collection: String, _ name: String) -> String {
        QdrantConnection.path(collection, "/vectors/\(ClientRequest.segment(name))?wait=true")
    }

    func deleteCollection(_ name: String) async throws -> Bool {
        try await qdrant.result("DELETE", QdrantConnection.path(name), collection: name, waits: true).bool ?? false
    }

    func collection(_ name: String) async throws -> CollectionDescription {
        async let aliases = aliases()
        let info = try await marker.marked(name, in: self)
        guard let incarnation = info.incarnation else {
            throw StoreError.unavailable("this Qdrant keeps no metadata of collections: 1.16 or newer is needed")
        }
        let physical = try await aliases.first { $0.alias == name }?.collection ?? name
        return CollectionDescription(
            name: physical, configuration: try CollectionConfiguration(request: info.request),
            incarnation: incarnation, points: info.points, payloadSchema: info.payloadSchema, diskBytes: 0,
            memoryBytes: 0, payloadBytes: 0)
    }

    fileprivate func information(_ name: String) async throws -> QdrantCollection {
        QdrantCollection(try await qdrant.result("GET", QdrantConnection.path(name), collection: name))
    }

    /// `schema` as collection info shows it: `data_type`, and `params` where there are any.
    func setPayloadSchema(_ field: String, _ schema: JSONValue?, in collection: String) async throws -> UInt64 {
        let path = QdrantConnection.path(collection, "/index")
        let result: JSONValue
        if let schema {
            let body: JSONValue = [
                "field_name": .string(field), "field_schema": schema["params"] ?? schema["data_type"] ?? .null,
            ]
            result = try await qdrant.result(
                "PUT", "\(path)?wait=true", body.serializedBytes, collection: collection, waits: true)
        } else {
            result = try await qdrant.result(
                "DELETE", "\(path)/\(ClientRequest.segment(field))?wait=true", collection: collection, waits: true)
        }
        return Self.sequence(result)
    }

    func aliases() async throws -> [(alias: String, collection: String)] {
        let result = try await qdrant.result("GET", "/aliases")
        return (result["aliases"]?.array ?? []).compactMap { entry in
            guard let alias = entry["alias_name"]?.string, let collection = entry["collection_name"]?.string else {
                return nil
            }
            return (alias, collection)
        }.sorted { $0.alias < $1.alias }
    }

    func changeAliases(_ changes: [AliasChange]) async throws {
        let actions = changes.map { change -> JSONValue in
            switch change {
            case .create(let alias, let collection):
                ["create_alias": ["alias_name": .string(alias), "collection_name": .string(collection)]]
            case .delete(let alias): ["delete_alias": ["alias_name": .string(alias)]]
            case .rename(let old, let new):
                ["rename_alias": ["old_alias_name": .string(old), "new_alias_name": .string(new)]]
            }
        }
        var named = ""
        if case .create(_, let collection)? = changes.first { named = collection }
        _ = try await qdrant.result(
            "POST", "/collections/aliases", JSONValue.object(["actions": .array(actions)]).serializedBytes,
            collection: named, isIdempotent: false, waits: true)
    }

    static func sequence(_ result: JSONValue) -> UInt64 {
        result["operation_id"]?.integer.map { UInt64(clamping: $0) } ?? 0
    }

    // MARK: - Reads

    func retrieve(_ ids: [PointID], from collection: String, fields: PointFields) async throws -> [StoredPoint] {
        var body = QdrantBody(fields)
        body["ids"] = .array(ids.map(\.json))
        let found = try await read("/points", body, collection).array ?? []
        // In the order of the ids, each once.
        var points = Dictionary(try found.map { try StoredPoint($0) }.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
        return ids.compactMap { points.removeValue(forKey: $0) }
    }

    func query(_ request: QueryRequest, in collection: String) async throws -> [StoredPoint] {
        var body = try QdrantBody(query: request)
        body["limit"] = JSONValue(request.limit)
        if request.offset > 0 { body["offset"] = JSONValue(request.offset) }
        return try (try await read("/points/query", body, collection)["points"]?.array ?? []).map {
            try StoredPoint($0)
        }
    }

    func queryGroups(_ request: GroupsRequest, in collection: String) async throws -> [PointGroup] {
        var body = try QdrantBody(query: request.query)
        body["group_by"] = .string(request.groupBy.text)
        body["group_size"] = JSONValue(request.groupSize)
        body["limit"] = JSONValue(request.groups)
        return try (try await read("/points/query/groups", body, collection)["groups"]?.array ?? []).map { group in
            PointGroup(id: group["id"] ?? .null, points: try (group["hits"]?.array ?? []).map { try StoredPoint($0) })
        }
    }

    func facet(_ request: FacetRequest, in collection: String) async throws -> [FacetHit] {
        var body = QdrantBody()
        body["key"] = .string(request.key.text)
        body["limit"] = JSONValue(request.limit)
        body["exact"] = .bool(request.exact)
        try body.set(request.filter)
        return (try await read("/facet", body, collection)["hits"]?.array ?? []).map { hit in
            FacetHit(value: hit["value"] ?? .null, count: Int(hit["count"]?.integer ?? 0))
        }
    }

    func scroll(_ request: ScrollRequest, in collection: String) async throws -> ScrollPage {
        var body = QdrantBody(request.fields)
        body["limit"] = JSONValue(request.limit)
        try body.set(request.filter)
        if let offset = request.offset { body["offset"] = offset.json }
        if let order = request.orderBy { body["order_by"] = QdrantBody.orderBy(order) }
        let page = try await read("/points/scroll", body, collection)
        return ScrollPage(
            points: try (page["points"]?.array ?? []).map { try StoredPoint($0) },
            next: page["next_page_offset"].flatMap { PointID($0) })
    }

    func count(_ filter: Filter?, in collection: String) async throws -> Int {
        var body = QdrantBody()
        body["exact"] = true
        try body.set(filter)
        return Int(try await read("/points/count", body, collection)["count"]?.integer ?? 0)
    }

    private func read(_ path: String, _ body: QdrantBody, _ collection: String) async throws -> JSONValue {
        try await qdrant.result(
            "POST", QdrantConnection.path(collection, path), JSONValue.object(body.members).serializedBytes,
            collection: collection)
    }
}

/// Marks collections that somebody else has made, or made again. One at a time: two marks would be two incarnations. (Of several
/// indexers that see such a collection at once the last one's mark counts, for all: then it is filled twice.)
private actor IncarnationMarker {
    private var underway: [String: Task<QdrantCollection, any Error>] = [:]

    func marked(_ name: String, in store: QdrantStore) async throws -> QdrantCollection {
        let info = try await store.information(name)
        if info.incarnation != nil { return info }
        if let other = underway[name] { return try await other.value }
        let task = Task {
            let info = try await store.information(name)
            if info.incarnation != nil { return info }
            try await store.updateCollection(name, ["metadata": QdrantStore.marked([:])["metadata"] ?? .null])
            return try await store.information(name)
        }
        underway[name] = task
        defer { underway[name] = nil }
        return try await task.value
    }
}

/// `GET /collections/{name}`, turned back into the request that would make the collection.
struct QdrantCollection: Sendable {
    private let info: JSONValue
    init(_ info: JSONValue) { self.info = info }

    private var metadata: JSONObject { info["config"]?["metadata"]?.object ?? JSONObject() }
    var incarnation: String? { metadata[QdrantStore.incarnationKey]?.string }
    /// Whether these are two answers about one collection. A copy has marks of its own.
    func isSame(as other: QdrantCollection) -> Bool {
        let (made, otherMade) = (info["created_at"]?.string, other.info["created_at"]?.string)
        return incarnation != nil && incarnation == other.incarnation || made != nil && made == otherMade
    }
    var points: Int { Int(info["points_count"]?.integer ?? 0) }

    /// Field to `{"data_type", "params"}`.
    var payloadSchema: JSONObject {
        JSONObject(
            (info["payload_schema"]?.object?.members ?? []).map { field in
                var schema = field.value.object ?? JSONObject()
                schema["points"] = nil
                return (field.name, .object(schema))
            })
    }

    /// Without what belongs to a place and not to the collection: shards, replicas, its incarnation.
    var request: JSONObject {
        var request = JSONObject()
        for name in ["vectors", "sparse_vectors", "on_disk_payload"] {
            if let value = info["config"]?["params"]?[name]?.nonNull { request[name] = value }
        }
        for (name, shown) in [
            ("hnsw_config", "hnsw_config"), ("optimizers_config", "optimizer_config"),
            ("quantization_config", "quantization_config"), ("strict_mode_config", "strict_mode_config"),
        ] {
            if let value = info["config"]?[shown]?.nonNull { request[name] = Self.withoutNulls(value) }
        }
        var metadata = metadata
        metadata[QdrantStore.incarnationKey] = nil
        if !metadata.isEmpty { request["metadata"] = .object(metadata) }
        return request
    }

    private static func withoutNulls(_ value: JSONValue) -> JSONValue {
        guard let object = value.object else { return value }
        return .object(JSONObject(object.members.filter { !$0.value.isNull }.map { ($0.name, withoutNulls($0.value)) }))
    }
}
