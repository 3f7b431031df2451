import WireProtocol

/// Reads the bodies of queries, and looks up the vectors of points that they name in another collection (`lookup_from`).
struct QueryReader {
    let store: any VectorStore
    let collection: String

    /// `POST points/query`
    func request(_ body: RequestBody) async throws -> QueryRequest {
        var request = try await base(body)
        request.limit = try body.count("limit", from: 1) ?? 10
        request.offset = try body.count("offset", from: 0) ?? 0
        return request
    }

    /// `POST points/query/groups`
    func groups(_ body: RequestBody) async throws -> GroupsRequest {
        guard let groupBy = try body.payloadPath("group_by") else { throw body.missing("group_by") }
        return GroupsRequest(
            query: try await base(body), groupBy: groupBy, groupSize: try body.count("group_size", from: 1) ?? 3,
            groups: try body.count("limit", from: 1) ?? 10)
    }

    /// What queries and groups of them have alike.
    private func base(_ body: RequestBody) async throws -> QueryRequest {
        let stage = try await stage(body)
        return QueryRequest(
            prefetch: stage.prefetch, query: stage.query, using: stage.using, filter: stage.filter,
            scoreThreshold: stage.scoreThreshold, exact: stage.exact, idfCorpus: stage.idfCorpus,
            fields: try body.fields(payload: false))
    }

    private func stage(_ body: RequestBody) async throws -> Prefetch {
        try body.refuse("shard_key")
        var stage = Prefetch()
        for inner in try body.list("prefetch", orOne: true) ?? [] { stage.prefetch.append(try await self.stage(inner)) }
        stage.using = try body.text("using") ?? ""
        stage.filter = try body.filter()
        stage.limit = try body.count("limit", from: 1) ?? 10
        stage.scoreThreshold = try body.number("score_threshold")
        stage.exact = try Self.exact(body)
        stage.idfCorpus = try Self.idfCorpus(body)
        let lookup = try Lookup(body)
        if let query = body.value("query") {
            stage.query = try await self.query(query, body.place("query"), using: stage.using, lookup)
        }
        try Self.check(stage, body)
        return stage
    }

    /// Source: `CollectionQueryRequest::validation` of Qdrant, in its words.
    private static func check(_ stage: Prefetch, _ body: RequestBody) throws {
        if !stage.prefetch.isEmpty, stage.query == nil {
            throw RequestError.bad(
                "A query is needed to merge the prefetches. Can't have prefetches without defining a query.")
        }
        if stage.scoreThreshold != nil {
            if stage.query == nil {
                throw RequestError.bad(
                    "A query is needed to use the score_threshold. Can't have score_threshold without defining a query."
                )
            }
            if case .orderBy? = stage.query {
                throw RequestError.bad("Can't use score_threshold with an order_by query.")
            }
        }
        if case .formula? = stage.query, stage.prefetch.isEmpty {
            throw RequestError.bad("cannot apply Formula without prefetches")
        }
        guard case .fusion(let fusion)? = stage.query else { return }
        if !stage.using.isEmpty {
            throw RequestError.bad("Fusion queries cannot be combined with the 'using' field.")
        }
        if stage.prefetch.isEmpty { throw RequestError.bad("cannot apply Fusion without prefetches") }
        if case .rrf(_, let weights?) = fusion, weights.count != stage.prefetch.count {
            throw RequestError.bad(
                "\(body.place("query.rrf.weights")): \(weights.count) weights for \(stage.prefetch.count) prefetches")
        }
    }

    private static func idfCorpus(_ body: RequestBody) throws -> Filter? {
        guard let parameters = try body.inner("params"), let value = parameters.value("idf"), value != "global" else {
            return nil
        }
        guard let scope = try parameters.inner("idf"), let corpus = try scope.filter("corpus") else {
            throw RequestError.format(parameters.place("idf"), "must be \"global\" or an object with a corpus")
        }
        return corpus
    }

