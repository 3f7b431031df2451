import ServiceRuntime
import WireProtocol

/// The OpenAPI 3.1 document of this service: Qdrant's paths, with what of them this store takes. A test keeps it equal to the routes.
enum IndexerDocument {
    static var json: JSONValue {
        var paths = JSONObject()
        for operation in operations {
            var item = paths[operation.path]?.object ?? JSONObject()
            item[operation.method] = operation.json
            paths[operation.path] = .object(item)
        }
        return [
            "openapi": "3.1.0",
            "info": [
                "title": "indexer", "version": .string(suiteVersion),
                "description":
                    "The vector store, on the part of Qdrant's REST API that the suite and Qdrant's clients need.",
            ],
            "paths": .object(paths),
            "components": [
                "securitySchemes": [
                    "apiKey": [
                        "type": "apiKey", "in": "header", "name": "api-key",
                        "description": "QDRANT_API_KEY, when one is set",
                    ],
                    "bearer": ["type": "http", "scheme": "bearer", "description": "QDRANT_API_KEY or INTERNAL_TOKEN"],
                ],
                "schemas": schemas,
            ],
        ]
    }

    private struct Operation {
        var method: String
        var path: String
        var summary: String
        /// The schema of `result`, or of the whole answer where there is no envelope.
        var result: JSONValue = ["type": "object"]
        var body: String?
        var query: [JSONValue] = []
        var isOpen = false
        var type = "application/json"

        var json: JSONValue {
            var object = JSONObject(unique: [("summary", .string(summary))])
            var parameters = query
            for part in path.split(separator: "/") where part.hasPrefix("{") {
                parameters.append([
                    "name": .string(String(part.dropFirst().dropLast())), "in": "path", "required": true,
                    "schema": ["type": "string"],
                ])
            }
            if !parameters.isEmpty { object["parameters"] = .array(parameters) }
            if let body {
                object["requestBody"] = [
                    "required": true, "content": ["application/json": ["schema": reference(body)]],
                ]
            }
            let answer: JSONValue =
                isOpen
                ? result
                : [
                    "type": "object", "required": ["result", "status", "time"],
                    "properties": ["result": result, "status": ["const": "ok"], "time": ["type": "number"]],
                ]
            var content = JSONObject()
            content[type] = ["schema": answer]
            object["responses"] = [
                "200": ["description": "Done", "content": .object(content)],
                "default": ["description": "Refused", "content": ["application/json": ["schema": reference("Error")]]],
            ]
            if !isOpen {
                object["security"] = .array([
                    .object(["apiKey": .array([])]), .object(["bearer": .array([])]), .object([:]),
                ])
            }
            return .object(object)
        }
    }

    private static func reference(_ name: String) -> JSONValue { ["$ref": .string("#/components/schemas/\(name)")] }
    private static let boolean: JSONValue = ["type": "boolean"]
    private static let wait: [JSONValue] = [
        [
            "name": "wait", "in": "query",
            "description": "Answer when it is durable; without, within a second of that.",
            "schema": ["type": "boolean", "default": false],
        ]
    ]
    private static func list(_ name: String) -> JSONValue { ["type": "array", "items": reference(name)] }

