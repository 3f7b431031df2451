import HTTPServer
import WireProtocol

/// `/api/search`: SPEC.md section 2.7.
struct SearchRoutes: Sendable {
    let collections: CollectionService
    let search: SearchService

    func add(to router: inout Router) {
        router.on("POST", "/api/search") { try await answer(SearchQuery($0.json()), $0) }
        router.on("GET", "/api/search") { try await answer(SearchQuery(query: $0), $0) }
    }

    private func answer(_ query: SearchQuery, _ request: HTTPRequest) async throws -> HTTPResponse {
        let start = ContinuousClock.now
        let collection = try await collections.collection(named: query.collection)
        var answer = try await search.answer(query, in: collection.active, trace: request.trace)
        if answer.mode == .hybrid, query.offset + query.limit > StoreQuery.depth {
            answer.notes.append(
                "a hybrid search is complete down to position \(StoreQuery.depth): narrow it with a filter")
        }
        let elapsed = (ContinuousClock.now - start).components
        let milliseconds = Double(elapsed.seconds) * 1000 + Double(elapsed.attoseconds) / 1e15
        var body: JSONObject = ["hits": .array(answer.hits.map(\.json))]
        body["total"] = answer.total.map(JSONValue.integer)
        body["facets"] = answer.facets.map(JSONValue.object)
        body["tookMs"] = .number((milliseconds * 10).rounded() / 10)
        body["mode"] = .string(answer.mode.rawValue)
        if !answer.notes.isEmpty { body["note"] = .string(answer.notes.joined(separator: "; ")) }
        return .json(.object(body))
    }
}
