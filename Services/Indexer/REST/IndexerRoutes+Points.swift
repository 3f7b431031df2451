import HTTPServer
import WireProtocol

extension IndexerRoutes {
    // MARK: - Writes

    @Sendable func upsert(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let wait = try request.queryFlag("wait", default: false)
        try await guardian.check(request, writesTo: request.collection, in: store)
        let configuration = try await store.collection(request.collection).configuration
        let changes = try await BlockingPool.run { try PointsBody(request.body).upserts(into: configuration) }
        metrics.add("suite_indexer_points_written_total", Double(changes.count), help: "Points written over REST.")
        return try await apply(.changes(changes), request, wait: wait, started)
    }

    @Sendable func deletePoints(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await applySelected(request, removal: true) { _ in .delete }
    }
    @Sendable func setPayload(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await applySelected(request) { .setPayload(try Self.payload(of: $0)) }
    }
    @Sendable func overwritePayload(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await applySelected(request) { .overwritePayload(try Self.payload(of: $0)) }
    }
    @Sendable func clearPayload(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await applySelected(request) { _ in .clearPayload }
    }
    @Sendable func deletePayload(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await applySelected(request) { body in
            guard let keys = body.value("keys")?.array else {
                throw RequestError.format("body", "missing field `keys`")
            }
            return .deletePayloadKeys(try RequestBody.paths(keys, "keys"))
        }
    }

    private static func payload(of body: RequestBody) throws -> JSONObject {
        try body.refuse("key")
        guard let payload = body.value("payload")?.object else {
            throw RequestError.format("payload", "must be an object")
        }
        return payload
    }

    private func applySelected(
        _ request: HTTPRequest, removal: Bool = false, _ change: (RequestBody) throws -> SelectedChange
    ) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let wait = try request.queryFlag("wait", default: false)
        try await guardian.check(request, writesTo: request.collection, in: store, removal: removal)
        let body = try RequestBody(try request.json())
        try body.refuse("shard_key")
        return try await apply(.selected(try body.selection(), try change(body)), request, wait: wait, started)
    }

    private func apply(
        _ update: PointsUpdate, _ request: HTTPRequest, wait: Bool, _ started: ContinuousClock.Instant
    ) async throws -> HTTPResponse {
        let outcome = try await store.apply(update, to: request.collection, wait: wait)
        return QdrantAnswer.ok(Self.updated(outcome.sequence, wait: wait), since: started)
    }

    // MARK: - Reads

    @Sendable func getPoint(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let text = request.parameters["id"] ?? ""
        guard let id = PointID(text: text) else {
            throw RequestError(
                status: 400,
                description:
                    "Wrong input: \(text) is not a valid point ID, valid values are either an unsigned integer or a UUID"
            )
        }
        let fields = PointFields(payload: .all, vectors: .all)
        guard let point = try await store.retrieve([id], from: request.collection, fields: fields).first else {
            throw RequestError(status: 404, description: "Not found: Point with id \(id) does not exists!")
        }
        var writer = JSONWriter()
        PointWriter.write(point, into: &writer)
        return QdrantAnswer.ok(writer.bytes, since: started)
    }

    @Sendable func retrieve(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try await body(of: request)
        try body.refuse("shard_key")
        guard let ids = try body.ids("ids") else { throw RequestError.format("body", "missing field `ids`") }
        let points = try await store.retrieve(ids, from: request.collection, fields: try body.fields(payload: true))
        return QdrantAnswer.ok(try await rendered(points), since: started)
    }

    @Sendable func scroll(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try await body(of: request)
        try body.refuse("order_by", "shard_key")
        let page = try await store.scroll(
            ScrollRequest(
                filter: try body.filter(), offset: try body.value("offset").map { try RequestBody.id($0, "offset") },
                limit: try body.count("limit", from: 1) ?? 10, fields: try body.fields(payload: true)),
            in: request.collection)
        var writer = JSONWriter()
        writer.raw("{\"points\":")
        writer.raw(try await rendered(page.points))
        writer.raw(",\"next_page_offset\":")
        writer.write(page.next?.json ?? .null)
        writer.raw("}")
        return QdrantAnswer.ok(writer.bytes, since: started)
    }

    @Sendable func count(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try await body(of: request)
        try body.refuse("shard_key")
        let count = try await store.count(try body.filter(), in: request.collection)
        return QdrantAnswer.ok(["count": JSONValue(count)], since: started)
    }

    @Sendable func query(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        return QdrantAnswer.ok(
            try await result(of: try await body(of: request), in: request.collection), since: started)
    }

    @Sendable func queryBatch(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        guard let searches = try await body(of: request).value("searches")?.array else {
            throw RequestError.format("body", "missing field `searches`")
        }
        var writer = JSONWriter()
        writer.raw("[")
        for (index, search) in searches.enumerated() {
            if index > 0 { writer.raw(",") }
            writer.raw(try await result(of: try RequestBody(search), in: request.collection))
        }
        writer.raw("]")
        return QdrantAnswer.ok(writer.bytes, since: started)
    }

    @Sendable func search(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let points = try await found(try QueryRequest.legacy(try await body(of: request)), in: request.collection)
        return QdrantAnswer.ok(try await rendered(points), since: started)
    }

    /// `{"points": [...]}`
    private func result(of body: RequestBody, in collection: String) async throws -> [UInt8] {
        let points = try await found(try QueryRequest(body), in: collection)
        var writer = JSONWriter()
        writer.raw("{\"points\":")
        writer.raw(try await rendered(points))
        writer.raw("}")
        return writer.bytes
    }

    private func found(_ query: QueryRequest, in collection: String) async throws -> [StoredPoint] {
        let started = ContinuousClock.now
        let points = try await store.query(query, in: collection)
        let elapsed = (ContinuousClock.now - started).components
        metrics.observe(
            "suite_indexer_search_seconds", Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18,
            help: "Searches of the vector store.")
        return points
    }

    // The event loop reads small bodies and writes small answers itself; the rest is for other threads.

    private func body(of request: HTTPRequest) async throws -> RequestBody {
        if request.body.count < 64 << 10 { return try RequestBody(try request.json()) }
        return try await BlockingPool.run { try RequestBody(try request.json()) }
    }

    private func rendered(_ points: [StoredPoint]) async throws -> [UInt8] {
        if points.count <= 20, points.first?.vectors == nil { return PointWriter.list(points) }
        return try await BlockingPool.run { PointWriter.list(points) }
    }
}