    static func exact(_ body: RequestBody) throws -> Bool {
        guard let parameters = try body.inner("params") else { return false }
        _ = try parameters.count("hnsw_ef", from: 1)
        return try parameters.flag("exact") ?? false
    }

    // MARK: - Queries

    private func query(
        _ value: JSONValue, _ path: String, using: String, _ lookup: Lookup?
    ) async throws -> Query {
        guard case .object(let object) = value, object["indices"] == nil else {
            return .nearest(try await target(value, path, using: using, lookup))
        }
        let body = try RequestBody(value, at: path)
        if let nearest = body.value("nearest") {
            let target = try await target(nearest, body.place("nearest"), using: using, lookup)
            return try Self.diverse(body, target) ?? .nearest(target)
        }
        if let recommend = try body.inner("recommend") {
            return try await recommendation(recommend, using: using, lookup)
        }
        if let discover = try body.inner("discover") {
            _ = try discover.required("target")
            if discover.object["context"] == nil { throw discover.missing("context") }
            return try await discovery(discover, using: using, lookup)
        }
        if body.value("context") != nil { return try await discovery(body, using: using, lookup) }
        if object["order_by"] != nil {
            guard let order = try Self.orderBy(body) else { throw body.missing("order_by") }
            return .orderBy(order)
        }
        let fusions: KeyValuePairs<String, Fusion> = ["rrf": .rrf(k: 2, weights: nil), "dbsf": .dbsf]
        if let fusion = try body.choice("fusion", fusions) { return .fusion(fusion) }
        if let rrf = try body.inner("rrf") {
            let weights = try rrf.value("weights").map { try Self.floats($0, rrf.place("weights")) }
            return .fusion(.rrf(k: try rrf.count("k", from: 1) ?? 2, weights: weights))
        }
        if try body.choice("sample", ["random": true]) != nil { return .sample }
        if object["formula"] != nil { return .formula(try Formula(object)) }
        if let feedback = try body.inner("relevance_feedback") {
            return .feedback(try await self.feedback(feedback, using: using, lookup))
        }
        _ = try await target(value, path, using: using, lookup)  // says what is wrong with it
        throw RequestError.format(path, "is no query")
    }

    private func target(
        _ value: JSONValue, _ path: String, using: String, _ lookup: Lookup?
    ) async throws -> VectorTarget {
        switch try Self.example(value, path) {
        case .values(let values): return .values(values)
        case .point(let id):
            guard let lookup else { return .point(id) }
            return .values(try await vectors(of: [id], using: using, lookup)[0])
        }
    }

    /// A vector or a point's id.
    static func example(_ value: JSONValue, _ path: String) throws -> VectorTarget {
        switch value {
        case .array(let numbers):
            if numbers.first?.array != nil { throw RequestError.unsupported(path, "a multivector") }
            return .values(.dense(try floats(value, path)))
        case .integer, .unsigned, .number, .string: return .point(try RequestBody.id(value, path))
        case .object(let object):
            if object["indices"] != nil || object["values"] != nil {
                return .values(.sparse(try sparse(RequestBody(value, at: path))))
            }
            for kind in ["text", "image", "object"] where object[kind] != nil {
                throw RequestError.unsupported(path, "inference")
            }
            throw RequestError.format(
                path, "no query or vector has the members \(object.names.joined(separator: ", "))")
        default: throw RequestError.format(path, "must be a vector, a point id, or an object")
        }
    }

