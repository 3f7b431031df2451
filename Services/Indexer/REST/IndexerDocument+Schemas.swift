import WireProtocol

extension IndexerDocument {
    static var schemas: JSONValue {
        var all = JSONObject()
        for part in [basics, collectionSchemas, writeSchemas, readSchemas] {
            for member in part.members { all[member.name] = member.value }
        }
        return .object(all)
    }

    private static func object(_ required: JSONValue = [], _ properties: JSONObject) -> JSONValue {
        ["type": "object", "required": required, "properties": .object(properties)]
    }
    private static func list(_ items: JSONValue) -> JSONValue { ["type": "array", "items": items] }
    private static func oneOf(_ choices: JSONValue...) -> JSONValue { ["oneOf": .array(choices)] }
    private static func count(from least: Int) -> JSONValue { ["type": "integer", "minimum": JSONValue(least)] }
    private static func described(_ text: StaticString, _ type: JSONValue = ["object"]) -> JSONValue {
        ["type": type, "description": .string("\(text)")]
    }
    private static let text: JSONValue = ["type": "string"]
    private static let flag: JSONValue = ["type": "boolean"]
    private static let path: JSONValue = ["type": "string", "description": "A path: `a`, `a.b`, `a[].b`, `a[0]`"]
    private static let numbers: JSONValue = ["type": "array", "items": ["type": "number"]]
    private static var ids: JSONValue { list(reference("PointID")) }

    private static var basics: JSONObject {
        [
            "PointID": ["oneOf": [["type": "integer", "minimum": 0], ["type": "string", "format": "uuid"]]],
            "Error": object(
                ["status"], ["status": object(["error"], ["error": text]), "time": ["type": "number"]]),
            "Payload": ["type": "object"],
            "SparseVector": object(
                ["indices", "values"], ["indices": list(["type": "integer", "minimum": 0]), "values": numbers]),
            "Vectors": oneOf(
                numbers,
                ["type": "object", "additionalProperties": oneOf(numbers, reference("SparseVector"))]),
            "Filter": [
                "type": "object", "additionalProperties": false,
                "description":
                    "Conditions: match (value, any, except, text, text_any), range, geo_radius, geo_bounding_box, geo_polygon, values_count, is_empty, is_null, has_id, has_vector, nested, filters",
                "properties": ["must": [:], "must_not": [:], "should": [:], "min_should": ["type": "object"]],
            ],
            "WithPayload": described(
                "All, none, these keys, or {include} or {exclude}", ["boolean", "array", "object"]),
            "WithVector": described("All, none, or these names", ["boolean", "array"]),
            "UpdateResult": object(
                ["operation_id", "status"],
                ["operation_id": ["type": "integer"], "status": ["enum": ["acknowledged", "completed"]]]),
        ]
    }

    private static var collectionSchemas: JSONObject {
        let settings: JSONObject = [
            "hnsw_config": described("Kept and echoed"), "optimizers_config": described("Kept and echoed"),
            "quantization_config": described("Kept and echoed", ["object", "string"]),
            "strict_mode_config": described("Kept and echoed"), "metadata": ["type": "object"],
        ]
        var creation = settings
        creation["vectors"] = oneOf(
            reference("VectorParams"), ["type": "object", "additionalProperties": reference("VectorParams")])
        creation["sparse_vectors"] = [
            "type": "object", "additionalProperties": object([], ["modifier": ["enum": ["none", "idf"]]]),
        ]
        for name in ["shard_number", "replication_factor", "write_consistency_factor"] {
            creation[name] = count(from: 1)
        }
        creation["on_disk_payload"] = flag
        creation["wal_config"] = described("Kept and echoed")
        var change = settings
        for name in ["vectors", "sparse_vectors", "params"] { change[name] = ["type": "object"] }
        return [
            "CollectionInfo": object(
                ["status", "points_count", "config"],
                [
                    "status": ["const": "green"], "optimizer_status": ["const": "ok"],
                    "points_count": ["type": "integer"], "indexed_vectors_count": ["type": "integer"],
                    "segments_count": ["type": "integer"], "config": ["type": "object"],
                    "payload_schema": [
                        "type": "object",
                        "additionalProperties": object(
                            ["data_type", "points"],
                            ["data_type": text, "params": ["type": "object"], "points": ["type": "integer"]]),
                    ],
                ]),
            "CreateCollection": object([], creation), "UpdateCollection": object([], change),
            "VectorParams": object(
                ["size", "distance"],
                [
                    "size": [
                        "type": "integer", "minimum": 1, "maximum": JSONValue(CollectionConfiguration.maximumSize),
                    ],
                    "distance": ["enum": .array(Distance.allCases.map { .string($0.rawValue) })],
                ]),
            "NewVector": object(
                [],
                [
                    "dense": reference("VectorParams"),
                    "sparse": object([], ["modifier": ["enum": ["none", "idf"]]]),
                ]),
            "Alias": object(["alias_name", "collection_name"], ["alias_name": text, "collection_name": text]),
            "AliasActions": object(
                ["actions"],
                [
                    "actions": list(
                        described("create_alias, delete_alias or rename_alias"))
                ]),
            "FieldIndex": object(
                ["field_name", "field_schema"],
                [
                    "field_name": path,
                    "field_schema": described(
                        "keyword, integer, float, geo, text, bool, datetime or uuid; or an object with that type and options",
                        ["string", "object"]),
                ]),
        ]
    }

