import HTTPServer
import WireProtocol

/// `strict_mode_config` of a collection: what its owner forbids its clients. Texts are Qdrant's, the status 403.
/// Source: `StrictModeVerification` of Qdrant.
struct StrictMode: Sendable {
    private let settings: JSONObject
    private let indexed: JSONObject

    /// `nil` where it is not enabled. `schema`: the fields that are indexed.
    init?(_ configuration: CollectionConfiguration, schema: JSONObject) {
        guard let settings = configuration.request["strict_mode_config"]?.object, settings["enabled"] == true else {
            return nil
        }
        self.settings = settings
        indexed = schema
    }

    private func limit(_ name: String) -> Int? { settings[name]?.integer.map { Int($0) } }

    private static func forbidden(_ what: String, _ help: String) -> RequestError {
        RequestError(status: 403, description: "Forbidden: \(what). Help: \(help)")
    }
    private func check(_ value: Int?, _ setting: String, _ name: String) throws {
        guard let value, let limit = limit(setting), value > limit else { return }
        throw Self.forbidden(
            "Limit exceeded \(value) > \(limit) for \"\(name)\"",
            "Reduce the \"\(name)\" parameter to or below \(limit).")
    }

    // MARK: - Requests

    func check(timeout: Int?) throws { try check(timeout, "max_timeout", "timeout") }
    func check(batch count: Int) throws { try check(count, "search_max_batchsize", "search batch size") }

    /// A body that asks for points. `perGroup`: how many of each group.
    func check(read body: RequestBody) throws {
        let perGroup = try body.count("group_size", from: 0) ?? (body.value("group_by") == nil ? 1 : 3)
        // A distance matrix has so many rows.
        let rows = try body.count("sample", from: 0) ?? 1
        let asked = try body.count("limit", from: 0) ?? (body.value("sample") == nil ? 10 : 3)
        let (points, overflow) = asked.multipliedReportingOverflow(by: perGroup * rows)
        try check(overflow ? .max : points, "max_query_limit", "limit")
        try check(filter: body.value("filter"), indexedBy: "unindexed_filtering_retrieve")
        if let key = body.value("group_by")?.string { try checkIndexed(key, "unindexed_filtering_retrieve") }
        if let parameters = try body.inner("params") {
            if settings["search_allow_exact"] == false, try parameters.flag("exact") == true {
                throw Self.forbidden("Exact search disabled!", "Set exact=false.")
            }
            try check(try parameters.count("hnsw_ef", from: 0), "search_max_hnsw_ef", "hnsw_ef")
            if let limit = settings["search_max_oversampling"]?.double,
                let given = try parameters.inner("quantization")?.value("oversampling")?.double, given > limit
            {
                throw Self.forbidden(
                    "Limit exceeded \(given) > \(limit) for \"oversampling\"",
                    "Reduce the \"oversampling\" parameter to or below \(limit).")
            }
        }
        if let query = body.value("query")?.object, query["formula"] != nil {
            for path in try Formula(query).paths where !isIndexed(path.text, "unindexed_filtering_retrieve") {
                throw Self.forbidden(
                    "Index required but not found for \"\(path.text)\" in formula expression",
                    "Create an index for this key or use a different formula expression.")
            }
        }
        for inner in try body.list("prefetch", orOne: true) ?? [] { try check(read: inner) }
    }

    /// Tokens of a read: one, or one for each vector or id it names, and one for each condition of its filter. What prefetches find costs
    /// what they cost.
    func cost(ofReading body: RequestBody) throws -> Int {
        var found = FilterMeasure()
        if let filter = body.value("filter") { found.measure(filter, under: "") }
        let prefetches = try body.list("prefetch", orOne: true) ?? []
        if !prefetches.isEmpty { return try prefetches.reduce(found.conditions) { $0 + (try cost(ofReading: $1)) } }
        let query = body.value("query")
        let examples =
            [body.value("positive"), body.value("negative")] + [
                query?["recommend"]?["positive"], query?["recommend"]?["negative"],
            ]
        let named = examples.reduce(0) { $0 + ($1?.array?.count ?? 0) } + (body.value("ids")?.array?.count ?? 0)
        return max(1, named) + found.conditions
    }

