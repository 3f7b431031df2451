import WireProtocol

/// Reads the bodies of queries, and looks up the vectors of points that they name: in another collection (`lookup_from`), or as
/// examples to recommend by.
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
        let stage = try await prefetch(body)
        return QueryRequest(
            prefetch: stage.prefetch, query: stage.query, using: stage.using, filter: stage.filter,
            scoreThreshold: stage.scoreThreshold, exact: stage.exact, fields: try body.fields(payload: false))
    }

    private func prefetch(_ body: RequestBody) async throws -> Prefetch {
        try body.refuse("shard_key")
        var stage = Prefetch()
        for inner in try body.list("prefetch", orOne: true) ?? [] {
            stage.prefetch.append(try await prefetch(inner))
        }
        stage.using = try body.text("using") ?? ""
        stage.filter = try body.filter()
        stage.limit = try body.count("limit", from: 1) ?? 10
        stage.scoreThreshold = try body.number("score_threshold")
        stage.exact = try Self.exact(body)
        let lookup = try Lookup(body)
        if let query = body.value("query") {
            let reading = try await self.query(query, body.place("query"), using: stage.using, lookup)
            stage.query = reading.query
            stage.filter = Self.excluding(reading.examples, from: stage.filter)
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

    static func exact(_ body: RequestBody) throws -> Bool {
        guard let parameters = try body.inner("params") else { return false }
        _ = try parameters.count("hnsw_ef", from: 1)
        return try parameters.flag("exact") ?? false
    }

    // MARK: - Queries

    typealias Reading = (query: Query, examples: [PointID])

    private func query(
        _ value: JSONValue, _ path: String, using: String, _ lookup: Lookup?
    ) async throws -> Reading {
        guard case .object(let object) = value, object["indices"] == nil else {
            return (.nearest(try await target(value, path, using: using, lookup)), [])
        }
        let body = try RequestBody(value, at: path)
        if let nearest = body.value("nearest") {
            try body.refuse("mmr")
            return (.nearest(try await target(nearest, body.place("nearest"), using: using, lookup)), [])
        }
        if let recommend = try body.inner("recommend") {
            return try await recommendation(recommend, using: using, lookup)
        }
        if object["order_by"] != nil {
            guard let order = try Self.orderBy(body) else { throw body.missing("order_by") }
            return (.orderBy(order), [])
        }
        let fusions: KeyValuePairs<String, Fusion> = ["rrf": .rrf(k: 2, weights: nil), "dbsf": .dbsf]
        if let fusion = try body.choice("fusion", fusions) { return (.fusion(fusion), []) }
        if let rrf = try body.inner("rrf") {
            let weights = try rrf.value("weights").map { try Self.floats($0, rrf.place("weights")) }
            return (.fusion(.rrf(k: try rrf.count("k", from: 1) ?? 2, weights: weights)), [])
        }
        if try body.choice("sample", ["random": true]) != nil { return (.sample, []) }
        for kind in ["discover", "context", "formula", "relevance_feedback"] where object[kind] != nil {
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

    /// The average of what is liked, moved away from the average of what is not. Its examples are not found again.
    func recommendation(_ body: RequestBody, using: String, _ lookup: Lookup?) async throws -> Reading {
        let strategies: KeyValuePairs<String, Bool> = [
            "average_vector": true, "best_score": false, "sum_scores": false,
        ]
        guard try body.choice("strategy", strategies) ?? true else {
            throw RequestError.unsupported(body.place("strategy"), "a strategy other than average_vector")
        }
        let positive = try examples(body, "positive")
        let negative = try examples(body, "negative")
        if positive.isEmpty {
            throw RequestError.bad("At least one positive vector must be specified with the average_vector strategy")
        }
        let liked = try await values(of: positive, using: using, lookup)
        let disliked = try await values(of: negative, using: using, lookup)
        var wanted = try VectorValues.average(liked)
        if !disliked.isEmpty {
            wanted = try VectorValues.combined([(wanted, 2), (try VectorValues.average(disliked), -1)])
        }
        let ids = (positive + negative).compactMap { if case .point(let id) = $0 { id } else { nil } }
        return (.nearest(.values(wanted)), lookup == nil ? ids : [])
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