    private static var writeSchemas: JSONObject {
        let point: JSONObject = ["id": reference("PointID"), "vector": reference("Vectors")]
        var whole = point
        whole["payload"] = reference("Payload")
        let condition: JSONObject = [
            "update_filter": reference("Filter"),
            "update_mode": ["enum": ["upsert", "insert_only", "update_only"], "default": "upsert"],
        ]
        func conditional(_ name: String, _ schema: JSONValue) -> JSONValue {
            var properties = condition
            properties[name] = schema
            return object([.string(name)], properties)
        }
        func selected(_ required: JSONValue, _ properties: JSONObject) -> JSONValue {
            var properties = properties
            properties["points"] = ids
            properties["filter"] = reference("Filter")
            return object(required, properties)
        }
        return [
            "Points": oneOf(
                conditional("points", list(object(["id", "vector"], whole))),
                conditional(
                    "batch",
                    object(
                        ["ids", "vectors"],
                        [
                            "ids": ids, "vectors": described("Columns, in the order of ids", ["array", "object"]),
                            "payloads": ["type": "array"],
                        ]))),
            "PointVectors": object(
                ["points"],
                ["points": list(object(["id", "vector"], point)), "update_filter": reference("Filter")]),
            "Selection": oneOf(
                object(["points"], ["points": ids]), object(["filter"], ["filter": reference("Filter")])),
            "VectorNames": selected(["vector"], ["vector": list(text)]),
            "PayloadChange": selected(["payload"], ["payload": reference("Payload"), "key": path]),
            "PayloadKeys": selected(["keys"], ["keys": list(path)]),
            "Operations": object(
                ["operations"],
                [
                    "operations": list(
                        [
                            "type": "object", "minProperties": 1,
                            "properties": .object(
                                JSONObject(
                                    UpdateReader.Operation.allCases.map { ($0.rawValue, ["type": "object"]) })),
                        ])
                ]),
        ]
    }

