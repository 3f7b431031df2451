import WireProtocol

/// `GET /collections/{name}`: what Qdrant tells of a collection. What means nothing to the embedded store is echoed as it was asked
/// for, over Qdrant's defaults.
enum CollectionInfo {
    static func json(_ description: CollectionDescription, schema: JSONObject) -> JSONValue {
        let request = description.configuration.request
        func merged(_ defaults: JSONObject, with name: String) -> JSONValue {
            var object = defaults
            for member in request[name]?.object?.members ?? [] where !member.value.isNull {
                object[member.name] = member.value
            }
            return .object(object)
        }
        var parameters = JSONObject(unique: [
            ("vectors", request["vectors"] ?? [:]), ("shard_number", request["shard_number"] ?? 1),
            ("replication_factor", request["replication_factor"] ?? 1),
            ("write_consistency_factor", request["write_consistency_factor"] ?? 1),
            ("on_disk_payload", request["on_disk_payload"] ?? true),
        ])
        for member in request["params"]?.object?.members ?? [] { parameters[member.name] = member.value }
        var config = JSONObject(unique: [
            ("params", .object(parameters)), ("hnsw_config", merged(hnsw, with: "hnsw_config")),
            ("optimizer_config", merged(optimizers, with: "optimizers_config")),
            ("wal_config", merged(wal, with: "wal_config")),
            ("quantization_config", request["quantization_config"] ?? .null),
        ])
        if let strict = request["strict_mode_config"] { config["strict_mode_config"] = strict }
        if let metadata = request["metadata"] { config["metadata"] = metadata }
        return [
            "status": "green", "optimizer_status": "ok", "indexed_vectors_count": JSONValue(description.points),
            "points_count": JSONValue(description.points), "segments_count": 1, "config": .object(config),
            "payload_schema": .object(schema), "update_queue": ["length": 0],
        ]
    }

    private static let hnsw = JSONObject([
        ("m", 16), ("ef_construct", 100), ("full_scan_threshold", 10000), ("max_indexing_threads", 0),
        ("on_disk", false),
    ])
    private static let optimizers = JSONObject([
        ("deleted_threshold", 0.2), ("vacuum_min_vector_number", 1000), ("default_segment_number", 0),
        ("max_segment_size", nil),
        ("memmap_threshold", nil), ("indexing_threshold", 10000), ("flush_interval_sec", 5),
        ("max_optimization_threads", nil),
    ])
    private static let wal = JSONObject([("wal_capacity_mb", 32), ("wal_segments_ahead", 0)])

    /// `field_schema` is a type's name or `{"type": name, parameters}`.
    static func indexType(_ schema: JSONValue?) throws -> JSONValue {
        guard let schema, !schema.isNull else { throw RequestError.format("body", "missing field `field_schema`") }
        guard let type = schema.string ?? schema["type"]?.string, types.contains(type) else {
            throw RequestError.format("field_schema", "must be one of \(types.joined(separator: ", "))")
        }
        var info: JSONObject = JSONObject([("data_type", .string(type))])
        if schema.object != nil { info["params"] = schema }
        return .object(info)
    }
    private static let types = ["keyword", "integer", "float", "geo", "text", "bool", "datetime", "uuid"]
}
