import WireProtocol

/// What may stand in a collection's settings, as Qdrant bounds it. The embedded store acts on little of it (`indexing_threshold` it
/// has no use for), but keeps and echoes all; members that Qdrant does not know are left out, as it does.
/// Source: `CreateCollection` and `UpdateCollection` of `qdrant-openapi.json`.
enum CollectionSettings {
    struct Current: Sendable {
        var configuration: CollectionConfiguration
        var payloadSchema: JSONObject
    }

    indirect enum Kind: Sendable {
        case unsigned(from: Int64 = 0, to: Int64 = .max)
        case number(ClosedRange<Double>? = nil)
        case flag
        case choice([String])
        /// Where it is kept; what lies in files cannot be pinned.
        case memory(pinnable: Bool)
        case anyObject
        case group([(name: String, kind: Kind)], required: [String] = [])
        /// Names to things of one kind.
        case named(Kind)
        /// A member of a group alone says which it is.
        case oneOf([(name: String, kind: Kind)], orWord: String? = nil)
        /// "auto" is the same as null.
        case unsignedOrAuto
    }

    private static let hnsw = Kind.group([
        ("m", .unsigned()), ("ef_construct", .unsigned(from: 4)), ("full_scan_threshold", .unsigned(from: 10)),
        ("max_indexing_threads", .unsigned()), ("on_disk", .flag), ("memory", memory), ("payload_m", .unsigned()),
        ("inline_storage", .flag),
    ])
    private static let optimizers = Kind.group([
        ("deleted_threshold", .number(0...1)), ("vacuum_min_vector_number", .unsigned(from: 100)),
        ("default_segment_number", .unsigned()), ("max_segment_size", .unsigned(from: 1)),
        ("memmap_threshold", .unsigned()), ("indexing_threshold", .unsigned()), ("flush_interval_sec", .unsigned()),
        ("max_optimization_threads", .unsignedOrAuto), ("prevent_unoptimized", .flag),
    ])
    private static let wal = Kind.group([
        ("wal_capacity_mb", .unsigned(from: 1)), ("wal_segments_ahead", .unsigned()),
        ("wal_retain_closed", .unsigned()),
    ])
    private static let memory = Kind.memory(pinnable: true)
    private static let fileMemory = Kind.memory(pinnable: false)
    private static let placed: [(name: String, kind: Kind)] = [("always_ram", .flag), ("memory", memory)]
    private static let quantizations: [(name: String, kind: Kind)] = [
        (
            "scalar",
            .group([("type", .choice(["int8"])), ("quantile", .number(0.5...1))] + placed, required: ["type"])
        ),
        (
            "product",
            .group(
                [("compression", .choice(["x4", "x8", "x16", "x32", "x64"]))] + placed, required: ["compression"])
        ),
        (
            "binary",
            .group(
                [
                    ("encoding", .choice(["one_bit", "two_bits", "one_and_half_bits"])),
                    ("query_encoding", .choice(["default", "binary", "scalar4bits", "scalar8bits"])),
                ] + placed)
        ),
        ("turbo", .group([("bits", .choice(["bits1", "bits1_5", "bits2", "bits4"]))] + placed)),
    ]
    private static let strictMode = Kind.group([
        ("enabled", .flag), ("max_query_limit", .unsigned(from: 1)), ("max_timeout", .unsigned(from: 1)),
        ("unindexed_filtering_retrieve", .flag), ("unindexed_filtering_update", .flag),
        ("search_max_hnsw_ef", .unsigned()), ("search_allow_exact", .flag), ("search_max_oversampling", .number()),
        ("upsert_max_batchsize", .unsigned()), ("search_max_batchsize", .unsigned()),
        ("max_collection_vector_size_bytes", .unsigned()), ("read_rate_limit", .unsigned(from: 1)),
        ("write_rate_limit", .unsigned(from: 1)), ("max_collection_payload_size_bytes", .unsigned()),
        ("max_points_count", .unsigned(from: 1)), ("filter_max_conditions", .unsigned()),
        ("condition_max_size", .unsigned()),
        ("multivector_config", .named(.group([("max_vectors", .unsigned(from: 1))]))),
        ("sparse_config", .named(.group([("max_length", .unsigned(from: 1))]))),
        ("max_payload_index_count", .unsigned()), ("max_resident_memory_percent", .unsigned(from: 1, to: 100)),
    ])
    private static let datatype = Kind.choice(["float32", "uint8", "float16", "turbo4"])
    private static let vector = Kind.group(
        [
            ("size", .unsigned(from: 1, to: Int64(CollectionConfiguration.maximumSize))),
            ("distance", .choice(Distance.allCases.map(\.rawValue))), ("hnsw_config", hnsw),
            ("quantization_config", .oneOf(quantizations)), ("on_disk", .flag), ("memory", fileMemory),
            ("datatype", datatype), ("multivector_config", .group([("comparator", .choice(["max_sim"]))])),
        ], required: ["size", "distance"])
    private static let sparseVectors = Kind.named(
        .group([
            (
                "index",
                .group([
                    ("full_scan_threshold", .unsigned()), ("on_disk", .flag), ("memory", memory),
                    ("datatype", datatype),
                ])
            ),
            ("modifier", .choice(["none", "idf"])),
        ]))
    private static let parameters: [(name: String, kind: Kind)] = [
        ("replication_factor", .unsigned(from: 1)), ("write_consistency_factor", .unsigned(from: 1)),
        ("on_disk_payload", .flag), ("payload", .group([("memory", fileMemory)])),
        ("id_tracker", .group([("memory", memory)])),
    ]
    private static let ofAll: [(name: String, kind: Kind)] = [
        ("hnsw_config", hnsw), ("optimizers_config", optimizers), ("sparse_vectors", sparseVectors),
        ("strict_mode_config", strictMode), ("metadata", .anyObject),
    ]