    private static var readSchemas: JSONObject {
        let fields: JSONObject = ["with_payload": reference("WithPayload"), "with_vector": reference("WithVector")]
        func with(_ properties: JSONObject..., required: JSONValue = []) -> JSONValue {
            var all = JSONObject()
            for part in properties { for member in part.members { all[member.name] = member.value } }
            return object(required, all)
        }
        let point: JSONObject = [
            "id": reference("PointID"), "payload": reference("Payload"), "vector": reference("Vectors"),
            "order_value": described("What it was ordered by", ["number"]),
        ]
        let near: JSONObject = [
            "filter": reference("Filter"), "score_threshold": ["type": "number"],
            "params": object(
                [],
                [
                    "exact": flag, "hnsw_ef": count(from: 1),
                    "idf": described(
                        "global, or {corpus: a filter}: over which points the frequencies of terms are counted",
                        ["string", "object"]),
                ]),
        ]
        let limit: JSONObject = ["limit": ["type": "integer", "minimum": 1, "default": 10]]
        let page: JSONObject = ["limit": count(from: 1), "offset": count(from: 0)]
        let stage: JSONObject = [
            "prefetch": oneOf(reference("Prefetch"), list(reference("Prefetch"))),
            "query": [
                "description":
                    "A vector, a sparse vector, a point's id, or an object: nearest (with mmr), recommend, discover, context, relevance_feedback, order_by, fusion (rrf, dbsf), rrf ({k, weights}), formula (over prefetches), sample (random). None: points in order of ids."
            ],
            "using": described("The vector's name", ["string"]),
            "lookup_from": object(["collection"], ["collection": text, "vector": text]),
        ]
        let grouping: JSONObject = [
            "group_by": path, "group_size": count(from: 1), "limit": count(from: 1),
            "with_lookup": described("A collection's name, or an object with it", ["string", "object"]),
        ]
        let vector: JSONObject = [
            "vector": oneOf(
                numbers,
                object(["name", "vector"], ["name": text, "vector": oneOf(numbers, reference("SparseVector"))]))
        ]
        let examples: JSONObject = [
            "positive": list([:]), "negative": list([:]), "using": text,
            "strategy": ["enum": ["average_vector", "best_score", "sum_scores"]],
            "lookup_from": object(["collection"], ["collection": text, "vector": text]),
        ]
        func searches(_ name: String) -> JSONValue { object(["searches"], ["searches": list(reference(name))]) }
        return [
            "Point": object(["id"], point),
            "ScoredPoint": with(
                point, ["score": ["type": "number"], "version": ["type": "integer"]],
                required: ["id", "score", "version"]),
            "Page": object(
                ["points"], ["points": list(reference("Point")), "next_page_offset": reference("PointID")]),
            "PointsByID": with(["ids": ids], fields, required: ["ids"]),
            "Scroll": with(
                limit, fields,
                [
                    "offset": reference("PointID"), "filter": reference("Filter"),
                    "order_by": described("A key, or {key, direction, start_from}", ["string", "object"]),
                ]),
            "Count": object([], ["filter": reference("Filter"), "exact": flag]),
            "FacetRequest": with(
                limit, ["key": path, "filter": reference("Filter"), "exact": flag], required: ["key"]),
            "Facet": object(
                ["hits"],
                [
                    "hits": list(
                        object(
                            ["value", "count"],
                            ["value": ["type": ["string", "integer", "boolean"]], "count": ["type": "integer"]]))
                ]),
            "Prefetch": with(stage, near, limit),
            "Query": with(stage, near, page, fields), "QueryBatch": searches("Query"),
            "QueryGroups": with(stage, near, grouping, fields, required: ["group_by"]),
            "Groups": object(
                ["groups"],
                [
                    "groups": list(
                        object(
                            ["hits", "id"],
                            [
                                "hits": list(reference("ScoredPoint")), "id": ["type": ["string", "integer"]],
                                "lookup": reference("Point"),
                            ]))
                ]),
            "Search": with(vector, near, page, fields, required: ["vector", "limit"]),
            "SearchBatch": searches("Search"),
            "SearchGroups": with(
                vector, near, grouping, fields, required: ["vector", "group_by", "group_size", "limit"]),
            "Matrix": object(
                [], ["sample": count(from: 2), "limit": count(from: 1), "filter": reference("Filter"), "using": text]),
            "MatrixPair": object(
                ["a", "b", "score"],
                ["a": reference("PointID"), "b": reference("PointID"), "score": ["type": "number"]]),
            "MatrixOffsets": object(
                ["offsets_row", "offsets_col", "scores", "ids"],
                [
                    "offsets_row": list(["type": "integer"]), "offsets_col": list(["type": "integer"]),
                    "scores": numbers, "ids": ids,
                ]),
            "Recommend": with(examples, near, page, fields, required: ["limit"]),
            "RecommendBatch": searches("Recommend"),
            "Discover": with(
                ["target": [:], "context": list(object(["positive", "negative"], [:])), "using": text], near, page,
                fields, required: ["limit"]), "DiscoverBatch": searches("Discover"),
            "RecommendGroups": with(examples, near, grouping, fields, required: ["group_by", "group_size", "limit"]),
        ]
    }
}
