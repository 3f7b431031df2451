import Datasources
import HTTPServer
import Lexical
import ServiceClients
import ServiceRuntime
import WireProtocol

/// Searches a collection by meaning, by words, or by both.
struct SearchService: Sendable {
    let embedder: EmbedderClient
    let indexer: IndexerClient
    let analyzer: LexicalAnalyzer
    let log: Log

    struct Answer: Sendable {
        var hits: [SearchHit] = []
        /// How many hits there are in all, where that is known.
        var total: Int64?
        var facets: JSONObject?
        /// What was searched by in the end.
        var mode: SearchQuery.Mode
        var notes: [String] = []
    }

    static let emptyNote = "the collection is empty: run a sync of its datasource"
    /// A search that words can answer does not wait longer than this for its vector.
    private static let patience = Duration.seconds(5)

    func answer(
        _ query: SearchQuery, in version: VectorCollection.Version, trace: TraceContext
    ) async throws -> Answer {
        guard let space = version.space else { return Answer(mode: query.mode, notes: [Self.emptyNote]) }
        async let counted = count(query, version)
        async let facets = facets(query, version)
        var answer = Answer(mode: query.mode)
        var search = StoreQuery(
            words: analyzer.query(query.text), vectorsKnowMeanings: space.provider != "hashing", filter: query.filter)
        if query.mode == .lexical, search.words.isEmpty {
            answer.notes.append("the query has no word, number or code to look for")
        }
        if query.mode != .lexical {
            search.vector = try await vector(query, space, words: search.words, trace, &answer)
        }
        if answer.mode == .hybrid, search.words.isEmpty { answer.mode = .semantic }
        var points: [JSONValue] = []
        if answer.mode != .lexical || !search.words.isEmpty {
            points = try await self.points(query, search, version, trace, &answer)
        }
        answer.hits = try await highlighted(points, search.words)
        let number = try await counted
        answer.total = try await total(query, search, version, of: number, answer)
        answer.facets = try await facets
        if answer.hits.isEmpty, query.filter == nil, number == 0 { answer.notes.append(Self.emptyNote) }
        return answer
    }

    /// The query's embedding. A hybrid search goes on by words when the embedder is away.
    private func vector(
        _ query: SearchQuery, _ space: EmbeddingSpace, words: LexicalQuery, _ trace: TraceContext,
        _ answer: inout Answer
    ) async throws -> [Float]? {
        let mayGoOn = query.mode == .hybrid && !words.isEmpty
        do {
            return try await embedder.embed(
                [query.text], space: space, task: "query", trace: trace,
                timeout: mayGoOn ? Self.patience : .seconds(30),
                isPatient: !mayGoOn
            ).vectors[0]
        } catch let error as ServiceClientError where mayGoOn {
            log.warning("search.without_meaning", ["error": .string("\(error)")])
            answer.mode = .lexical
            answer.notes.append("the embedder does not answer: searched by words alone")
            return nil
        }
    }

    private func points(
        _ query: SearchQuery, _ search: StoreQuery, _ version: VectorCollection.Version, _ trace: TraceContext,
        _ answer: inout Answer
    ) async throws -> [JSONValue] {
        do {
            return try await self.points(query, search, version, trace, mode: answer.mode)
        } catch let error as ServiceClientError where Self.hasNoWords(error) && answer.mode != .semantic {
            guard query.mode == .hybrid, search.vector != nil else {
                throw Problem.conflict(
                    "the collection \(query.collection) was made without lexical vectors: it can be searched by meaning (mode semantic); POST /api/collections/\(query.collection)/rebuild makes it anew with both"
                )
            }
            answer.mode = .semantic
            answer.notes.append(
                "the collection was made without lexical vectors: searched by meaning alone; rebuild it for both")
            return try await self.points(query, search, version, trace, mode: .semantic)
        }
    }

