import Datasources
import FastJSON
import HTTPServer
import ServiceClients
import ServiceRuntime
import SyncJobs
import WireProtocol

/// `/api/datasources`: SPEC.md section 2.2. What needs a connector is asked of the data-harvester, which holds them.
struct DatasourceRoutes: Sendable {
    let store: DatasourceStore
    let jobs: SyncJobStore
    let collections: CollectionService
    let harvester: DataHarvesterClient
    let maximumUploadBytes: Int
    let log: Log

    func add(to router: inout Router) {
        router.on("POST", "/api/datasources") { try await create($0) }
        router.on("GET", "/api/datasources") { try await list($0) }
        router.on("POST", "/api/datasources/test-connection") { request in
            try await ask(.test, with: SourceTranslation.question(about: request.json()), request)
        }
        router.on("GET", "/api/datasources/:id") { try await show($0) }
        router.on("PUT", "/api/datasources/:id") { try await update($0) }
        router.on("DELETE", "/api/datasources/:id") { try await remove($0) }
        router.on("POST", "/api/datasources/:id/test") { try await ask(.test, about: datasource($0), [:], $0) }
        router.on("GET", "/api/datasources/:id/preview") { request in
            let limit = try request.queryInteger("limit", default: 5, in: 1...100)
            return try await ask(.preview, about: datasource(request), ["limit": JSONValue(limit)], request)
        }
        router.on("POST", "/api/datasources/:id/validate-query") { request in
            let members = try SourceTranslation.validation(request)
            return try await ask(.validate, about: datasource(request), members, request, query: "query")
        }
        router.on("POST", "/api/datasources/:id/regenerate-webhook-secret") { request in
            let secret = try await store.regenerateWebhookSecret(id: datasource(request).id)
            return .json(["webhookSecret": .string(secret)])
        }
        router.on("POST", "/api/datasources/:id/file", body: .streaming(limit: maximumUploadBytes)) {
            try await upload($0)
        }
    }

    private func create(_ request: HTTPRequest) async throws -> HTTPResponse {
        let draft = try DatasourceDraft(request.json())
        try await checkSpace(draft)
        let (datasource, secret) = try await store.create(draft)
        log.info(
            "datasource.created", ["datasource_id": .string(datasource.id), "type": .string(datasource.type.rawValue)])
        var body = datasource.json
        body["webhookSecret"] = .string(secret)
        body["notes"] = datasource.notes
        return .json(.object(body), status: 201, headers: ["Location": "/api/datasources/\(datasource.id)"])
    }

    private func list(_ request: HTTPRequest) async throws -> HTTPResponse {
        let page = try Page(request)
        let (items, total) = try await store.datasources(limit: page.limit, offset: page.offset)
        return page.answer(items.map { .object($0.json) }, total: total)
    }

    private func show(_ request: HTTPRequest) async throws -> HTTPResponse {
        let datasource = try await datasource(request)
        var body = datasource.json
        if datasource.type.isFile {
            body["file"] = try await store.file(of: datasource.id).map { .object($0.json) } ?? .null
        }
        return .json(.object(body))
    }

    private func update(_ request: HTTPRequest) async throws -> HTTPResponse {
        let body = try request.json()
        let updated = try await store.update(id: request.parameters["id"] ?? "", body)
        var answer = updated.json
        answer["notes"] = updated.notes
        return .json(.object(answer))
    }

    /// Another model is not a datasource's setting once its collection holds vectors: that is a rebuild.
    private func checkSpace(_ draft: DatasourceDraft) async throws {
        guard let collection = try await collections.store.collection(name: draft.collection),
            let reason = collection.conflict(with: draft.embedding)
        else { return }
        throw Problem.conflict(reason)
    }