    /// Tokens of a change: the points it names, or for a filter half of all, as Qdrant guesses.
    func cost(ofWriting update: PointsUpdate, of collection: CollectionDescription) -> Int {
        switch update {
        case .batch(let updates): updates.reduce(0) { $0 + cost(ofWriting: $1, of: collection) }
        case .changes(let changes, _, _): max(1, changes.count)
        case .selected(.ids(let ids), _): max(1, ids.count)
        case .selected(.filter, _): max(1, collection.points / 2)
        }
    }

    /// A change of points in a collection.
    func check(_ update: PointsUpdate, of collection: CollectionDescription) throws {
        switch update {
        case .batch(let updates):
            for update in updates { try check(update, of: collection) }
        case .changes(let changes, let filter, _):
            try check(filter: filter?.json, indexedBy: "unindexed_filtering_update")
            let isUpdate = changes.contains { if case .vectors = $0.effect { true } else { false } }
            try check(changes.count, "upsert_max_batchsize", isUpdate ? "update limit" : "upsert limit")
            for change in changes { try check(sparseVectorsOf: change, collection.configuration) }
            try check(
                size: collection.vectorBytes, "max_collection_vector_size_bytes", "vector storage size", " bytes")
            if !isUpdate { try check(size: collection.points, "max_points_count", "points count") }
            try checkPayloadRoom(collection)
        case .selected(let selection, let change):
            if case .filter(let filter) = selection {
                try check(filter: filter.json, indexedBy: "unindexed_filtering_update")
            }
            switch change {
            case .setPayload, .overwritePayload: try checkPayloadRoom(collection)
            case .delete, .deletePayloadKeys, .clearPayload, .deleteVectors: break
            }
        }
    }

    private func checkPayloadRoom(_ collection: CollectionDescription) throws {
        try check(size: collection.payloadBytes, "max_collection_payload_size_bytes", "payload storage size", " bytes")
        guard limit("max_resident_memory_percent") != nil, let percent = ProcessMemory.residentPercent else { return }
        try check(size: percent, "max_resident_memory_percent", "resident memory", "%")
    }
    private func check(size: Int, _ setting: String, _ name: String, _ unit: String = "") throws {
        guard let limit = limit(setting), size >= limit else { return }
        throw Self.forbidden("Max \(name) limit of \(limit)\(unit) reached!", "Delete points or raise the limit.")
    }

    private func check(sparseVectorsOf change: PointChange, _ configuration: CollectionConfiguration) throws {
        guard let limits = settings["sparse_config"]?.object else { return }
        let placed: [PlacedVector]
        switch change.effect {
        case .upsert(let vectors, _): placed = vectors
        case .vectors(let vectors): placed = vectors
        default: return
        }
        for vector in placed {
            guard case .sparse(let values) = vector.values else { continue }
            let name = configuration.sparseVectors[vector.position - configuration.vectors.count].name
            if let most = limits[name]?["max_length"]?.integer, values.indices.count > Int(most) {
                throw Self.forbidden(
                    "Sparse vector '\(name)' has a limit of \(most) indices", "Reduce the number of indices.")
            }
        }
    }

    func checkIndexCount(_ count: Int) throws {
        try check(count, "max_payload_index_count", "payload index count")
    }

    var readRate: Int? { limit("read_rate_limit") }
    var writeRate: Int? { limit("write_rate_limit") }

    // MARK: - Filters

