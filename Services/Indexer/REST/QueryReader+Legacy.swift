import WireProtocol

/// `points/search`, `points/recommend` and `points/discover`, which Qdrant had before `points/query` and old clients still use.
extension QueryReader {
    func search(_ body: RequestBody) async throws -> QueryRequest { try page(body, of: try searched(body)) }
    func recommend(_ body: RequestBody) async throws -> QueryRequest { try page(body, of: try await recommended(body)) }

    func discover(_ body: RequestBody) async throws -> QueryRequest {
        try page(body, of: try await exemplified(body) { try await discovery(body, using: $0, $1) })
    }

    func searchGroups(_ body: RequestBody) async throws -> GroupsRequest { try groups(of: try searched(body), body) }

    func recommendGroups(_ body: RequestBody) async throws -> GroupsRequest {
        try groups(of: try await recommended(body), body)
    }

    /// `vector`: numbers, or `{"name", "vector"}`.
    private func searched(_ body: RequestBody) throws -> QueryRequest {
        var request = QueryRequest()
        if let named = body.value("vector")?.object, named["vector"] != nil, let vector = try body.inner("vector") {
            request.using = try vector.text("name") ?? ""
            request.query = .nearest(try Self.vector(vector))
        } else {
            request.query = .nearest(try Self.vector(body))
        }
        try readRest(body, into: &request)
        return request
    }
    private static func vector(_ body: RequestBody) throws -> VectorTarget {
        let target = try example(try body.required("vector"), body.place("vector"))
        if case .point = target { throw RequestError.format(body.place("vector"), "must be a vector, not an id") }
        return target
    }

    private func recommended(_ body: RequestBody) async throws -> QueryRequest {
        try await exemplified(body) { try await recommendation(body, using: $0, $1) }
    }

    private func exemplified(
        _ body: RequestBody, _ query: (_ using: String, Lookup?) async throws -> Query
    ) async throws -> QueryRequest {
        var request = QueryRequest()
        // Once `{"name": "image"}` too.
        request.using =
            try body.value("using")?.object != nil
            ? body.inner("using")?.text("name") ?? "" : body.text("using") ?? ""
        try readRest(body, into: &request)
        request.query = try await query(request.using, try Lookup(body))
        return request
    }

    private func readRest(_ body: RequestBody, into request: inout QueryRequest) throws {
        try body.refuse("shard_key")
        request.filter = try body.filter()
        request.scoreThreshold = try body.number("score_threshold")
        request.exact = try Self.exact(body)
        request.fields = try body.fields(payload: false)
    }

    private func page(_ body: RequestBody, of request: QueryRequest) throws -> QueryRequest {
        guard let limit = try body.count("limit", from: 1) ?? body.count("top", from: 1) else {
            throw body.missing("limit")
        }
        var request = request
        request.limit = limit
        request.offset = try body.count("offset", from: 0) ?? 0
        return request
    }

    private func groups(of query: QueryRequest, _ body: RequestBody) throws -> GroupsRequest {
        guard let groupBy = try body.payloadPath("group_by") else { throw body.missing("group_by") }
        guard let size = try body.count("group_size", from: 1) else { throw body.missing("group_size") }
        guard let groups = try body.count("limit", from: 1) else { throw body.missing("limit") }
        return GroupsRequest(query: query, groupBy: groupBy, groupSize: size, groups: groups)
    }
}
