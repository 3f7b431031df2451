import Datasources
import HTTPServer
import ServiceClients
import WireProtocol

/// `/api/collections/:name/rebuild`, `/switch`, `/rollback`, `/comparison`: SPEC.md section 2.6, DESIGN.md section 8.
struct ModelChangeRoutes: Sendable {
    let change: ModelChange
    let search: SearchService

    func add(to router: inout Router) {
        router.on("POST", "/api/collections/:name/rebuild") { request in
            let body = try RebuildRequest(request.body.isEmpty ? [:] : request.json())
            let name = try name(request)
            let rebuilding = try await change.rebuild(name, body, trace: request.trace)
            return try await progress(
                of: rebuilding, status: 202, headers: ["Location": "/api/collections/\(name)/rebuild"])
        }
        router.on("GET", "/api/collections/:name/rebuild") { request in
            try await progress(of: change.collections.collection(named: name(request)))
        }
        router.on("DELETE", "/api/collections/:name/rebuild") { request in
            try await change.discard(.building, of: name(request))
            return .empty()
        }
        router.on("POST", "/api/collections/:name/switch") { request in
            let whenReady = try SwitchBody(request.body.isEmpty ? [:] : request.json()).whenReady
            let name = try name(request)
            guard whenReady else { return try await shown(change.switchOver(name)) }
            _ = try await change.collections.collection(named: name)
            try await change.collections.store.setSwitchesWhenReady(true, of: name)
            return try await progress(of: change.collections.collection(named: name), status: 202)
        }
        router.on("POST", "/api/collections/:name/rollback") { request in
            try await shown(change.rollBack(name(request)))
        }
        router.on("DELETE", "/api/collections/:name/rollback") { request in
            try await change.discard(.retired, of: name(request))
            return .empty()
        }
        router.on("GET", "/api/collections/:name/comparison") { request in
            try await compare(ComparisonRequest(query: request), request)
        }
        router.on("POST", "/api/collections/:name/comparison") { request in
            try await compare(ComparisonRequest(request.body.isEmpty ? [:] : request.json()), request)
        }
    }

    private func name(_ request: HTTPRequest) throws -> String { request.parameters["name"] ?? "" }

    private func shown(_ collection: VectorCollection) async throws -> HTTPResponse {
        .json(.object(try await change.collections.refreshed(collection).json))
    }

    private func progress(
        of collection: VectorCollection, status: Int = 200, headers: HTTPFields = [:]
    ) async throws -> HTTPResponse {
        guard let building = collection.building else {
            throw Problem.notFound(
                "no version of \(collection.name) is being built: version \(collection.active.number) is active")
        }
        var body = try await change.progress(of: collection, building).json(of: collection)
        body["points"] = [
            "active": await points(collection.active.physicalName), "version": await points(building.physicalName),
        ]
        return .json(.object(body), status: status, headers: headers)
    }

    /// Null while the store does not answer.
    private func points(_ physicalName: String) async -> JSONValue {
        do {
            return .integer(try await change.indexer.count(collection: physicalName))
        } catch {
            return .null
        }
    }

    private func compare(_ asked: ComparisonRequest, _ request: HTTPRequest) async throws -> HTTPResponse {
        let collection = try await change.collections.collection(named: name(request))
        guard let other = collection.beside else {
            throw Problem.conflict("\(collection.name) has one version: there is nothing to compare it with")
        }
        let comparison = VersionComparison(
            search: search, indexer: change.indexer, datasources: change.datasources, trace: request.trace)
        return .json(.object(try await comparison.answer(asked, collection: collection, other: other)))
    }
}

/// The body of `POST .../rebuild`: `{"embedding": {"provider"?, "model"?, "dimensions"?, "template"?}, "switchWhenReady"?}`.
struct RebuildRequest: Sendable {
    var embedding: Datasource.Embedding
    var switchesWhenReady: Bool

    init(_ body: JSONValue) throws {
        guard let members = body.object else { throw Problem.badRequest("the body must be a JSON object") }
        var errors: [FieldError] = []
        for name in members.names where !["embedding", "switchWhenReady"].contains(name) {
            errors.append(FieldError(field: name, message: "is unknown here: embedding, switchWhenReady"))
        }
        let (embedding, problems) = Datasource.Embedding.checked(members["embedding"])
        self.embedding = embedding
        errors += problems.map { FieldError(field: $0.field, message: $0.message) }
        switchesWhenReady = members["switchWhenReady"]?.bool ?? false
        if let flag = members["switchWhenReady"], !flag.isNull, flag.bool == nil {
            errors.append(FieldError(field: "switchWhenReady", message: "must be true or false"))
        }
        if !errors.isEmpty { throw Problem.badRequest("the rebuild is not valid", errors: errors) }
    }
}

/// `{"whenReady": true}`, or nothing.
private struct SwitchBody {
    let whenReady: Bool

    init(_ body: JSONValue) throws(Problem) {
        guard let members = body.object else { throw .badRequest("the body must be a JSON object") }
        if let other = members.names.first(where: { $0 != "whenReady" }) {
            throw .badRequest(field: other, "is unknown here: {whenReady?}")
        }
        let flag = members["whenReady"] ?? .null
        guard flag.isNull || flag.bool != nil else { throw .badRequest(field: "whenReady", "must be true or false") }
        whenReady = flag.bool ?? false
    }
}