    private func check(filter: JSONValue?, indexedBy setting: String) throws {
        guard let filter else { return }
        var found = FilterMeasure()
        found.measure(filter, under: "")
        if let most = limit("filter_max_conditions"), found.conditions > most {
            throw Self.forbidden(
                "Filter condition limit reached (\(found.conditions) > \(most))",
                "Reduce the amount of conditions of your filter.")
        }
        if let most = limit("condition_max_size"), found.largest > most {
            throw Self.forbidden(
                "Condition size limit reached (\(found.largest) > \(most))", "Reduce the size of your condition.")
        }
        for key in found.keys { try checkIndexed(key, setting) }
    }

    private func isIndexed(_ key: String, _ setting: String) -> Bool {
        func plain(_ path: String) -> String { path.replacing("[]", with: "") }
        return settings[setting] != false || indexed.names.contains { plain($0) == plain(key) }
    }
    private func checkIndexed(_ key: String, _ setting: String) throws {
        if isIndexed(key, setting) { return }
        throw Self.forbidden(
            "Index required but not found for \"\(key)\"", "Create an index for this key or use a different filter.")
    }
}

/// What a filter asks of the store, by its JSON.
private struct FilterMeasure {
    var conditions = 0
    /// The longest list of values in one condition.
    var largest = 0
    var keys: [String] = []

    mutating func measure(_ filter: JSONValue, under prefix: String) {
        for clause in ["must", "should", "must_not"] {
            guard let value = filter[clause] else { continue }
            for condition in value.array ?? [value] { measure(condition: condition, under: prefix) }
        }
        for condition in filter["min_should"]?["conditions"]?.array ?? [] {
            measure(condition: condition, under: prefix)
        }
    }

    private mutating func measure(condition: JSONValue, under prefix: String) {
        if let nested = condition["nested"], let key = nested["key"]?.string, let filter = nested["filter"] {
            measure(filter, under: prefix + key + ".")
        } else if let key = condition["key"]?.string {
            conditions += 1
            keys.append(prefix + key)
            let lists = ["any", "except"].compactMap { condition["match"]?[$0]?.array?.count }
            largest = max(largest, lists.max() ?? 0)
        } else if let ids = condition["has_id"] {
            conditions += 1
            largest = max(largest, ids.array?.count ?? 0)
        } else if let field = condition["is_empty"]?["key"]?.string ?? condition["is_null"]?["key"]?.string {
            conditions += 1
            keys.append(prefix + field)
        } else if condition["has_vector"] != nil {
            conditions += 1
        } else {
            measure(condition, under: prefix)
        }
    }
}

extension IndexerRoutes {
    private func strictMode(_ request: HTTPRequest) async throws -> StrictMode? {
        let settings = try await store.settings(of: request.collection)
        return StrictMode(settings.configuration, schema: settings.payloadSchema)
    }

    /// Throws: 403 and 429 where the collection's strict mode forbids what is asked for.
    func checkStrictly(_ request: HTTPRequest, reads bodies: [RequestBody], inBatch: Bool = false) async throws {
        guard let strict = try await strictMode(request) else { return }
        try strict.check(timeout: request.query("timeout").flatMap { Int($0) })
        if inBatch { try strict.check(batch: bodies.count) }
        for body in bodies { try strict.check(read: body) }
        let cost = try bodies.reduce(0) { $0 + (try strict.cost(ofReading: $1)) }
        try limits.take(.read, of: request.collection, limit: strict.readRate, cost: cost)
    }

    func checkStrictly(_ request: HTTPRequest, writes update: PointsUpdate) async throws {
        guard let strict = try await strictMode(request) else { return }
        try strict.check(timeout: request.query("timeout").flatMap { Int($0) })
        let collection = try await store.collection(request.collection)
        try strict.check(update, of: collection)
        try limits.take(
            .write, of: request.collection, limit: strict.writeRate,
            cost: strict.cost(ofWriting: update, of: collection))
    }

    func checkStrictlyIndexing(_ request: HTTPRequest) async throws {
        guard let strict = try await strictMode(request) else { return }
        try limits.take(.write, of: request.collection, limit: strict.writeRate)
        try strict.checkIndexCount(try await store.settings(of: request.collection).payloadSchema.count + 1)
    }
}
