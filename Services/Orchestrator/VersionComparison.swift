import Datasources
import HTTPServer
import ServiceClients
import ServiceRuntime
import WireProtocol

/// What to compare two versions of a collection by.
struct ComparisonRequest: Sendable {
    static let maximumQueries = 50
    static let maximumLimit = 100
    /// Without any, texts of the collection's own records.
    var queries: [String] = []
    var limit = 10
    /// How many records to take texts of.
    var samples = 10
    var mode = SearchQuery.Mode.hybrid

    /// `?limit=&samples=&mode=`
    init(query request: HTTPRequest) throws(Problem) {
        limit = try request.queryInteger("limit", default: limit, in: 1...Self.maximumLimit)
        samples = try request.queryInteger("samples", default: samples, in: 1...Self.maximumQueries)
        var errors: [FieldError] = []
        if let given = request.query("mode") { read(mode: given, &errors) }
        if !errors.isEmpty { throw .badRequest("the comparison is not valid", errors: errors) }
    }

    /// `{"queries": [...], "limit": 10, "samples": 10, "mode": "hybrid"}`; all may be left out.
    init(_ body: JSONValue) throws(Problem) {
        guard let members = body.object else { throw .badRequest("the body must be a JSON object") }
        var errors: [FieldError] = []
        for name in members.names where !["queries", "limit", "samples", "mode"].contains(name) {
            errors.append(FieldError(field: name, message: "is unknown here: queries, limit, samples, mode"))
        }
        if let given = members["mode"]?.nonNull { read(mode: given.string, &errors) }
        if let given = members["queries"], !given.isNull {
            if let list = given.array, (1...Self.maximumQueries).contains(list.count) {
                for (index, item) in list.enumerated() {
                    if let text = item.string, !text.allSatisfy(\.isWhitespace),
                        text.utf8.count <= SearchQuery.maximumTextBytes
                    {
                        queries.append(text)
                    } else {
                        errors.append(
                            FieldError(
                                field: "queries[\(index)]",
                                message: "must be a text of at most \(SearchQuery.maximumTextBytes) bytes"))
                    }
                }
            } else {
                errors.append(
                    FieldError(field: "queries", message: "must be a list of 1 to \(Self.maximumQueries) texts"))
            }
        }
        func whole(_ name: String, _ fallback: Int, _ maximum: Int) -> Int {
            guard let value = members[name], !value.isNull else { return fallback }
            if let number = value.integer, (1...Int64(maximum)).contains(number) { return Int(number) }
            errors.append(FieldError(field: name, message: "must be a whole number from 1 to \(maximum)"))
            return fallback
        }
        limit = whole("limit", limit, Self.maximumLimit)
        samples = whole("samples", samples, Self.maximumQueries)
        if !errors.isEmpty { throw .badRequest("the comparison is not valid", errors: errors) }
    }

    private mutating func read(mode given: String?, _ errors: inout [FieldError]) {
        if let known = given.flatMap(SearchQuery.Mode.init) {
            mode = known
        } else {
            errors.append(FieldError(field: "mode", message: "must be semantic, lexical or hybrid"))
        }
    }
}

/// Two lists of hits for one query.
struct RankComparison: Sendable, Equatable {
    struct Change: Sendable, Equatable {
        var id: JSONValue
        var key: JSONValue
        /// From 1; `nil` where it is not among the first.
        var before: Int?
        var after: Int?
    }
    /// The share of the longer list that both have; 1 for two empty ones.
    let overlap: Double
    /// What moved, came or went: by its rank after, those that went last.
    let changes: [Change]

    init(before: [SearchHit], after: [SearchHit]) {
        func ranks(_ hits: [SearchHit]) -> [String: Int] {
            Dictionary(hits.enumerated().map { ($1.id.serialized, $0 + 1) }, uniquingKeysWith: { first, _ in first })
        }
        let (old, new) = (ranks(before), ranks(after))
        let longer = max(before.count, after.count)
        overlap = longer == 0 ? 1 : Double(old.keys.count { new[$0] != nil }) / Double(longer)
        let gone = before.filter { new[$0.id.serialized] == nil }
        changes = (after + gone).compactMap { hit in
            let id = hit.id.serialized
            return old[id] == new[id] ? nil : Change(id: hit.id, key: hit.key, before: old[id], after: new[id])
        }
    }
}

