import WireProtocol

/// The body of a read, in Qdrant's words.
struct QdrantBody {
    private(set) var members = JSONObject()

    init() {}

    /// `with_payload` and `with_vector`.
    init(_ fields: PointFields) {
        func names(_ paths: [PayloadPath]) -> JSONValue { .array(paths.map { .string($0.text) }) }
        self["with_payload"] =
            switch fields.payload {
            case .none: false
            case .all: true
            case .including(let paths): ["include": names(paths)]
            case .excluding(let paths): ["exclude": names(paths)]
            }
        self["with_vector"] =
            switch fields.vectors {
            case .none: false
            case .all: true
            case .named(let names): .array(names.map { .string($0) })
            }
    }

    /// All of a query but its `limit` and `offset`, which groups have in another sense.
    init(query request: QueryRequest) throws {
        self.init(request.fields)
        try set(
            prefetch: request.prefetch, request.query, using: request.using, request.filter,
            threshold: request.scoreThreshold, exact: request.exact, idfCorpus: request.idfCorpus)
    }

    private init(prefetch: Prefetch) throws {
        try set(
            prefetch: prefetch.prefetch, prefetch.query, using: prefetch.using, prefetch.filter,
            threshold: prefetch.scoreThreshold, exact: prefetch.exact, idfCorpus: prefetch.idfCorpus)
        self["limit"] = JSONValue(prefetch.limit)
    }

    subscript(name: String) -> JSONValue? {
        get { members[name] }
        set { members[name] = newValue }
    }

    /// Throws: for a filter made in code, whose words nobody has written.
    mutating func set(_ filter: Filter?) throws {
        if let filter { self["filter"] = try Self.json(filter) }
    }
    private static func json(_ filter: Filter) throws -> JSONValue {
        guard let json = filter.json else { throw StoreError.wrongInput("a filter without its JSON cannot be sent") }
        return json
    }

    private mutating func set(
        prefetch: [Prefetch], _ query: Query?, using: String, _ filter: Filter?, threshold: Float?, exact: Bool,
        idfCorpus: Filter?
    ) throws {
        if !prefetch.isEmpty {
            self["prefetch"] = .array(try prefetch.map { .object(try QdrantBody(prefetch: $0).members) })
        }
        if let query { self["query"] = Self.query(query) }
        if !using.isEmpty { self["using"] = .string(using) }
        try set(filter)
        if let threshold { self["score_threshold"] = Self.number(threshold) }
        var parameters = JSONObject()
        if exact { parameters["exact"] = true }
        if let idfCorpus { parameters["idf"] = ["corpus": try Self.json(idfCorpus)] }
        if !parameters.isEmpty { self["params"] = .object(parameters) }
    }

    private static func query(_ query: Query) -> JSONValue {
        switch query {
        case .nearest(let target): ["nearest": example(target)]
        case .diverse(let target, let diversity, let candidates):
            [
                "nearest": example(target),
                "mmr": [
                    "diversity": number(diversity), "candidates_limit": candidates.map { JSONValue($0) } ?? .null,
                ],
            ]
        case .recommend(let positive, let negative, let strategy):
            [
                "recommend": [
                    "positive": .array(positive.map(example)), "negative": .array(negative.map(example)),
                    "strategy": .string(strategy.rawValue),
                ]
            ]
        case .discover(let target, let context):
            ["discover": ["target": example(target), "context": .array(context.map(pair))]]
        case .feedback(let feedback):
            [
                "relevance_feedback": [
                    "target": example(feedback.target),
                    "feedback": .array(
                        feedback.items.map { ["example": example($0.example), "score": number($0.score)] }),
                    "strategy": ["naive": ["a": number(feedback.a), "b": number(feedback.b), "c": number(feedback.c)]],
                ]
            ]
        case .context(let pairs): ["context": .array(pairs.map(pair))]
        case .fusion(.rrf(let k, let weights)):
            if k == defaultK, weights == nil {
                ["fusion": "rrf"]
            } else {
                ["rrf": .object(rrf(k, weights))]
            }
        case .fusion(.dbsf): ["fusion": "dbsf"]
        case .formula(let formula): .object(formula.json)
        case .orderBy(let order): ["order_by": orderBy(order)]
        case .sample: ["sample": "random"]
        }
    }

    /// What Qdrant takes for `{"fusion": "rrf"}`.
    private static let defaultK = 2

    private static func rrf(_ k: Int, _ weights: [Float]?) -> JSONObject {
        var parameters: JSONObject = ["k": JSONValue(k)]
        if let weights { parameters["weights"] = .array(weights.map(number)) }
        return parameters
    }

    static func orderBy(_ order: OrderBy) -> JSONValue {
        var object: JSONObject = [
            "key": .string(order.key.text), "direction": order.descending ? "desc" : "asc",
        ]
        if let start = order.startFrom { object["start_from"] = start }
        return .object(object)
    }

    private static func pair(_ pair: ContextPair) -> JSONValue {
        ["positive": example(pair.positive), "negative": example(pair.negative)]
    }
    private static func example(_ target: VectorTarget) -> JSONValue {
        switch target {
        case .values(let values): vector(values)
        case .point(let id): id.json
        }
    }

    private static func vector(_ values: VectorValues) -> JSONValue {
        switch values {
        case .dense(let values): .array(values.map(number))
        case .sparse(let vector):
            [
                "indices": .array(vector.indices.map { .integer(Int64($0)) }),
                "values": .array(vector.values.map(number)),
            ]
        }
    }

    /// By its shortest text, so that 0.1 goes out as 0.1 and comes back as the same Float.
    private static func number(_ value: Float) -> JSONValue { Double(value.description).map { .number($0) } ?? .null }
}

extension StoredPoint {
    /// A record or a scored point. Throws: `unavailable` where it is neither.
    init(_ value: JSONValue) throws {
        guard let id = value["id"].flatMap({ PointID($0) }) else {
            throw StoreError.unavailable("Qdrant answered a point without an id")
        }
        self.init(
            id: id, version: value["version"]?.integer.map { UInt64(clamping: $0) } ?? 0,
            score: value["score"]?.double.map { Float($0) }, payload: value["payload"]?.nonNull?.serializedBytes,
            vectors: nil, orderValue: value["order_value"]?.nonNull)
        switch value["vector"] {
        case .array(let numbers)?: vectors = [("", .dense(try Self.floats(numbers)))]
        case .object(let named)?:
            vectors = try named.members.map { ($0.name, try Self.values($0.value)) }.sorted { $0.0 < $1.0 }
        default: break
        }
    }

    private static func values(_ value: JSONValue) throws -> VectorValues {
        if let numbers = value.array { return .dense(try floats(numbers)) }
        guard let indices = value["indices"]?.array, let weights = value["values"]?.array else {
            throw StoreError.unavailable("Qdrant answered a vector of an unknown kind")
        }
        return .sparse(
            SparseVector(
                indices: indices.map { UInt32(clamping: $0.integer ?? 0) }, values: try floats(weights)))
    }

    private static func floats(_ numbers: [JSONValue]) throws -> [Float] {
        try numbers.map { number in
            guard let value = number.double else {
                throw StoreError.unavailable("Qdrant answered a vector of an unknown kind")
            }
            return Float(value)
        }
    }
}
