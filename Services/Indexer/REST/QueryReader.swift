import WireProtocol

/// Reads the bodies of queries, and looks up the vectors of points that they name: in another collection (`lookup_from`), or as
/// examples to recommend by.
struct QueryReader {
    let store: any VectorStore
    let collection: String

    /// A query that the store answers, or (`composite`) one made of several that it does.
    struct Read: Sendable {
        var request: QueryRequest
        var composite: CompositeQuery?
    }

    /// `POST points/query`
    func request(_ body: RequestBody) async throws -> Read {
        var read = try await base(body)
        read.request.limit = try body.count("limit", from: 1) ?? 10
        read.request.offset = try body.count("offset", from: 0) ?? 0
        return read
    }

    /// `POST points/query/groups`
    func groups(_ body: RequestBody) async throws -> GroupsRequest {
        guard let groupBy = try body.payloadPath("group_by") else { throw body.missing("group_by") }
        let read = try await base(body)
        if read.composite != nil { throw RequestError.unsupported(body.place("query"), "such a query in groups") }
        return GroupsRequest(
            query: read.request, groupBy: groupBy, groupSize: try body.count("group_size", from: 1) ?? 3,
            groups: try body.count("limit", from: 1) ?? 10)
    }

    /// What queries and groups of them have alike.
    private func base(_ body: RequestBody) async throws -> Read {
        let (stage, composite) = try await stage(body)
        return Read(
            request: QueryRequest(
                prefetch: stage.prefetch, query: stage.query, using: stage.using, filter: stage.filter,
                scoreThreshold: stage.scoreThreshold, exact: stage.exact, idfCorpus: stage.idfCorpus,
                fields: try body.fields(payload: false)),
            composite: composite)
    }