    private static func sparse(_ body: RequestBody) throws -> SparseVector {
        let given = try body.required("indices").array?.map { $0.integer.flatMap { UInt32(exactly: $0) } }
        guard let given, !given.contains(nil) else {
            throw RequestError.format(body.place("indices"), "must be a list of unsigned 32 bit integers")
        }
        let indices = given.compactMap(\.self)
        let values = try floats(try body.required("values"), body.place("values"))
        guard indices.count == values.count else {
            throw RequestError.validation(
                body.place("values"), "Validation error: must be the same length as indices [{}]")
        }
        let order = indices.indices.sorted { indices[$0] < indices[$1] }
        guard zip(order, order.dropFirst()).allSatisfy({ indices[$0] != indices[$1] }) else {
            throw RequestError.validation(body.place("indices"), "Validation error: must be unique [{}]")
        }
        return SparseVector(indices: order.map { indices[$0] }, values: order.map { values[$0] })
    }

    private static func floats(_ value: JSONValue, _ path: String) throws -> [Float] {
        guard let numbers = value.array else { throw RequestError.format(path, "must be a list of numbers") }
        return try numbers.enumerated().map { index, number in
            guard let number = number.double.map({ Float($0) }), number.isFinite else {
                throw RequestError.format("\(path)[\(index)]", "must be a finite 32 bit number")
            }
            return number
        }
    }

    /// `order_by`: a key, or an object with one.
    static func orderBy(_ body: RequestBody) throws -> OrderBy? {
        if body.value("order_by")?.string != nil { return try body.payloadPath("order_by").map { OrderBy(key: $0) } }
        guard let order = try body.inner("order_by") else { return nil }
        guard let key = try order.payloadPath("key") else { throw order.missing("key") }
        let start = order.value("start_from")
        if let start, start.double == nil, start.string.flatMap(PayloadDate.microseconds) == nil {
            throw RequestError.format(order.place("start_from"), "must be a number or an RFC 3339 date")
        }
        return OrderBy(
            key: key, descending: try order.choice("direction", ["asc": false, "desc": true]) ?? false, startFrom: start
        )
    }
}

// MARK: - Vectors of other points

extension QueryReader {
    /// `lookup_from`: the collection, and the vector in it, that ids of examples are looked up in.
    struct Lookup {
        var collection: String
        var vector: String?

        init?(_ body: RequestBody) throws {
            guard let lookup = try body.inner("lookup_from") else { return nil }
            try lookup.refuse("shard_key")
            collection = try lookup.requiredText("collection")
            vector = try lookup.text("vector")
        }
    }

    /// By default the average of what is liked, moved away from the average of what is not.
    func recommendation(_ body: RequestBody, using: String, _ lookup: Lookup?) async throws -> Query {
        let strategies: KeyValuePairs<String, RecommendStrategy> = [
            "average_vector": .averageVector, "best_score": .bestScore, "sum_scores": .sumScores,
        ]
        let strategy = try body.choice("strategy", strategies) ?? .averageVector
        let positive = try examples(body, "positive")
        let negative = try examples(body, "negative")
        if positive.isEmpty, strategy == .averageVector || negative.isEmpty {
            throw RequestError.bad(
                strategy == .averageVector
                    ? "At least one positive vector/id must be provided with the average_vector strategy"
                    : "At least one positive or negative vector/id must be provided")
        }
        return .recommend(
            positive: try await found(positive, using: using, lookup),
            negative: try await found(negative, using: using, lookup), strategy)
    }

    /// `{"target", "context": [{"positive", "negative"}]}`; without a target by the context alone.
    func discovery(_ body: RequestBody, using: String, _ lookup: Lookup?) async throws -> Query {
        var all: [VectorTarget] = []
        for pair in try body.list("context", orOne: true) ?? [] {
            for name in ["positive", "negative"] {
                all.append(try Self.example(try pair.required(name), pair.place(name)))
            }
        }
        let target = try body.value("target").map { try Self.example($0, body.place("target")) }
        if target == nil, all.isEmpty { throw RequestError.bad("a target or a context is needed") }
        let pairs = try await found(all, using: using, lookup)
        let context = stride(from: 0, to: pairs.count, by: 2).map {
            ContextPair(positive: pairs[$0], negative: pairs[$0 + 1])
        }
        guard let target else { return .context(context) }
        return .discover(target: try await found([target], using: using, lookup)[0], context: context)
    }

