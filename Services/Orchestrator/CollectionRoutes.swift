import Datasources
import HTTPServer
import ServiceClients
import WireProtocol

/// `/api/collections`: SPEC.md section 2.6.
struct CollectionRoutes: Sendable {
    let collections: CollectionService
    let indexer: IndexerClient

    func add(to router: inout Router) {
        router.on("POST", "/api/collections") { try await create($0) }
        router.on("GET", "/api/collections") { try await list($0) }
        router.on("GET", "/api/collections/:name") { request in
            let collection = try await collections.refreshed(named(request))
            return .json(.object(collection.json))
        }
        router.on("GET", "/api/collections/:name/info") { request in
            let collection = try await named(request)
            let body: JSONValue = [
                "name": .string(collection.name),
                "store": try await indexer.info(collection: collection.active.physicalName),
            ]
            return .json(body)
        }
        router.on("DELETE", "/api/collections/:name") { request in
            try await collections.delete(request.parameters["name"] ?? "")
            return .empty()
        }
    }

    private func named(_ request: HTTPRequest) async throws -> VectorCollection {
        try await collections.collection(named: request.parameters["name"] ?? "")
    }

    private func create(_ request: HTTPRequest) async throws -> HTTPResponse {
        let body = try NewCollection(request.json())
        if let known = try await collections.store.collection(name: body.name), try await !isUnfinished(known, body) {
            throw Problem.conflict("there is a collection called \(body.name) already")
        }
        let collection = try await collections.store.ensure(
            name: body.name, vectorSize: body.vectorSize, distance: body.distance, space: nil)
        try await collections.createInStore(collection.active, distance: body.distance, hnsw: body.hnsw)
        await collections.pointAlias(collection)
        return .json(
            .object(collection.json), status: 201, headers: ["Location": "/api/collections/\(collection.name)"])
    }

    /// A creation that failed half-way: the same request again goes on with it.
    private func isUnfinished(_ known: VectorCollection, _ body: NewCollection) async throws -> Bool {
        let isSame = known.active.vectorSize == body.vectorSize && known.distance == body.distance
        guard isSame, known.versions.count == 1, known.active.space == nil else { return false }
        return try await !indexer.exists(collection: known.active.physicalName)
    }

    private func list(_ request: HTTPRequest) async throws -> HTTPResponse {
        let page = try Page(request)
        let all = try await collections.store.collections()
        let shown = try await collections.refreshed(all.dropFirst(page.offset).prefix(page.limit))
        return page.answer(shown.map { .object($0.json) }, total: all.count)
    }
}

/// The body of `POST /api/collections`.
struct NewCollection: Sendable {
    static let distances = ["Cosine", "Dot", "Euclid"]
    var name: String
    var vectorSize: Int
    var distance: String
    /// `m` and `ef_construct`, for a real Qdrant; the embedded store is exact and needs none.
    var hnsw: JSONObject?

    init(_ body: JSONValue) throws(Problem) {
        guard let members = body.object else { throw .badRequest("the body must be a JSON object") }
        var errors: [FieldError] = []
        for name in members.names where !["name", "vectorSize", "distance", "hnsw"].contains(name) {
            errors.append(FieldError(field: name, message: "is not a member of a collection"))
        }
        name = members["name"]?.string ?? ""
        if !DatasourceDraft.isCollectionName(name) {
            errors.append(FieldError(field: "name", message: "must be 1 to 64 letters, digits, _ or -"))
        }
        vectorSize = Int(clamping: members["vectorSize"]?.integer ?? 0)
        if !(1...65536).contains(vectorSize) {
            errors.append(FieldError(field: "vectorSize", message: "must be a whole number from 1 to 65536"))
        }
        distance = members["distance"]?.string ?? (members["distance"] == nil ? "Cosine" : "")
        if !Self.distances.contains(distance) {
            errors.append(
                FieldError(field: "distance", message: "must be one of \(Self.distances.joined(separator: ", "))"))
        }
        if let given = members["hnsw"], !given.isNull {
            if given.object == nil { errors.append(FieldError(field: "hnsw", message: "must be an object")) }
            for name in given.object?.names ?? [] where !["m", "efConstruct"].contains(name) {
                errors.append(FieldError(field: "hnsw.\(name)", message: "is not a setting: m, efConstruct"))
            }
            var config = JSONObject()
            for (field, name) in [("m", "m"), ("efConstruct", "ef_construct")] {
                guard let value = given[field] else { continue }
                if let number = value.integer, (0...4096).contains(number) {
                    config[name] = .integer(number)
                } else {
                    errors.append(FieldError(field: "hnsw.\(field)", message: "must be a whole number from 0 to 4096"))
                }
            }
            hnsw = config
        }
        if !errors.isEmpty { throw .badRequest("the collection is not valid", errors: errors) }
    }
}