/// The first hits of two versions side by side, each searched with its own model, as `/api/search` would.
struct VersionComparison: Sendable {
    let search: SearchService
    let indexer: IndexerClient
    let datasources: DatasourceStore
    let trace: TraceContext

    func answer(
        _ asked: ComparisonRequest, collection: VectorCollection, other: VectorCollection.Version
    ) async throws -> JSONObject {
        let start = ContinuousClock.now
        let queries =
            asked.queries.isEmpty ? try await sampleTexts(of: collection, count: asked.samples) : asked.queries
        guard !queries.isEmpty else {
            throw Problem.conflict("the collection \(collection.name) is empty: give queries to compare by")
        }
        async let activeHits = hits(queries, in: collection.active, of: collection.name, asked)
        async let otherHits = hits(queries, in: other, of: collection.name, asked)
        let pairs = zip(try await activeHits, try await otherHits)
        var overlaps: [Double] = []
        let compared = zip(queries, pairs).map { query, pair -> JSONValue in
            let ranks = RankComparison(before: pair.0, after: pair.1)
            overlaps.append(ranks.overlap)
            return [
                "query": .string(query), "overlap": .number(Self.rounded(ranks.overlap)),
                "active": .array(pair.0.map(\.json)), "version": .array(pair.1.map(\.json)),
                "changes": .array(ranks.changes.map(\.json)),
            ]
        }
        let elapsed = (ContinuousClock.now - start) / .milliseconds(1)
        return [
            "collection": .string(collection.name), "active": .object(collection.active.json),
            "version": .object(other.json), "limit": JSONValue(asked.limit),
            "mode": .string(asked.mode.rawValue),
            "meanOverlap": .number(Self.rounded(overlaps.reduce(0, +) / Double(overlaps.count))),
            "queries": .array(compared), "tookMs": .number((elapsed * 10).rounded() / 10),
        ]
    }

    private static func rounded(_ share: Double) -> Double { (share * 1000).rounded() / 1000 }

    private func hits(
        _ queries: [String], in version: VectorCollection.Version, of collection: String, _ asked: ComparisonRequest
    ) async throws -> [[SearchHit]] {
        var answers: [[SearchHit]] = []
        for text in queries {
            let query = try SearchQuery([
                "collection": .string(collection), "query": .string(text), "limit": JSONValue(asked.limit),
                "mode": .string(asked.mode.rawValue),
            ])
            let answer = try await search.answer(query, in: version, trace: trace)
            // By words alone the versions differ in nothing: no answer to what was asked.
            guard answer.mode != .lexical || asked.mode == .lexical else {
                throw Problem.unavailable(
                    "the embedder does not answer for version \(version.number)", retryAfter: .seconds(5))
            }
            answers.append(answer.hits)
        }
        return answers
    }

    /// The names of records: of each the first field that its datasource embeds. Points are numbered by hashes, so that the first
    /// ones are any ones, and the same each time.
    private func sampleTexts(of collection: VectorCollection, count: Int) async throws -> [String] {
        let sources = try await datasources.datasources(collection: collection.name, limit: 10_000).items
        let fields = Dictionary(sources.map { ($0.id, $0.embeddingFields) }, uniquingKeysWith: { $1 })
        let body: JSONValue = ["limit": JSONValue(count), "with_payload": true]
        let points: [JSONValue]
        do {
            points = try await indexer.scroll(collection: collection.active.physicalName, body: body).points
        } catch let error as ServiceClientError where error.status == 404 {
            return []  // not filled yet
        }
        return points.compactMap { point in
            let payload = point["payload"]?.object ?? JSONObject()
            let names = fields[payload["_datasource"]?.string ?? ""] ?? []
            let text = names.lazy.compactMap { payload[$0]?.string }.first { !$0.allSatisfy(\.isWhitespace) }
            return text.map { String($0.prefix(500)) }
        }
    }
}

extension RankComparison.Change {
    fileprivate var json: JSONValue {
        [
            "id": id, "key": key, "activeRank": before.map { JSONValue($0) } ?? .null,
            "versionRank": after.map { JSONValue($0) } ?? .null,
        ]
    }
}