    /// A creation request as it is kept. Throws: `StoreError.invalid` with every field out of bounds; `malformed`.
    static func checked(creation: JSONObject) throws -> JSONObject {
        var creation = creation
        if creation["quantization_config"] == nil { creation["quantization_config"] = creation["quantization"] }
        let single = creation["vectors"]?.object.map { $0["size"] != nil || $0["distance"] != nil } ?? false
        return try check(
            creation,
            as: parameters + ofAll + [
                ("vectors", single ? vector : .named(vector)), ("shard_number", .unsigned(from: 1)),
                ("sharding_method", .choice(["auto", "custom"])), ("wal_config", wal),
                ("quantization_config", .oneOf(quantizations)),
            ])
    }

    /// What changes, of a `PATCH` request.
    static func checked(change: JSONObject) throws -> JSONObject {
        let quantization = Kind.oneOf(quantizations, orWord: "Disabled")
        let vector = Kind.group([
            ("hnsw_config", hnsw), ("quantization_config", quantization), ("on_disk", .flag), ("memory", fileMemory),
        ])
        let fanOut: [(name: String, kind: Kind)] = [
            ("read_fan_out_factor", .unsigned()), ("read_fan_out_delay_ms", .unsigned()),
        ]
        return try check(
            change,
            as: ofAll + [
                ("vectors", .named(vector)), ("params", .group(parameters + fanOut)),
                ("quantization_config", quantization),
            ])
    }

    /// A vector that is added: `{"dense": {...}}` or `{"sparse": {...}}`.
    static func checked(addition: JSONObject) throws -> JSONObject {
        try check(
            addition,
            as: [
                ("dense", vector),
                ("sparse", .group([("modifier", .choice(["none", "idf"])), ("datatype", datatype)])),
            ])
    }

    private static func check(_ object: JSONObject, as members: [(name: String, kind: Kind)]) throws -> JSONObject {
        var faults: [String] = []
        let checked = try check(.object(object), as: .group(members), "", &faults)
        if !faults.isEmpty { throw StoreError.invalid(fields: faults) }
        return checked.object ?? JSONObject()
    }