    private func stage(_ body: RequestBody) async throws -> (Prefetch, CompositeQuery?) {
        try body.refuse("shard_key")
        var stage = Prefetch()
        for inner in try body.list("prefetch", orOne: true) ?? [] {
            let (prefetch, composite) = try await self.stage(inner)
            if composite != nil { throw RequestError.unsupported(inner.place("query"), "such a query in a prefetch") }
            stage.prefetch.append(prefetch)
        }
        stage.using = try body.text("using") ?? ""
        stage.filter = try body.filter()
        stage.limit = try body.count("limit", from: 1) ?? 10
        stage.scoreThreshold = try body.number("score_threshold")
        stage.exact = try Self.exact(body)
        stage.idfCorpus = try Self.idfCorpus(body)
        let lookup = try Lookup(body)
        var composite: CompositeQuery?
        if let query = body.value("query") {
            let reading = try await self.query(query, body.place("query"), using: stage.using, lookup)
            stage.query = reading.query
            stage.filter = Self.excluding(reading.examples, from: stage.filter)
            composite = reading.composite
        }
        try Self.check(stage, body)
        return (stage, composite)
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

    /// `examples`: points that are not to be found again.
    struct Reading {
        var query: Query
        var examples: [PointID] = []
        /// What is to be done in place of `query`, which then only says that there is one.
        var composite: CompositeQuery?
    }

    private func query(
        _ value: JSONValue, _ path: String, using: String, _ lookup: Lookup?
    ) async throws -> Reading {
        guard case .object(let object) = value, object["indices"] == nil else {
            return Reading(query: .nearest(try await target(value, path, using: using, lookup)))
        }
        let body = try RequestBody(value, at: path)
        if let nearest = body.value("nearest") {
            let target = try await target(nearest, body.place("nearest"), using: using, lookup)
            return Reading(query: .nearest(target), composite: try Self.mmr(body, target))
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
            return Reading(query: .orderBy(order))
        }
        let fusions: KeyValuePairs<String, Fusion> = ["rrf": .rrf(k: 2, weights: nil), "dbsf": .dbsf]
        if let fusion = try body.choice("fusion", fusions) { return Reading(query: .fusion(fusion)) }
        if let rrf = try body.inner("rrf") {
            let weights = try rrf.value("weights").map { try Self.floats($0, rrf.place("weights")) }
            return Reading(query: .fusion(.rrf(k: try rrf.count("k", from: 1) ?? 2, weights: weights)))
        }
        if try body.choice("sample", ["random": true]) != nil { return Reading(query: .sample) }
        for kind in ["formula", "relevance_feedback"] where object[kind] != nil {
            throw RequestError.unsupported(path, kind)
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

    /// By default the average of what is liked, moved away from the average of what is not. Its examples are not found again.
    func recommendation(_ body: RequestBody, using: String, _ lookup: Lookup?) async throws -> Reading {
        enum Strategy { case average, best, sum }
        let strategies: KeyValuePairs<String, Strategy> = [
            "average_vector": .average, "best_score": .best, "sum_scores": .sum,
        ]
        let strategy = try body.choice("strategy", strategies) ?? .average
        let positive = try examples(body, "positive")
        let negative = try examples(body, "negative")
        if positive.isEmpty, strategy == .average || negative.isEmpty {
            throw RequestError.bad(
                strategy == .average
                    ? "At least one positive vector/id must be provided with the average_vector strategy"
                    : "At least one positive or negative vector/id must be provided")
        }
        let liked = try await values(of: positive, using: using, lookup)
        let disliked = try await values(of: negative, using: using, lookup)
        var reading = Reading(query: .sample, examples: Self.ids(positive + negative, lookup))
        switch strategy {
        case .best: reading.composite = .bestScore(positive: liked, negative: disliked)
        case .sum: reading.composite = .sumScores(positive: liked, negative: disliked)
        case .average:
            var wanted = try VectorValues.average(liked)
            if !disliked.isEmpty {
                wanted = try VectorValues.combined([(wanted, 2), (try VectorValues.average(disliked), -1)])
            }
            reading.query = .nearest(.values(wanted))
        }
        return reading
    }

    /// `{"target", "context": [{"positive", "negative"}]}`; without a target by the context alone.
    func discovery(_ body: RequestBody, using: String, _ lookup: Lookup?) async throws -> Reading {
        var all: [VectorTarget] = []
        for pair in try body.list("context", orOne: true) ?? [] {
            for name in ["positive", "negative"] {
                all.append(try Self.example(try pair.required(name), pair.place(name)))
            }
        }
        let target = try body.value("target").map { try Self.example($0, body.place("target")) }
        if target == nil, all.isEmpty { throw RequestError.bad("a target or a context is needed") }
        let examples = (target.map { [$0] } ?? []) + all
        var vectors = (try await values(of: examples, using: using, lookup))[...]
        let first = target == nil ? Optional.none : vectors.removeFirst()
        let pairs = stride(from: vectors.startIndex, to: vectors.endIndex, by: 2).map {
            CompositeQuery.Pair(positive: vectors[$0], negative: vectors[$0 + 1])
        }
        return Reading(
            query: .sample, examples: Self.ids(examples, lookup),
            composite: first.map { .discover(target: $0, context: pairs) } ?? .context(pairs))
    }

    private static func ids(_ examples: [VectorTarget], _ lookup: Lookup?) -> [PointID] {
        if lookup != nil { return [] }
        return examples.compactMap { if case .point(let id) = $0 { id } else { nil } }
    }

    /// `{"nearest", "mmr": {"diversity", "candidates_limit"}}`
    private static func mmr(_ body: RequestBody, _ target: VectorTarget) throws -> CompositeQuery? {
        guard let mmr = try body.inner("mmr") else { return nil }
        let diversity = try mmr.number("diversity") ?? 0.5
        guard (0...1).contains(diversity) else {
            throw RequestError.validation(
                mmr.place("diversity"), "value \(diversity) invalid, must be from 0.0 to 1.0")
        }
        let candidates = try mmr.count("candidates_limit", from: 0)
        if let candidates, candidates > 16_384 {
            throw RequestError.validation(
                mmr.place("candidates_limit"), "value \(candidates) invalid, must be 16384 or smaller")
        }
        return .mmr(target: target, diversity: diversity, candidates: candidates)
    }

    private func examples(_ body: RequestBody, _ name: String) throws -> [VectorTarget] {
        guard let value = body.value(name) else { return [] }
        guard let list = value.array else {
            throw RequestError.format(body.place(name), "must be a list of vectors and ids")
        }
        return try list.enumerated().map { try Self.example($1, "\(body.place(name))[\($0)]") }
    }

    private func values(
        of examples: [VectorTarget], using: String, _ lookup: Lookup?
    ) async throws -> [VectorValues] {
        let ids = examples.compactMap { if case .point(let id) = $0 { id } else { nil } }
        var found = (try await vectors(of: ids, using: using, lookup))[...]
        return examples.map { example in
            switch example {
            case .values(let values): values
            case .point: found.removeFirst()
            }
        }
    }

    /// One for each id, in their order.
    private func vectors(of ids: [PointID], using: String, _ lookup: Lookup?) async throws -> [VectorValues] {
        if ids.isEmpty, lookup == nil { return [] }
        let name = lookup?.vector ?? using
        let from = lookup?.collection ?? collection
        let fields = PointFields(payload: .none, vectors: .named([name]))
        let points: [StoredPoint]
        do { points = try await store.retrieve(ids, from: from, fields: fields) } catch StoreError.collectionNotFound
            where lookup != nil
        {
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

    static func excluding(_ ids: [PointID], from filter: Filter?) -> Filter? {
        if ids.isEmpty { return filter }
        return Filter(must: filter.map { [.filter($0)] } ?? [], mustNot: [.hasID(ids)])
    }
}

extension VectorValues {
    static func average(_ vectors: [VectorValues]) throws -> VectorValues {
        try combined(vectors.map { ($0, 1 / Float(vectors.count)) })
    }

    /// The sum of vectors of one kind and length, each times its weight.
    static func combined(_ parts: [(vector: VectorValues, weight: Float)]) throws -> VectorValues {
        var dense: [Float] = []
        var sparse: [UInt32: Float] = [:]
        for part in parts {
            switch part.vector {
            case .dense(let values):
                if dense.isEmpty { dense = Array(repeating: 0, count: values.count) }
                guard values.count == dense.count, sparse.isEmpty else { throw mixed }
                for (index, value) in values.enumerated() { dense[index] += value * part.weight }
            case .sparse(let vector):
                guard dense.isEmpty else { throw mixed }
                for (index, value) in zip(vector.indices, vector.values) {
                    sparse[index, default: 0] += value * part.weight
                }
            }
        }
        if !dense.isEmpty { return .dense(dense) }
        let indices = sparse.keys.sorted()
        return .sparse(SparseVector(indices: indices, values: indices.map { sparse[$0] ?? 0 }))
    }
    private static var mixed: StoreError { .wrongInput("examples must be vectors of one kind and length") }
}
