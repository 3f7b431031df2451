import HTTPServer
import WireProtocol

extension IndexerRoutes {
    @Sendable func query(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try await body(of: request, checkedAs: "internal")
        try await checkStrictly(request, reads: [body])
        return QdrantAnswer.ok(try await result(of: body, request), since: started)
    }

    @Sendable func queryBatch(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await batch(request, checkedAs: "internal") { try await result(of: $0, request) }
    }

    @Sendable func queryGroups(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try await body(of: request, checkedAs: "search_group_request.group_request")
        let groups = try await reader(request).groups(body)
        try await checkStrictly(request, reads: [body])
        return QdrantAnswer.ok(try await found(groups, body, request), since: started)
    }

    /// `{"points": [...]}`
    private func result(of body: RequestBody, _ request: HTTPRequest) async throws -> [UInt8] {
        let points = try await found(try await reader(request).request(body), request)
        var writer = JSONWriter(reserving: points.count + 16)
        writer.raw("{\"points\":")
        writer.raw(points)
        writer.raw("}")
        return writer.bytes
    }

    // MARK: - As older clients ask

    @Sendable func search(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try await body(of: request, checkedAs: "search_request")
        let search = try await reader(request).search(body)
        try await checkStrictly(request, reads: [body])
        return QdrantAnswer.ok(try await found(search, request), since: started)
    }
    @Sendable func searchBatch(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await batch(request, checkedAs: "search_request") {
            try await found(try await reader(request).search($0), request)
        }
    }
    @Sendable func searchGroups(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try await body(of: request, checkedAs: "search_group_request.group_request")
        let groups = try await reader(request).searchGroups(body)
        try await checkStrictly(request, reads: [body])
        return QdrantAnswer.ok(try await found(groups, body, request), since: started)
    }
    @Sendable func recommend(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try await body(of: request, checkedAs: "recommend_request")
        try await checkStrictly(request, reads: [body])
        return QdrantAnswer.ok(try await found(try await reader(request).recommend(body), request), since: started)
    }
    @Sendable func recommendBatch(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await batch(request, checkedAs: "recommend_request") {
            try await found(try await reader(request).recommend($0), request)
        }
    }
    @Sendable func recommendGroups(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try await body(of: request, checkedAs: "recommend_group_request.group_request")
        let groups = try await reader(request).recommendGroups(body)
        try await checkStrictly(request, reads: [body])
        return QdrantAnswer.ok(try await found(groups, body, request), since: started)
    }

    @Sendable func discover(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try await body(of: request, checkedAs: "discover_request")
        try await checkStrictly(request, reads: [body])
        return QdrantAnswer.ok(try await found(try await reader(request).discover(body), request), since: started)
    }
    @Sendable func discoverBatch(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await batch(request, checkedAs: "discover_request") {
            try await found(try await reader(request).discover($0), request)
        }
    }

    // MARK: - Alike for all

    private func reader(_ request: HTTPRequest) -> QueryReader {
        QueryReader(store: store, collection: request.collection)
    }

    /// `{"searches": [...]}`, one after the other.
    private func batch(
        _ request: HTTPRequest, checkedAs structure: String, _ result: (RequestBody) async throws -> [UInt8]
    ) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try await body(of: request)
        guard let searches = try body.list("searches", checkedAs: structure) else { throw body.missing("searches") }
        try await checkStrictly(request, reads: searches, inBatch: true)
        var writer = JSONWriter()
        writer.raw("[")
        for (index, search) in searches.enumerated() {
            if index > 0 { writer.raw(",") }
            writer.raw(try await result(search))
        }
        writer.raw("]")
        return QdrantAnswer.ok(writer.bytes, since: started)
    }

    /// A list of points.
    private func found(_ query: QueryRequest, _ request: HTTPRequest) async throws -> [UInt8] {
        try await rendered(try await timed { try await store.query(query, in: request.collection) })
    }

    /// `{"groups": [{"id", "hits", "lookup"}]}`
    private func found(_ groups: GroupsRequest, _ body: RequestBody, _ request: HTTPRequest) async throws -> [UInt8] {
        let lookup = try GroupLookup(body)
        let found = try await timed { try await store.queryGroups(groups, in: request.collection) }
        let records = try await lookup?.records(of: found, in: store) ?? [:]
        var writer = JSONWriter()
        writer.raw("{\"groups\":[")
        for (index, group) in found.enumerated() {
            if index > 0 { writer.raw(",") }
            writer.raw("{\"hits\":")
            writer.raw(try await rendered(group.points))
            writer.raw(",\"id\":")
            writer.write(group.id)
            if let record = PointID(group.id).flatMap({ records[$0] }) {
                writer.raw(",\"lookup\":")
                PointWriter.write(record, into: &writer)
            }
            writer.raw("}")
        }
        writer.raw("]}")
        return writer.bytes
    }

    private func timed<Result>(_ search: () async throws -> Result) async throws -> Result {
        let started = ContinuousClock.now
        let result = try await search()
        let elapsed = (ContinuousClock.now - started).components
        metrics.observe(
            "suite_indexer_search_seconds", Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18,
            help: "Searches of the vector store.")
        return result
    }
}

/// `with_lookup`: groups named by ids of points in another collection are answered with these points.
private struct GroupLookup {
    var collection: String
    var fields = PointFields(payload: .all, vectors: .none)

    init?(_ body: RequestBody) throws {
        if body.value("with_lookup")?.string != nil {
            collection = try body.requiredText("with_lookup")
            return
        }
        guard let lookup = try body.inner("with_lookup") else { return nil }
        collection = try lookup.requiredText("collection")
        fields = try lookup.fields(payload: true)
    }

    func records(of groups: [PointGroup], in store: any VectorStore) async throws -> [PointID: StoredPoint] {
        let ids = groups.compactMap { PointID($0.id) }
        do {
            let points = try await store.retrieve(ids, from: collection, fields: fields)
            return Dictionary(points.map { ($0.id, $0) }) { first, _ in first }
        } catch StoreError.collectionNotFound {
            throw RequestError(status: 404, description: "Not found: Collection \(collection) not found")
        }
    }
}