    /// Without members that are null or not known.
    private static func check(
        _ value: JSONValue, as kind: Kind, _ path: String, _ faults: inout [String]
    ) throws -> JSONValue {
        func malformed(_ expected: String) -> StoreError {
            .malformed("\(path.isEmpty ? "body" : path): must be \(expected), not \(value.kind)")
        }
        func place(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }
        switch kind {
        case .unsigned(let least, let most):
            guard let number = value.integer, number >= 0 else { throw malformed("an unsigned integer") }
            if number < least || number > most {
                let bounds = most == .max ? "\(least) or larger" : "from \(least) to \(most)"
                faults.append("\(path): value \(number) invalid, must be \(bounds)")
            }
            return .integer(number)
        case .unsignedOrAuto:
            return value.string == "auto" ? .null : try check(value, as: .unsigned(), path, &faults)
        case .number(let range):
            guard let number = value.double else { throw malformed("a number") }
            if let range, !range.contains(number) {
                faults.append(
                    "\(path): value \(value.serialized) invalid, must be from \(range.lowerBound) to \(range.upperBound)"
                )
            }
            return value
        case .flag:
            guard value.bool != nil else { throw malformed("true or false") }
            return value
        case .choice(let choices):
            guard let text = value.string else { throw malformed("a string") }
            guard choices.contains(text) else {
                throw StoreError.malformed(
                    "\(path): unknown variant `\(text)`, expected one of "
                        + choices.map { "`\($0)`" }.joined(separator: ", "))
            }
            return value
        case .memory(let pinnable):
            let checked = try check(value, as: .choice(["cold", "cached", "pinned"]), path, &faults)
            if !pinnable, checked == "pinned" { faults.append("\(path): `pinned` is not supported here") }
            return checked
        case .anyObject:
            guard value.object != nil else { throw malformed("an object") }
            return value
        case .group(let members, let required):
            guard let object = value.object else { throw malformed("an object") }
            if let missing = required.first(where: { object[$0]?.nonNull == nil }) {
                throw StoreError.malformed("\(path): missing field `\(missing)`")
            }
            var checked = JSONObject()
            for (name, kind) in members {
                guard let member = object[name]?.nonNull else { continue }
                checked[name] = try check(member, as: kind, place(name), &faults)
            }
            return .object(checked)
        case .named(let kind):
            guard let object = value.object else { throw malformed("an object") }
            var checked = JSONObject()
            for member in object.members {
                checked[member.name] = try check(member.value, as: kind, place(member.name), &faults)
            }
            return .object(checked)
        case .oneOf(let choices, let word):
            if let word, value.string == word { return value }
            guard case .object(let checked) = try check(value, as: .group(choices), path, &faults), checked.count == 1
            else { throw malformed("an object with one of \(choices.map(\.name).joined(separator: ", "))") }
            return .object(checked)
        }
    }

    // MARK: - Changes

    /// `change` has been checked. Throws: `wrongInput` for a vector that the collection does not have.
    static func apply(_ change: JSONObject, to request: inout JSONObject) throws {
        for (name, value) in change.members {
            switch name {
            case "params": for member in value.object?.members ?? [] { request[member.name] = member.value }
            case "quantization_config": request[name] = value.string == nil ? value : .null
            case "vectors": try changeVectors(value.object, of: &request)
            case "sparse_vectors": try changeSparseVectors(value.object, of: &request)
            default: request[name] = .object(merged(request[name]?.object, with: value.object))
            }
        }
    }

    private static func merged(_ old: JSONObject?, with new: JSONObject?) -> JSONObject {
        var merged = old ?? JSONObject()
        for member in new?.members ?? [] { merged[member.name] = member.value }
        return merged
    }

    private static func changeVectors(_ changes: JSONObject?, of request: inout JSONObject) throws {
        guard let vectors = request["vectors"]?.object else { return }
        let isUnnamed = vectors["size"]?.object == nil && vectors["size"] != nil
        var all = isUnnamed ? [("", JSONValue.object(vectors))] : vectors.members.map { ($0.name, $0.value) }
        for (name, change) in changes?.members ?? [] {
            guard let position = all.firstIndex(where: { $0.0 == name }), var vector = all[position].1.object else {
                throw StoreError.wrongInput("Not existing vector name error: \(name)")
            }
            for (name, value) in change.object?.members ?? [] {
                switch name {
                case "hnsw_config": vector[name] = .object(merged(vector[name]?.object, with: value.object))
                case "quantization_config": vector[name] = value.string == nil ? value : JSONValue?.none
                default: vector[name] = value
                }
            }
            all[position].1 = .object(vector)
        }
        request["vectors"] = isUnnamed ? all[0].1 : .object(JSONObject(all.map { (name: $0.0, value: $0.1) }))
    }

    private static func changeSparseVectors(_ changes: JSONObject?, of request: inout JSONObject) throws {
        var vectors = request["sparse_vectors"]?.object ?? JSONObject()
        for (name, change) in changes?.members ?? [] {
            guard var vector = vectors[name]?.object else {
                throw StoreError.wrongInput("Not existing vector name error: \(name)")
            }
            if let modifier = change["modifier"] { vector["modifier"] = modifier }
            if let index = change["index"]?.object {
                vector["index"] = .object(merged(vector["index"]?.object, with: index))
            }
            vectors[name] = .object(vector)
        }
        request["sparse_vectors"] = .object(vectors)
    }
}

extension VectorStore {
    func settings(of collection: String) async throws -> CollectionSettings.Current {
        let found = try await self.collection(collection)
        return CollectionSettings.Current(configuration: found.configuration, payloadSchema: found.payloadSchema)
    }
}
