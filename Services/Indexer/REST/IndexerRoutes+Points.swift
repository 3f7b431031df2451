import HTTPServer
import WireProtocol

extension IndexerRoutes {
    // MARK: - Writes

    @Sendable func upsert(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await writePoints(request, .upsert)
    }
    @Sendable func updateVectors(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await writePoints(request, .updateVectors)
    }
    @Sendable func deletePoints(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await change(request, .delete)
    }
    @Sendable func setPayload(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await change(request, .setPayload)
    }
    @Sendable func overwritePayload(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await change(request, .overwritePayload)
    }
    @Sendable func clearPayload(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await change(request, .clearPayload)
    }
    @Sendable func deletePayload(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await change(request, .deletePayload)
    }
    @Sendable func deleteVectors(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await change(request, .deleteVectors)
    }

    private func writePoints(_ request: HTTPRequest, _ operation: UpdateReader.Operation) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let wait = try request.waits
        let body = try await BlockingPool.run { try PointsBody(request.body) }
        try await guardian.check(request, writesTo: request.collection, in: store)
        var reader = UpdateReader(try await store.collection(request.collection).configuration)
        let update = try reader.update(operation, body)
        metrics.add("suite_indexer_points_written_total", Double(body.points.count), help: "Points written over REST.")
        return try await apply(update, request, reader, wait: wait, started)
    }

    private func change(_ request: HTTPRequest, _ operation: UpdateReader.Operation) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let wait = try request.waits
        let body = try await body(of: request)
        try await guardian.check(request, writesTo: request.collection, in: store, removal: operation == .delete)
        let reader = UpdateReader(try await store.collection(request.collection).configuration)
        return try await apply(try reader.update(operation, body), request, reader, wait: wait, started)
    }

    /// Several operations as one: all of them or none.
    @Sendable func updateBatch(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let wait = try request.waits
        let body = try await body(of: request)
        try await guardian.check(request, writesTo: request.collection, in: store)
        let configuration = try await store.collection(request.collection).configuration
        let (updates, reader) = try await BlockingPool.run {
            var reader = UpdateReader(configuration)
            return (try reader.batch(body), reader)
        }
        if updates.isEmpty { return QdrantAnswer.ok(.array([]), since: started) }
        try await checkStrictly(request, writes: .batch(updates))
        try await checkThere(reader.needed, in: request.collection)
        let outcome = try await store.apply(.batch(updates), to: request.collection, wait: wait)
        let result = Self.updated(outcome.sequence, wait: wait)
        return QdrantAnswer.ok(.array(Array(repeating: result, count: updates.count)), since: started)
    }

    private func apply(
        _ update: PointsUpdate, _ request: HTTPRequest, _ reader: UpdateReader, wait: Bool,
        _ started: ContinuousClock.Instant
    ) async throws -> HTTPResponse {
        try await checkStrictly(request, writes: update)
        try await checkThere(reader.needed, in: request.collection)
        let outcome = try await store.apply(update, to: request.collection, wait: wait)
        return QdrantAnswer.ok(Self.updated(outcome.sequence, wait: wait), since: started)
    }

    /// Throws: `pointNotFound`.
    private func checkThere(_ ids: [PointID], in collection: String) async throws {
        if ids.isEmpty { return }
        let fields = PointFields(payload: .none, vectors: .none)
        let found = Set(try await store.retrieve(ids, from: collection, fields: fields).map(\.id))
        if let missing = ids.first(where: { !found.contains($0) }) { throw StoreError.pointNotFound(missing) }
    }

    // MARK: - Reads

    @Sendable func getPoint(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let text = request.parameters["id"] ?? ""
        guard let id = PointID(text: text) else {
            throw RequestError.bad("Can not recognize \"\(text)\" as point id")
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
        guard let ids = try body.ids("ids") else { throw body.missing("ids") }
        try await checkStrictly(request, reads: [body])
        let points = try await store.retrieve(ids, from: request.collection, fields: try body.fields(payload: true))
        return QdrantAnswer.ok(try await rendered(points), since: started)
    }

    @Sendable func scroll(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try await body(of: request, checkedAs: "scroll_request")
        try body.refuse("shard_key")
        let order = try QueryReader.orderBy(body)
        let offset = try body.value("offset").map { try RequestBody.id($0, "offset") }
        if order != nil, offset != nil {
            throw RequestError.bad(
                "Cannot use an `offset` when using `order_by`. The alternative for paging is to use `order_by.start_from` and a filter to exclude the IDs that you've already seen for the `order_by.start_from` value"
            )
        }
        try await checkStrictly(request, reads: [body])
        let page = try await store.scroll(
            ScrollRequest(
                filter: try body.filter(), offset: offset, limit: try body.count("limit", from: 1) ?? 10,
                orderBy: order, fields: try body.fields(payload: true)),
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
        _ = try body.flag("exact")  // counts are exact in any case
        try await checkStrictly(request, reads: [body])
        let count = try await store.count(try body.filter(), in: request.collection)
        return QdrantAnswer.ok(["count": JSONValue(count)], since: started)
    }

    @Sendable func facet(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try await body(of: request, checkedAs: "facet_request")
        try body.refuse("shard_key")
        guard let key = try body.payloadPath("key") else { throw body.missing("key") }
        let facet = FacetRequest(
            key: key, filter: try body.filter(), limit: try body.count("limit", from: 1) ?? 10,
            exact: try body.flag("exact") ?? false)
        try await checkStrictly(request, reads: [body])
        let hits = try await store.facet(facet, in: request.collection).map { hit in
            JSONValue.object(JSONObject(unique: [("value", hit.value), ("count", JSONValue(hit.count))]))
        }
        return QdrantAnswer.ok(["hits": .array(hits)], since: started)
    }

    // The event loop reads small bodies and writes small answers itself; the rest is for other threads.

    func body(of request: HTTPRequest, checkedAs structure: String? = nil) async throws -> RequestBody {
        if request.body.count < 64 << 10 { return try RequestBody(try request.json(), checkedAs: structure) }
        return try await BlockingPool.run { try RequestBody(try request.json(), checkedAs: structure) }
    }

    func rendered(_ points: [StoredPoint]) async throws -> [UInt8] {
        if points.count <= 20, points.first?.vectors == nil { return PointWriter.list(points) }
        return try await BlockingPool.run { PointWriter.list(points) }
    }
}

extension HTTPRequest {
    /// `?wait=true`
    var waits: Bool {
        get throws {
            switch query("wait") {
            case nil, "false": return false
            case "true": return true
            default:
                throw RequestError(
                    status: 400,
                    description: "Deserialize error in query parameters: wait must be `true` or `false`")
            }
        }
    }
}