    /// `{"target", "feedback": [{"example", "score"}], "strategy": {"naive": {"a", "b", "c"}}}`
    private func feedback(_ body: RequestBody, using: String, _ lookup: Lookup?) async throws -> RelevanceFeedback {
        guard let naive = try body.inner("strategy")?.inner("naive") else { throw body.missing("strategy") }
        func number(_ name: String, of body: RequestBody) throws -> Float {
            guard let number = try body.number(name) else { throw body.missing(name) }
            return number
        }
        let (a, b, c) = (try number("a", of: naive), try number("b", of: naive), try number("c", of: naive))
        if b < 0 { throw RequestError.validation(naive.place("b"), "value \(b) invalid, must be 0 or larger") }
        let target = try Self.example(try body.required("target"), body.place("target"))
        let items = try body.list("feedback") ?? []
        let examples = try items.map { try Self.example(try $0.required("example"), $0.place("example")) }
        let scores = try items.map { try number("score", of: $0) }
        let found = try await found([target] + examples, using: using, lookup)
        return RelevanceFeedback(
            target: found[0],
            items: zip(found.dropFirst(), scores).map { RelevanceFeedback.Item(example: $0, score: $1) }, a: a, b: b,
            c: c
        )
    }

    /// `{"nearest", "mmr": {"diversity", "candidates_limit"}}`
    private static func diverse(_ body: RequestBody, _ target: VectorTarget) throws -> Query? {
        guard let mmr = try body.inner("mmr") else { return nil }
        let diversity = try mmr.number("diversity") ?? 0.5
        guard (0...1).contains(diversity) else {
            throw RequestError.validation(
                mmr.place("diversity"), "value \(diversity) invalid, must be from 0.0 to 1.0")
        }
        let candidates = try mmr.count("candidates_limit", from: 0)
        if let candidates, candidates > Diversity.maximumCandidates {
            throw RequestError.validation(
                mmr.place("candidates_limit"),
                "value \(candidates) invalid, must be \(Diversity.maximumCandidates) or smaller")
        }
        return .diverse(target, diversity: diversity, candidates: candidates)
    }

    private func examples(_ body: RequestBody, _ name: String) throws -> [VectorTarget] {
        guard let value = body.value(name) else { return [] }
        guard let list = value.array else {
            throw RequestError.format(body.place(name), "must be a list of vectors and ids")
        }
        return try list.enumerated().map { try Self.example($1, "\(body.place(name))[\($0)]") }
    }

    /// With `lookup` vectors in place of ids.
    private func found(_ examples: [VectorTarget], using: String, _ lookup: Lookup?) async throws -> [VectorTarget] {
        guard let lookup else { return examples }
        let ids = examples.compactMap { if case .point(let id) = $0 { id } else { nil } }
        var vectors = (try await vectors(of: ids, using: using, lookup))[...]
        return examples.map { example in
            if case .point = example { .values(vectors.removeFirst()) } else { example }
        }
    }

    /// One for each id, in their order.
    private func vectors(of ids: [PointID], using: String, _ lookup: Lookup) async throws -> [VectorValues] {
        let name = lookup.vector ?? using
        let from = lookup.collection
        let fields = PointFields(payload: .none, vectors: .named([name]))
        let points: [StoredPoint]
        do { points = try await store.retrieve(ids, from: from, fields: fields) } catch StoreError.collectionNotFound {
            throw RequestError(status: 404, description: "Not found: Collection \(from) not found")
        }
        let found = Dictionary(points.map { ($0.id, $0.vectors?.first?.values) }) { first, _ in first }
        return try ids.map { id in
            guard let vector = found[id] else { throw StoreError.pointNotFound(id) }
            guard let vector else {
                throw StoreError.wrongInput("Vector with name \(name) for point with id \(id) not found")
            }
            return vector
        }
    }
}