    private static var operations: [Operation] {
        let collection = "/collections/{collection}"
        let points = collection + "/points"
        return [
            Operation(method: "get", path: "/", summary: "Which Qdrant this speaks like", isOpen: true),
            Operation(
                method: "get", path: "/healthz", summary: "The process only", result: ["type": "string"], isOpen: true,
                type: "text/plain"),
            Operation(method: "get", path: "/livez", summary: "The process only", isOpen: true),
            Operation(method: "get", path: "/readyz", summary: "Whether it can take work", isOpen: true),
            Operation(
                method: "get", path: "/health", summary: "The service and each dependency", isOpen: true,
                type: "application/health+json"),
            Operation(
                method: "get", path: "/metrics", summary: "Prometheus text format", result: ["type": "string"],
                isOpen: true, type: "text/plain"),
            Operation(method: "get", path: "/openapi.json", summary: "This document", isOpen: true),
            Operation(method: "get", path: "/telemetry", summary: "How many collections there are"),
            Operation(method: "get", path: "/collections", summary: "The collections"),
            Operation(method: "get", path: collection, summary: "A collection", result: reference("CollectionInfo")),
            Operation(
                method: "put", path: collection, summary: "Create a collection", result: boolean,
                body: "CreateCollection"),
            Operation(
                method: "patch", path: collection, summary: "Change what is echoed", result: boolean, body: "Object"),
            Operation(
                method: "delete", path: collection, summary: "Delete a collection; false where there was none",
                result: boolean),
            Operation(
                method: "get", path: collection + "/exists", summary: "Whether there is such a collection or alias"),
            Operation(
                method: "post", path: "/collections/aliases", summary: "Change aliases, all or none", result: boolean,
                body: "AliasActions"),
            Operation(method: "get", path: "/aliases", summary: "All aliases"),
            Operation(method: "get", path: collection + "/aliases", summary: "The aliases of a collection"),
            Operation(
                method: "put", path: collection + "/index", summary: "Declare a field's type",
                result: reference("UpdateResult"), body: "FieldIndex"),
            Operation(
                method: "delete", path: collection + "/index/{field}", summary: "Forget a field's type",
                result: reference("UpdateResult")),
            Operation(
                method: "put", path: points, summary: "Store points, all or none", result: reference("UpdateResult"),
                body: "Points", query: wait),
            Operation(method: "post", path: points, summary: "Points by id", result: list("Point"), body: "PointsByID"),
            Operation(method: "get", path: points + "/{id}", summary: "One point", result: reference("Point")),
            Operation(
                method: "post", path: points + "/delete", summary: "Delete points", result: reference("UpdateResult"),
                body: "Selection", query: wait),
            Operation(
                method: "post", path: points + "/payload", summary: "Add to payloads",
                result: reference("UpdateResult"), body: "PayloadChange", query: wait),
            Operation(
                method: "put", path: points + "/payload", summary: "Replace payloads",
                result: reference("UpdateResult"), body: "PayloadChange", query: wait),
            Operation(
                method: "post", path: points + "/payload/delete", summary: "Remove keys",
                result: reference("UpdateResult"), body: "PayloadKeys", query: wait),
            Operation(
                method: "post", path: points + "/payload/clear", summary: "Empty payloads",
                result: reference("UpdateResult"), body: "Selection", query: wait),
            Operation(method: "post", path: points + "/scroll", summary: "Pages in order of ids", body: "Scroll"),
            Operation(method: "post", path: points + "/count", summary: "How many points match", body: "Count"),
            Operation(method: "post", path: points + "/query", summary: "The nearest points", body: "Query"),
            Operation(
                method: "post", path: points + "/query/batch", summary: "Several queries", result: ["type": "array"],
                body: "QueryBatch"),
            Operation(
                method: "post", path: points + "/search", summary: "The nearest points, as older clients ask",
                result: list("Point"), body: "Search"),
        ]
    }

