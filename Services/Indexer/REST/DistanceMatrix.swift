import HTTPServer
import WireProtocol

/// `points/search/matrix`: how near points taken at random are to each other, for maps and clusters of a collection.
private struct DistanceMatrix {
    var ids: [PointID]
    /// Of each of `ids` its neighbours among them, the nearest first.
    var rows: [[(id: PointID, score: Float)]]

    init(_ body: RequestBody, of collection: String, in store: any VectorStore) async throws {
        try body.refuse("shard_key")
        let using = try body.text("using") ?? body.text("vector_name") ?? ""
        let sample = try body.count("sample", from: 2) ?? 10
        let limit = try body.count("limit", from: 1) ?? 3
        let filter = try body.filter()
        guard try await store.settings(of: collection).configuration.position(of: using) != nil else {
            throw StoreError.wrongInput("Not existing vector name error: \(using)")
        }
        guard sample <= Self.maximumSample else {
            throw RequestError.bad(
                "\(body.place("sample")): at most \(Self.maximumSample), for every point is compared with every other")
        }
        var random = QueryRequest(query: .sample, limit: sample)
        random.filter = Filter(must: [.hasVector(using)] + (filter.map { [.filter($0)] } ?? []))
        let ids = try await store.query(random, in: collection).map(\.id).sorted()
        var rows: [[(id: PointID, score: Float)]] = []
        for id in ids {
            let nearest = QueryRequest(
                query: .nearest(.point(id)), using: using, filter: Filter(must: [.hasID(ids)]), limit: limit,
                exact: true)
            rows.append(try await store.query(nearest, in: collection).map { ($0.id, $0.score ?? 0) })
        }
        // As Qdrant: a point alone has no distances, and is not told of.
        self.ids = ids.count > 1 ? ids : []
        self.rows = ids.count > 1 ? rows : []
    }
    private static let maximumSample = 2000
}

extension IndexerRoutes {
    @Sendable func matrixPairs(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let matrix = try await matrix(request)
        var writer = JSONWriter()
        writer.raw("{\"pairs\":[")
        var isFirst = true
        for (id, row) in zip(matrix.ids, matrix.rows) {
            for neighbour in row {
                writer.raw(isFirst ? "{\"a\":" : ",{\"a\":")
                isFirst = false
                writer.write(id.json)
                writer.raw(",\"b\":")
                writer.write(neighbour.id.json)
                writer.raw(",\"score\":")
                writer.write(neighbour.score)
                writer.raw("}")
            }
        }
        writer.raw("]}")
        return QdrantAnswer.ok(writer.bytes, since: started)
    }

    @Sendable func matrixOffsets(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let matrix = try await matrix(request)
        let places = Dictionary(matrix.ids.enumerated().map { ($1, $0) }) { first, _ in first }
        let cells = matrix.rows.enumerated().flatMap { row, neighbours in
            neighbours.map { (row: row, column: places[$0.id] ?? 0, score: $0.score) }
        }
        var writer = JSONWriter()
        func list<Element>(_ name: StaticString, _ elements: [Element], _ write: (Element) -> Void) {
            writer.raw(name)
            for (index, element) in elements.enumerated() {
                if index > 0 { writer.raw(",") }
                write(element)
            }
        }
        list("{\"offsets_row\":[", cells) { writer.write(Int64($0.row)) }
        list("],\"offsets_col\":[", cells) { writer.write(Int64($0.column)) }
        list("],\"scores\":[", cells) { writer.write($0.score) }
        list("],\"ids\":[", matrix.ids) { writer.write($0.json) }
        writer.raw("]}")
        return QdrantAnswer.ok(writer.bytes, since: started)
    }

    private func matrix(_ request: HTTPRequest) async throws -> DistanceMatrix {
        let body = try await body(of: request, checkedAs: "search_request")
        try await checkStrictly(request, reads: [body])
        return try await DistanceMatrix(body, of: request.collection, in: store)
    }
}