    private func points(
        _ query: SearchQuery, _ search: StoreQuery, _ version: VectorCollection.Version, _ trace: TraceContext,
        mode: SearchQuery.Mode
    ) async throws -> [JSONValue] {
        do {
            return try await indexer.query(
                collection: version.physicalName,
                body: search.body(mode, limit: query.limit, offset: query.offset), trace: trace)
        } catch let error as ServiceClientError where error.status == 404 {
            return []  // not filled yet
        } catch let error as ServiceClientError
            where [400, 422].contains(error.status) && !Self.hasNoWords(error) && query.filter != nil
        {
            throw Self.refusedFilter(error)
        }
    }

    /// The place in the filter as it was asked, not in the store's query that was made of it.
    private static func refusedFilter(_ error: ServiceClientError) -> Problem {
        if let match = error.detail.firstMatch(of: /(?:prefetch(?:\[[0-9]+\])?\.)*(filter[^: ]*): (.+)/) {
            return .badRequest(field: String(match.1), String(match.2))
        }
        return .badRequest(field: "filter", "was refused by the store: \(error.detail)")
    }

    /// Qdrant's words for a vector that a collection does not have.
    private static func hasNoWords(_ error: ServiceClientError) -> Bool {
        error.status == 400 && error.detail.contains("vector name")
            && error.detail.contains(CollectionService.wordsName)
    }

    // MARK: - Beside the hits

    /// Points that match the filter; 0 of a collection that is not there yet.
    private func count(_ query: SearchQuery, _ version: VectorCollection.Version) async throws -> Int64 {
        do {
            return try await indexer.count(collection: version.physicalName, filter: query.filter)
        } catch let error as ServiceClientError where error.status == 404 {
            return 0
        } catch let error as ServiceClientError where [400, 422].contains(error.status) {
            throw Self.refusedFilter(error)
        }
    }

    /// By meaning every point that matches the filter is a hit; so it is in a hybrid search that reads them all. By words those that
    /// have a word of the query: counted up to `StoreQuery.depth`.
    private func total(
        _ query: SearchQuery, _ search: StoreQuery, _ version: VectorCollection.Version, of matching: Int64,
        _ answer: Answer
    ) async throws -> Int64? {
        switch answer.mode {
        case .semantic: return matching
        case .hybrid: return matching <= StoreQuery.depth ? matching : nil
        case .lexical:
            if search.words.isEmpty { return 0 }
            if answer.hits.count < query.limit, !answer.hits.isEmpty || query.offset == 0 {
                return Int64(query.offset + answer.hits.count)
            }
            do {
                let found = try await indexer.query(
                    collection: version.physicalName,
                    body: search.body(.lexical, limit: StoreQuery.depth + 1, offset: 0, withPayload: false))
                return found.count <= StoreQuery.depth ? Int64(found.count) : nil
            } catch let error as ServiceClientError where error.status == 404 {
                return 0
            }
        }
    }

    /// Each key's most frequent values and how many points have them, of all that match the filter, whatever the query.
    private func facets(_ query: SearchQuery, _ version: VectorCollection.Version) async throws -> JSONObject? {
        if query.facets.isEmpty { return nil }
        var facets = JSONObject()
        for key in query.facets {
            do {
                let values = try await indexer.facet(collection: version.physicalName, key: key, filter: query.filter)
                facets[key] = .array(values)
            } catch let error as ServiceClientError where error.status == 404 {
                facets[key] = []
            } catch let error as ServiceClientError where [400, 422].contains(error.status) {
                throw Problem.badRequest(field: "facets", "\(key) was refused by the store: \(error.detail)")
            }
        }
        return facets
    }

    /// Off the event loop: a thousand long records take a while.
    private func highlighted(_ points: [JSONValue], _ words: LexicalQuery) async throws -> [SearchHit] {
        if points.isEmpty { return [] }
        return try await BlockingPool.run { [analyzer] in
            points.map { point in
                var hit = SearchHit(point: point)
                hit.highlights = analyzer.highlights(words, in: hit.payload)
                return hit
            }
        }
    }
}
