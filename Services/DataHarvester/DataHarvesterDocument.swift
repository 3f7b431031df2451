import Datasources
import ServiceRuntime
import WireProtocol

/// The OpenAPI 3.1 document of this service.
enum DataHarvesterDocument {
    static let json: JSONValue = [
        "openapi": "3.1.0",
        "info": [
            "title": "data-harvester", "version": .string(suiteVersion),
            "description": "Reads sources: tests and previews them here, harvests them from the list queue:harvest.",
        ],
        "paths": [
            "/sources/test": operation("testSource", "Whether a source can be reached and read", answer: "Test"),
            "/sources/preview": operation(
                "previewSource", "The first rows, what they would become, and how many there are", answer: "Preview"),
            "/sources/count": operation("countSource", "How many rows a full sync would read", answer: "Count"),
            "/sources/validate": operation(
                "validateSource", "Whether a query would be run, and its columns", answer: "Validation"),
            "/openapi.json": [
                "get": [
                    "operationId": "document", "summary": "This document", "security": token,
                    "responses": [
                        "200": [
                            "description": "OpenAPI 3.1",
                            "content": ["application/json": ["schema": ["type": "object"]]],
                        ],
                        "401": problem("401"),
                    ],
                ]
            ],
            "/health": operational("The service and each dependency", type: "application/health+json", failing: true),
            "/livez": operational("The process only", type: "application/json", failing: false),
            "/readyz": operational("Whether it can take work", type: "application/json", failing: true),
            "/metrics": operational("Prometheus text format", type: "text/plain", failing: false),
        ],
        "components": [
            "securitySchemes": [
                "internalToken": ["type": "http", "scheme": "bearer", "description": "INTERNAL_TOKEN, when one is set"]
            ],
            "schemas": schemas,
        ],
    ]

    private static let token: JSONValue = [["internalToken": []], [:]]
    private static let string: JSONValue = ["type": "string"]
    private static let strings: JSONValue = ["type": "array", "items": ["type": "string"]]

    private static let schemas: JSONValue = [
        "SourceRequest": [
            "type": "object", "additionalProperties": false,
            "description": "Either datasource_id, perhaps with another query_template, or type and connection_config.",
            "properties": [
                "datasource_id": ["type": ["string", "null"]],
                "type": ["enum": .array(Datasource.Kind.allCases.map { .string($0.rawValue) } + [.null])],
                "connection_config": ["type": ["object", "null"]], "query_template": ["type": ["string", "null"]],
                "field_mapping": ["type": ["object", "null"]],
                "embedding_fields": ["type": ["array", "null"], "items": string],
                "embedding_template": ["type": ["string", "null"]],
                "processing": ["type": ["array", "null"], "items": ["type": "object"]],
                "limit": ["type": ["integer", "null"], "minimum": 1, "maximum": 100, "default": 5],
            ],
        ],
        "Test": object([
            "ok": ["const": true], "server": string, "latency_ms": ["type": "number"], "details": ["type": "object"],
        ]),
        "Count": object(["total": ["type": "integer"], "is_exact": ["type": "boolean"]]),
        "Validation": object(["valid": ["const": true], "columns": strings, "notes": strings]),
        "Preview": object([
            "columns": strings, "rows": ["type": "array", "items": ["type": "object"]],
            "records": ["type": "array", "items": ["type": "object"]], "notes": strings,
            "total": ["type": ["integer", "null"]],
            "total_is_exact": ["type": "boolean"],
        ]),
        "Problem": [
            "type": "object", "required": ["type", "title", "status", "detail"],
            "properties": [
                "type": string, "title": string, "status": ["type": "integer"], "detail": string, "instance": string,
                "code": [
                    "type": "string", "description": "What failed: wrong_credentials, unreachable, invalid_query, ...",
                ],
                "position": ["type": "integer", "description": "The character of the query template, from 1"],
                "errors": ["type": "array", "items": object(["field": string, "message": string])],
            ],
        ],
    ]

    private static func object(_ properties: JSONValue) -> JSONValue {
        [
            "type": "object", "properties": properties,
            "required": .array((properties.object?.names ?? []).map(JSONValue.string)),
        ]
    }

    private static func operation(_ id: String, _ summary: String, answer: String) -> JSONValue {
        let success: JSONValue = [
            "description": .string(summary),
            "content": ["application/json": ["schema": ["$ref": .string("#/components/schemas/\(answer)")]]],
        ]
        var responses = JSONObject([("200", success)])
        for status in ["400", "401", "404", "408", "413", "422", "431", "502", "503", "504"] {
            responses[status] = problem(status)
        }
        return [
            "post": [
                "operationId": .string(id), "summary": .string(summary), "security": token,
                "requestBody": [
                    "required": true,
                    "content": ["application/json": ["schema": ["$ref": "#/components/schemas/SourceRequest"]]],
                ],
                "responses": .object(responses),
            ]
        ]
    }

    private static func problem(_ status: String) -> JSONValue {
        [
            "description": .string("Refused (\(status))"),
            "content": ["application/problem+json": ["schema": ["$ref": "#/components/schemas/Problem"]]],
        ]
    }

    private static func operational(_ summary: String, type: String, failing: Bool) -> JSONValue {
        let media: JSONValue = ["schema": .object(JSONObject())]
        let answer: JSONValue = ["description": "Yes", "content": .object(JSONObject([(type, media)]))]
        var responses = JSONObject([("200", answer)])
        if failing { responses["503"] = ["description": "No"] }
        return ["get": ["summary": .string(summary), "security": [], "responses": .object(responses)]]
    }
}
