import Datasources
import HTTPServer
import ServiceClients
import WireProtocol

/// `/api/search`: SPEC.md section 2.7.
struct SearchRoutes: Sendable {
    let collections: CollectionService
    let embedder: EmbedderClient
    let indexer: IndexerClient

    func add(to router: inout Router) {
        router.on("POST", "/api/search") { try await answer(SearchQuery($0.json()), $0) }
        router.on("GET", "/api/search") { try await answer(SearchQuery(query: $0), $0) }
    }

    private func answer(_ query: SearchQuery, _ request: HTTPRequest) async throws -> HTTPResponse {
        let start = ContinuousClock.now
        let collection = try await collections.collection(named: query.collection)
        let version = collection.active
        guard let space = version.space else { return respond(query, [], since: start, note: Self.emptyNote) }
        let vector = try await embedder.embed([query.text], space: space, task: "query", trace: request.trace).vectors[
            0]
        var body: JSONObject = [
            "query": .array(vector.map { .number(Double($0)) }), "using": .string(CollectionService.vectorName),
            "limit": JSONValue(query.limit), "offset": JSONValue(query.offset), "with_payload": true,
        ]
        body["filter"] = query.filter
        let points: [JSONValue]
        do {
            points = try await indexer.query(
                collection: version.physicalName, body: .object(body), trace: request.trace)
        } catch let error as ServiceClientError where error.status == 404 {
            return respond(query, [], since: start, note: Self.emptyNote)
        } catch let error as ServiceClientError where error.status == 400 || error.status == 422 {
            throw Problem.badRequest(field: "filter", "was refused by the store: \(error.detail)")
        }
        let isEmpty = points.isEmpty && query.offset == 0 && query.filter == nil
        return respond(
            query, points.map { SearchHit(point: $0).json }, since: start, note: isEmpty ? Self.emptyNote : nil)
    }

    private static let emptyNote = "the collection is empty: run a sync of its datasource"

    private func respond(
        _ query: SearchQuery, _ hits: [JSONValue], since start: ContinuousClock.Instant, note: String?
    ) -> HTTPResponse {
        let elapsed = (ContinuousClock.now - start).components
        let milliseconds = Double(elapsed.seconds) * 1000 + Double(elapsed.attoseconds) / 1e15
        var body: JSONObject = ["hits": .array(hits)]
        body["tookMs"] = .number((milliseconds * 10).rounded() / 10)
        body["mode"] = .string(SearchQuery.Mode.semantic.rawValue)
        body["note"] = note.map(JSONValue.string)
        return .json(.object(body))
    }
}

/// What is searched, checked.
struct SearchQuery: Sendable {
    enum Mode: String, CaseIterable, Sendable { case semantic, lexical, hybrid }
    static let maximumLimit = 1000
    static let maximumTextBytes = 16_384
    var collection: String
    var text: String
    var limit: Int
    var offset: Int
    var filter: JSONValue?

    init(_ body: JSONValue) throws(Problem) {
        guard let members = body.object else { throw .badRequest("the body must be a JSON object") }
        let known = ["collection", "query", "limit", "offset", "filter", "mode"]
        var errors = members.names.filter { !known.contains($0) }.map {
            FieldError(field: $0, message: "is not a member of a search")
        }
        func whole(_ name: String, _ fallback: Int, _ range: ClosedRange<Int>) -> Int {
            guard let value = members[name], !value.isNull else { return fallback }
            if let number = value.integer, range.contains(Int(clamping: number)) { return Int(number) }
            errors.append(
                FieldError(
                    field: name, message: "must be a whole number from \(range.lowerBound) to \(range.upperBound)"))
            return fallback
        }
        collection = members["collection"]?.string ?? ""
        text = members["query"]?.string ?? ""
        limit = whole("limit", 10, 1...Self.maximumLimit)
        offset = whole("offset", 0, 0...100_000)
        filter = members["filter"]?.nonNull
        if let filter, filter.object == nil { errors.append(FieldError(field: "filter", message: "must be an object")) }
        errors += Self.check(collection: collection, text: text, mode: members["mode"])
        if !errors.isEmpty { throw .badRequest("the search is not valid", errors: errors) }
    }

    /// `?collection=&q=&limit=`, for people with a browser.
    init(query request: HTTPRequest) throws(Problem) {
        collection = request.query("collection") ?? ""
        text = request.query("q") ?? ""
        limit = try request.queryInteger("limit", default: 10, in: 1...Self.maximumLimit)
        offset = try request.queryInteger("offset", default: 0, in: 0...100_000)
        let errors = Self.check(collection: collection, text: text, mode: nil, textName: "q")
        if !errors.isEmpty { throw .badRequest("the search is not valid", errors: errors) }
    }

    private static func check(
        collection: String, text: String, mode: JSONValue?, textName: String = "query"
    ) -> [FieldError] {
        var errors: [FieldError] = []
        if collection.isEmpty { errors.append(FieldError(field: "collection", message: "is required")) }
        if text.allSatisfy(\.isWhitespace) { errors.append(FieldError(field: textName, message: "is required")) }
        if text.utf8.count > maximumTextBytes {
            errors.append(FieldError(field: textName, message: "must have at most \(maximumTextBytes) bytes"))
        }
        if let mode, !mode.isNull {
            switch mode.string.flatMap(Mode.init) {
            case .semantic: break
            case .lexical, .hybrid:
                errors.append(FieldError(field: "mode", message: "only semantic search is there yet"))
            case nil: errors.append(FieldError(field: "mode", message: "must be semantic, lexical or hybrid"))
            }
        }
        return errors
    }
}
