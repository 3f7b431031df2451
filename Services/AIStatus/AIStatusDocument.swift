import ServiceRuntime
import WireProtocol

/// The OpenAPI 3.1 document of this service.
enum AIStatusDocument {
    static var json: JSONValue {
        [
            "openapi": "3.1.0",
            "info": [
                "title": "ai-status", "version": .string(suiteVersion),
                "description": "The enrichment of imported products with AI, and its status.",
            ],
            "paths": [
                "/_ai_status": status("aiStatus"), "/ai_status": status("aiStatusAlias"),
                "/openapi.json": [
                    "get": [
                        "operationId": "document", "summary": "This document", "security": token,
                        "responses": [
                            "200": answer("OpenAPI 3.1", "application/json", ["type": "object"]), "401": problem("401"),
                        ],
                    ]
                ],
                "/health": operational(
                    "The service and each dependency", type: "application/health+json", failing: true),
                "/livez": operational("The process only", type: "application/json", failing: false),
                "/readyz": operational("Whether it can take work", type: "application/json", failing: true),
                "/metrics": operational("Prometheus text format", type: "text/plain", failing: false),
            ],
            "components": [
                "securitySchemes": [
                    "internalToken": [
                        "type": "http", "scheme": "bearer", "description": "INTERNAL_TOKEN, when one is set",
                    ]
                ],
                "schemas": [
                    "UnknownTask": [
                        "type": "object", "required": ["state"], "properties": ["state": ["const": "IDLE"]],
                    ],
                    "Problem": [
                        "type": "object", "required": ["type", "title", "status", "detail"],
                        "properties": [
                            "type": ["type": "string"], "title": ["type": "string"], "status": ["type": "integer"],
                            "detail": ["type": "string"], "instance": ["type": "string"],
                            "errors": [
                                "type": "array",
                                "items": [
                                    "type": "object", "required": ["field", "message"],
                                    "properties": ["field": ["type": "string"], "message": ["type": "string"]],
                                ],
                            ],
                        ],
                    ],
                ],
            ],
        ]
    }

    private static let token: JSONValue = [["internalToken": []], [:]]

    private static func status(_ id: String) -> JSONValue {
        [
            "get": [
                "operationId": .string(id), "summary": "The enrichment of one import", "security": token,
                "parameters": [
                    [
                        "name": "task_id", "in": "query", "required": true,
                        "description": "From the answer of the import",
                        "schema": ["type": "string", "minLength": 1],
                    ]
                ],
                "responses": [
                    "400": problem("400"), "401": problem("401"), "431": problem("431"),
                    "404": answer("No such task", "application/json", ["$ref": "#/components/schemas/UnknownTask"]),
                ],
            ]
        ]
    }

    private static func answer(_ about: String, _ type: String, _ schema: JSONValue) -> JSONValue {
        ["description": .string(about), "content": [type: ["schema": schema]]]
    }
    private static func problem(_ status: String) -> JSONValue {
        answer("Problem \(status) (RFC 9457)", "application/problem+json", ["$ref": "#/components/schemas/Problem"])
    }
    private static func operational(_ summary: String, type: String, failing: Bool) -> JSONValue {
        var responses: JSONObject = ["200": answer("It works", type, [:])]
        if failing { responses["503"] = ["description": "It does not"] }
        return ["get": ["summary": .string(summary), "responses": .object(responses)]]
    }
}
