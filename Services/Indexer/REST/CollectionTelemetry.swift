import WireProtocol

/// What `/telemetry` tells of a collection, in the forms of Qdrant's `CollectionTelemetry`.
enum CollectionTelemetry {
    /// `level` 1: in short; 2: its settings; 3: its one shard too; more: the shard's one segment.
    static func json(_ collection: CollectionDescription, level: Int) -> JSONValue {
        let request = collection.configuration.request
        if level == 1 {
            return [
                "vectors": JSONValue(collection.points), "optimizers_status": "ok",
                "params": .object(CollectionInfo.parameters(request)),
            ]
        }
        var telemetry: JSONObject = [
            "id": .string(collection.name), "init_time_ms": 0, "config": .object(CollectionInfo.config(request)),
        ]
        if level > 2 {
            telemetry["shards"] = [
                [
                    "id": 0, "key": nil, "local": shard(collection, withSegment: level > 3), "remote": [],
                    "replicate_states": ["0": "Active"], "partial_snapshot": nil,
                ]
            ]
            telemetry["transfers"] = []
            telemetry["resharding"] = []
        }
        return .object(telemetry)
    }

    private static func shard(_ collection: CollectionDescription, withSegment: Bool) -> JSONValue {
        var shard: JSONObject = [
            "variant_name": "local_shard", "status": "green", "total_optimized_points": JSONValue(collection.points),
            "vectors_size_bytes": JSONValue(collection.vectorBytes),
            "payloads_size_bytes": JSONValue(collection.payloadBytes), "num_points": JSONValue(collection.points),
            "num_vectors": JSONValue(collection.points * vectorCount(collection)), "async_scorer": false,
            "optimizations": ["status": "ok", "optimizations": ["count": 0]],
        ]
        if withSegment { shard["segments"] = [segment(collection)] }
        return .object(shard)
    }

    private static func segment(_ collection: CollectionDescription) -> JSONValue {
        let points = JSONValue(collection.points)
        let vectors = collection.configuration.vectors
        let found = vectors.map {
            (
                name: $0.name,
                value: ["num_vectors": points, "num_indexed_vectors": points, "num_deleted_vectors": 0] as JSONValue
            )
        }
        let kept = vectors.map {
            (
                name: $0.name,
                value: [
                    "size": JSONValue($0.size), "distance": .string($0.distance.rawValue), "storage_type": "Mmap",
                    "index": ["type": "plain", "options": [:]],
                ] as JSONValue
            )
        }
        return [
            "info": [
                "uuid": .string(collection.incarnation), "segment_type": "plain",
                "num_vectors": JSONValue(collection.points * vectorCount(collection)), "num_points": points,
                "num_indexed_vectors": points, "num_deleted_vectors": 0,
                "vectors_size_bytes": JSONValue(collection.vectorBytes),
                "payloads_size_bytes": JSONValue(collection.payloadBytes),
                "ram_usage_bytes": JSONValue(collection.memoryBytes),
                "disk_usage_bytes": JSONValue(collection.diskBytes), "is_appendable": true, "index_schema": [:],
                "vector_data": .object(JSONObject(unique: found)),
            ],
            "config": [
                "vector_data": .object(JSONObject(unique: kept)), "payload_storage_type": ["type": "mmap"],
            ],
            "vector_index_searches": [], "payload_field_indices": [],
        ]
    }

    private static func vectorCount(_ collection: CollectionDescription) -> Int {
        collection.configuration.vectors.count + collection.configuration.sparseVectors.count
    }
}
