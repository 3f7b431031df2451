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

    static func reference(_ name: String) -> JSONValue { ["$ref": .string("#/components/schemas/\(name)")] }
    private static func list(_ name: String) -> JSONValue { ["type": "array", "items": reference(name)] }
    private static func object(_ name: String, _ schema: JSONValue) -> JSONValue {
        ["type": "object", "required": [.string(name)], "properties": .object(JSONObject(unique: [(name, schema)]))]
    }
    private static let boolean: JSONValue = ["type": "boolean"]
    private static let wait: [JSONValue] = [
        [
            "name": "wait", "in": "query",
            "description": "Answer when it is durable; without, within a second of that.",
            "schema": ["type": "boolean", "default": false],
        ]
    ]
    private static let timeout: [JSONValue] = [
        [
            "name": "timeout", "in": "query", "description": "Seconds; taken, and needed for nothing.",
            "schema": ["type": "integer", "minimum": 1],
        ]
    ]

    private static var operations: [Operation] {
        service + collections + writes + reads
            + UnsupportedOperation.all.map { operation in
                let path = operation.path.split(separator: "/", omittingEmptySubsequences: false).map {
                    $0.hasPrefix(":") ? "{\($0.dropFirst())}" : String($0)
                }
                return Operation(
                    method: operation.method.lowercased(), path: path.joined(separator: "/"),
                    summary: "\(operation.subject): not supported, 400", result: [:])
            }
    }

    private static let collection = "/collections/{collection}"
    private static let points = collection + "/points"

    private static var service: [Operation] {
        [
            Operation(method: "get", path: "/", summary: "Which Qdrant this speaks like", isOpen: true),
            Operation(
                method: "get", path: "/healthz", summary: "The process only", result: ["type": "string"], isOpen: true,
                type: "text/plain"),
            Operation(
                method: "get", path: "/livez", summary: "The process only", result: ["type": "string"], isOpen: true,
                type: "text/plain"),
            Operation(
                method: "get", path: "/readyz", summary: "Whether it can take work", result: ["type": "string"],
                isOpen: true, type: "text/plain"),
            Operation(
                method: "get", path: "/health", summary: "The service and each dependency", isOpen: true,
                type: "application/health+json"),
            Operation(
                method: "get", path: "/metrics", summary: "Prometheus text format", result: ["type": "string"],
                isOpen: true, type: "text/plain"),
            Operation(method: "get", path: "/openapi.json", summary: "This document", isOpen: true),
            Operation(
                method: "get", path: "/telemetry", summary: "Collections, and how often each endpoint answered what",
                query: [["name": "details_level", "in": "query", "schema": ["type": "integer", "minimum": 0]]]),
            Operation(method: "get", path: "/cluster", summary: "That this is no cluster"),
            Operation(method: "get", path: "/issues", summary: "None"),
            Operation(method: "delete", path: "/issues", summary: "Forget issues", result: boolean),
        ]
    }

    private static var collections: [Operation] {
        [
            Operation(
                method: "get", path: "/collections", summary: "The collections",
                result: object("collections", ["type": "array", "items": object("name", ["type": "string"])])),
            Operation(method: "get", path: collection, summary: "A collection", result: reference("CollectionInfo")),
            Operation(
                method: "put", path: collection, summary: "Create a collection", result: boolean,
                body: "CreateCollection", query: timeout),
            Operation(
                method: "patch", path: collection, summary: "Change settings: they are kept and echoed",
                result: boolean, body: "UpdateCollection", query: timeout),
            Operation(
                method: "delete", path: collection, summary: "Delete a collection; false where there was none",
                result: boolean, query: timeout),
            Operation(
                method: "get", path: collection + "/exists", summary: "Whether there is such a collection or alias",
                result: object("exists", boolean)),
            Operation(
                method: "get", path: collection + "/cluster", summary: "Its one shard"),
            Operation(
                method: "get", path: collection + "/optimizations", summary: "None: its one segment needs none",
                query: [
                    [
                        "name": "with", "in": "query", "description": "Any of queued, completed, idle_segments.",
                        "schema": ["type": "string"],
                    ],
                    ["name": "completed_limit", "in": "query", "schema": ["type": "integer", "minimum": 0]],
                ]),
            Operation(
                method: "post", path: "/collections/aliases", summary: "Change aliases, all or none", result: boolean,
                body: "AliasActions"),
            Operation(
                method: "get", path: "/aliases", summary: "All aliases", result: object("aliases", list("Alias"))),
            Operation(
                method: "get", path: collection + "/aliases", summary: "The aliases of a collection",
                result: object("aliases", list("Alias"))),
            Operation(
                method: "put", path: collection + "/index", summary: "Declare a field's type",
                result: reference("UpdateResult"), body: "FieldIndex", query: wait),
            Operation(
                method: "delete", path: collection + "/index/{field}", summary: "Forget a field's type",
                result: reference("UpdateResult"), query: wait),
            Operation(
                method: "put", path: collection + "/vectors/{vector}",
                summary: "Add a vector: points that are there do not have it",
                result: reference("UpdateResult"), body: "NewVector", query: wait),
            Operation(
                method: "delete", path: collection + "/vectors/{vector}", summary: "Take a vector from all points",
                result: reference("UpdateResult"), query: wait),
        ]
    }

    private static var writes: [Operation] {
        let operations: [(method: String, path: String, summary: String, body: String)] = [
            ("put", "", "Store points, all or none", "Points"),
            ("post", "/delete", "Delete points", "Selection"),
            ("put", "/vectors", "Replace vectors of points that are there", "PointVectors"),
            ("post", "/vectors/delete", "Take vectors away", "VectorNames"),
            ("post", "/payload", "Add to payloads", "PayloadChange"),
            ("put", "/payload", "Replace payloads", "PayloadChange"),
            ("post", "/payload/delete", "Remove keys", "PayloadKeys"),
            ("post", "/payload/clear", "Empty payloads", "Selection"),
        ]
        return operations.map {
            Operation(
                method: $0.method, path: points + $0.path, summary: $0.summary, result: reference("UpdateResult"),
                body: $0.body, query: wait)
        } + [
            Operation(
                method: "post", path: points + "/batch", summary: "Several of these in order, all or none",
                result: list("UpdateResult"), body: "Operations", query: wait)
        ]
    }

    private static var reads: [Operation] {
        let found = object("points", list("ScoredPoint"))
        let lists: JSONValue = ["type": "array", "items": list("ScoredPoint")]
        return [
            Operation(method: "post", path: points, summary: "Points by id", result: list("Point"), body: "PointsByID"),
            Operation(method: "get", path: points + "/{id}", summary: "One point", result: reference("Point")),
            Operation(
                method: "post", path: points + "/scroll", summary: "Pages in order of ids, or of a payload value",
                result: reference("Page"), body: "Scroll"),
            Operation(
                method: "post", path: points + "/count", summary: "How many points match",
                result: object("count", ["type": "integer"]), body: "Count"),
            Operation(
                method: "post", path: collection + "/facet", summary: "The values of a key, the most frequent first",
                result: reference("Facet"), body: "FacetRequest"),
            Operation(
                method: "post", path: points + "/query", summary: "The nearest points, or the best of several lists",
                result: found, body: "Query"),
            Operation(
                method: "post", path: points + "/query/batch", summary: "Several queries",
                result: ["type": "array", "items": found], body: "QueryBatch"),
            Operation(
                method: "post", path: points + "/query/groups", summary: "The best points of each value of a key",
                result: reference("Groups"), body: "QueryGroups"),
            Operation(
                method: "post", path: points + "/search", summary: "The nearest points, as older clients ask",
                result: list("ScoredPoint"), body: "Search"),
            Operation(
                method: "post", path: points + "/search/batch", summary: "Several such searches", result: lists,
                body: "SearchBatch"),
            Operation(
                method: "post", path: points + "/search/groups", summary: "The same in groups",
                result: reference("Groups"), body: "SearchGroups"),
            Operation(
                method: "post", path: points + "/search/matrix/pairs", summary: "How near points at random are",
                result: object("pairs", list("MatrixPair")), body: "Matrix"),
            Operation(
                method: "post", path: points + "/search/matrix/offsets", summary: "The same as a sparse matrix",
                result: reference("MatrixOffsets"), body: "Matrix"),
            Operation(
                method: "post", path: points + "/recommend", summary: "Points near examples, as older clients ask",
                result: list("ScoredPoint"), body: "Recommend"),
            Operation(
                method: "post", path: points + "/recommend/batch", summary: "Several such", result: lists,
                body: "RecommendBatch"),
            Operation(
                method: "post", path: points + "/recommend/groups", summary: "The same in groups",
                result: reference("Groups"), body: "RecommendGroups"),
            Operation(
                method: "post", path: points + "/discover", summary: "Points by pairs, as older clients ask",
                result: list("ScoredPoint"), body: "Discover"),
            Operation(
                method: "post", path: points + "/discover/batch", summary: "Several such", result: lists,
                body: "DiscoverBatch"),
        ]
    }
}