    private static var schemas: JSONValue {
        let id: JSONValue = ["oneOf": [["type": "integer", "minimum": 0], ["type": "string", "format": "uuid"]]]
        let vector: JSONValue = ["type": "array", "items": ["type": "number"]]
        let vectors: JSONValue = ["oneOf": [vector, ["type": "object", "additionalProperties": vector]]]
        let payload: JSONValue = ["type": "object"]
        let ids: JSONValue = ["type": "array", "items": reference("PointID")]
        let withPayload: JSONValue = ["type": ["boolean", "array", "object"]]
        let withVector: JSONValue = ["type": ["boolean", "array"]]
        func object(_ required: JSONValue = [], _ properties: JSONValue) -> JSONValue {
            ["type": "object", "required": required, "properties": properties]
        }
        let near: JSONObject = [
            "filter": reference("Filter"), "limit": ["type": "integer", "minimum": 1, "default": 10],
            "offset": ["type": "integer", "minimum": 0], "score_threshold": ["type": "number"],
            "with_payload": withPayload,
            "with_vector": withVector, "params": ["type": "object", "properties": ["exact": ["type": "boolean"]]],
        ]
        var query = near
        query["query"] = [
            "description": "A vector, a point's id, or {\"nearest\": either}. None: a page in order of ids."
        ]
        query["using"] = ["type": "string", "description": "The vector's name"]
        var search = near
        search["vector"] = [
            "oneOf": [vector, object(["name", "vector"], ["name": ["type": "string"], "vector": vector])]
        ]
        return [
            "PointID": id, "Object": ["type": "object"],
            "Filter": [
                "type": "object", "additionalProperties": false,
                "description":
                    "Conditions: match (value, any, except, text), range, values_count, is_empty, is_null, has_id, has_vector, filters",
                "properties": ["must": [:], "must_not": [:], "should": [:], "min_should": ["type": "object"]],
            ],
            "Error": object(
                ["status"], ["status": object(["error"], ["error": ["type": "string"]]), "time": ["type": "number"]]),
            "CollectionInfo": object(
                ["status", "points_count", "config"],
                ["status": ["const": "green"], "points_count": ["type": "integer"], "config": ["type": "object"]]),
            "CreateCollection": object(
                [],
                [
                    "vectors": [
                        "description": "{size, distance} or a map of names to that",
                        "oneOf": [
                            reference("VectorParams"),
                            ["type": "object", "additionalProperties": reference("VectorParams")],
                        ],
                    ]
                ]),
            "VectorParams": object(
                ["size", "distance"],
                [
                    "size": [
                        "type": "integer", "minimum": 1, "maximum": JSONValue(CollectionConfiguration.maximumSize),
                    ],
                    "distance": ["enum": .array(Distance.allCases.map { .string($0.rawValue) })],
                ]),
            "AliasActions": object(["actions"], ["actions": ["type": "array", "items": ["type": "object"]]]),
            "FieldIndex": object(
                ["field_name", "field_schema"],
                ["field_name": ["type": "string"], "field_schema": ["type": ["string", "object"]]]),
            "UpdateResult": object(
                ["operation_id", "status"],
                ["operation_id": ["type": "integer"], "status": ["enum": ["acknowledged", "completed"]]]),
            "Point": object(
                ["id"],
                [
                    "id": reference("PointID"), "payload": payload, "vector": vectors, "score": ["type": "number"],
                    "version": ["type": "integer"],
                ]),
            "Points": [
                "oneOf": [
                    object(
                        ["points"],
                        [
                            "points": [
                                "type": "array",
                                "items": object(
                                    ["id", "vector"],
                                    ["id": reference("PointID"), "vector": vectors, "payload": payload]),
                            ]
                        ]),
                    object(
                        ["batch"],
                        [
                            "batch": object(
                                ["ids", "vectors"], ["ids": ids, "vectors": [:], "payloads": ["type": "array"]])
                        ]),
                ]
            ],
            "PointsByID": object(["ids"], ["ids": ids, "with_payload": withPayload, "with_vector": withVector]),
            "Selection": [
                "oneOf": [object(["points"], ["points": ids]), object(["filter"], ["filter": reference("Filter")])]
            ],
            "PayloadChange": object(["payload"], ["payload": payload, "points": ids, "filter": reference("Filter")]),
            "PayloadKeys": object(
                ["keys"],
                ["keys": ["type": "array", "items": ["type": "string"]], "points": ids, "filter": reference("Filter")]),
            "Scroll": object(
                [],
                [
                    "offset": reference("PointID"), "limit": ["type": "integer", "minimum": 1, "default": 10],
                    "filter": reference("Filter"), "with_payload": withPayload, "with_vector": withVector,
                ]),
            "Count": object([], ["filter": reference("Filter"), "exact": ["type": "boolean"]]),
            "Query": object([], .object(query)),
            "QueryBatch": object(["searches"], ["searches": ["type": "array", "items": reference("Query")]]),
            "Search": object(["vector", "limit"], .object(search)),
        ]
    }
}