    /// Its jobs end first, so that none goes on filling what is being removed; and again when it cannot be found any more, for
    /// one that was started meanwhile.
    private func remove(_ request: HTTPRequest) async throws -> HTTPResponse {
        let datasource = try await datasource(request)
        let deletesPoints = try request.queryFlag("deletePoints", default: false)
        try await jobs.forgetDatasource(id: datasource.id)
        if deletesPoints { try await collections.deletePoints(of: datasource) }
        guard try await store.delete(id: datasource.id) else { throw DatasourcesError.notFound(id: datasource.id) }
        if try await jobs.forgetDatasource(id: datasource.id) > 0, deletesPoints {
            try await collections.deletePoints(of: datasource)
        }
        log.info("datasource.deleted", ["datasource_id": .string(datasource.id)])
        return .empty()
    }

    /// The body is the file itself, of any content type but multipart; `?name=` or `Content-Disposition` names it.
    private func upload(_ request: HTTPRequest) async throws -> HTTPResponse {
        let datasource = try await datasource(request)
        guard datasource.type.isFile else {
            throw Problem.badRequest("a \(datasource.type.rawValue) datasource takes no file")
        }
        if request.headers["content-type"]?.lowercased().hasPrefix("multipart/") == true {
            throw Problem.unsupportedMediaType(
                "send the file itself as the body, for example with curl --data-binary @file.csv")
        }
        let name = (request.query("name") ?? "").split(separator: "/").last.map { String($0.prefix(255)) }
        guard name?.utf8.contains(0) != true else {
            throw Problem.badRequest(field: "name", "must not hold a zero byte")
        }
        let file = try await store.storeFile(
            datasourceID: datasource.id, name: name ?? "upload.\(datasource.type.rawValue)",
            limit: maximumUploadBytes, request.bodyStream)
        return .json(.object(file.json), status: 201)
    }

    private func datasource(_ request: HTTPRequest) async throws -> Datasource {
        let id = request.parameters["id"] ?? ""
        guard let datasource = try await store.datasource(id: id) else { throw DatasourcesError.notFound(id: id) }
        return datasource
    }

    private func ask(
        _ question: DataHarvesterClient.Question, about datasource: Datasource, _ members: JSONObject,
        _ request: HTTPRequest, query: String = "queryTemplate"
    ) async throws -> HTTPResponse {
        var body = members
        body["datasource_id"] = .string(datasource.id)
        return try await ask(question, with: body, request, query: query)
    }

    /// The harvester's answer is passed on, in this API's words: it names the place and the field.
    private func ask(
        _ question: DataHarvesterClient.Question, with body: JSONObject, _ request: HTTPRequest,
        query: String = "queryTemplate"
    ) async throws -> HTTPResponse {
        let answer = try await harvester.ask(question, .object(body), trace: request.trace)
        return try await SourceTranslation.response(answer, instance: request.path, query: query)
    }
}

extension Datasource {
    /// What is kept of the settings and not acted upon yet, so that nobody waits for it.
    fileprivate var notes: JSONValue? {
        var notes: [JSONValue] = []
        if syncSchedule != nil {
            notes.append("syncSchedule is kept, but this version has no scheduler: start syncs with POST /api/sync/...")
        }
        if webhookEnabled { notes.append("webhookEnabled is kept, but this version receives no webhooks") }
        return notes.isEmpty ? nil : .array(notes)
    }
}

/// `limit` and `offset` of a list, and its answer `{items, total, limit, offset}`.
struct Page: Sendable {
    let limit: Int
    let offset: Int

    init(_ request: HTTPRequest) throws(Problem) {
        limit = try request.queryInteger("limit", default: 50, in: 1...500)
        offset = try request.queryInteger("offset", default: 0, in: 0...1_000_000_000)
    }

    func answer(_ items: [JSONValue], total: Int) -> HTTPResponse {
        let body: JSONValue = [
            "items": .array(items), "total": JSONValue(total), "limit": JSONValue(limit), "offset": JSONValue(offset),
        ]
        return .json(body)
    }
}
