import WireProtocol

/// `GET /collections/{name}`: what Qdrant tells of a collection. What means nothing to the embedded store is echoed as it was asked
/// for, over Qdrant's defaults.
enum CollectionInfo {
    static func json(_ description: CollectionDescription, schema: JSONObject) -> JSONValue {
        let request = description.configuration.request
        // Qdrant indexes nothing there; here there is nothing to index.
        let isIndexed = request["optimizers_config"]?["indexing_threshold"]?.integer != 0
        var info: JSONObject = [
            "status": "green", "optimizer_status": "ok",
            "indexed_vectors_count": isIndexed ? JSONValue(description.points) : 0,
            "points_count": JSONValue(description.points), "segments_count": 1, "config": .object(config(request)),
            "payload_schema": .object(schema), "update_queue": ["length": 0],
        ]
        info["created_at"] = request["created_at"]
        return .object(info)
    }

    static func config(_ request: JSONObject) -> JSONObject {
        var config = JSONObject(unique: [
            ("params", .object(parameters(request))), ("hnsw_config", merged(hnsw, with: request["hnsw_config"])),
            ("optimizer_config", merged(optimizers, with: request["optimizers_config"])),
            ("wal_config", merged(wal, with: request["wal_config"])),
            ("quantization_config", request["quantization_config"] ?? .null),
        ])
        for name in ["strict_mode_config", "metadata"] { config[name] = request[name] }
        return config
    }

    static func parameters(_ request: JSONObject) -> JSONObject {
        var parameters = JSONObject(unique: [
            ("vectors", request["vectors"] ?? [:]), ("shard_number", request["shard_number"] ?? 1),
            ("replication_factor", request["replication_factor"] ?? 1),
            ("write_consistency_factor", request["write_consistency_factor"] ?? 1),
            ("on_disk_payload", request["on_disk_payload"] ?? true),
        ])
        for name in [
            "sharding_method", "read_fan_out_factor", "read_fan_out_delay_ms", "payload", "id_tracker",
            "sparse_vectors",
        ] { parameters[name] = request[name] }
        return parameters
    }

    private static func merged(_ defaults: JSONObject, with asked: JSONValue?) -> JSONValue {
        var object = defaults
        for member in asked?.object?.members ?? [] { object[member.name] = member.value }
        return .object(object)
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
    private static let wal = JSONObject([
        ("wal_capacity_mb", 32), ("wal_segments_ahead", 0), ("wal_retain_closed", 1),
    ])
}
