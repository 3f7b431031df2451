import ServiceRuntime
import WireProtocol

/// The OpenAPI 3.1 document of this service. The operations' schemas come from their parameter tables.
enum DataProcessorDocument {
    static func json(bodyBytes: Int) -> JSONValue {
        [
            "openapi": "3.1.0",
            "info": [
                "title": "data-processor", "version": .string(suiteVersion),
                "description":
                    "Applies declared operations to a dataset. Submit it, then ask for the job until its status is final.",
            ],
            "paths": [
                "/process": [
                    "post": [
                        "operationId": "process", "summary": "Submit a dataset and the operations to apply",
                        "description": .string("The body may have \(bodyBytes) bytes."), "security": token,
                        "requestBody": [
                            "required": true, "content": ["application/json": ["schema": reference("ProcessRequest")]],
                        ],
                        "responses": responses(
                            "202", "The job, accepted", "Accepted",
                            refusals: ["400", "401", "408", "413", "431", "503"],
                            headers: ["Location": ["description": "Where to ask for it", "schema": ["type": "string"]]]),
                    ]
                ],
                "/jobs/{job_id}": [
                    "get": [
                        "operationId": "job", "summary": "A job and, when it is completed, its result",
                        "security": token,
                        "parameters": [
                            [
                                "name": "job_id", "in": "path", "required": true,
                                "description": "From the answer of /process",
                                "schema": ["type": "string", "minLength": 1],
                            ],
                            [
                                "name": "wait", "in": "query",
                                "description": "Hold the answer until the status is final, at most so many seconds",
                                "schema": ["type": "integer", "minimum": 0, "maximum": 30, "default": 0],
                            ],
                        ],
                        "responses": responses("200", "The job", "Job", refusals: ["400", "401", "404", "431", "503"]),
                    ]
                ],
                "/operations": [
                    "get": [
                        "operationId": "operations",
                        "summary": "All operations, with the JSON Schema of their parameters",
                        "security": token,
                        "responses": responses("200", "The operations", "Operations", refusals: ["401", "431"]),
                    ]
                ],
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
                "schemas": schemas,
            ],
        ]
    }

    private static let token: JSONValue = [["internalToken": []], [:]]

    private static var schemas: JSONValue {
        var operations: [JSONValue] = []
        var all = JSONObject()
        for type in OperationCatalogue.all {
            all["operation_" + type.name] = OperationCatalogue.schema(of: type)
            operations.append(reference("operation_" + type.name))
        }
        all["Operation"] = ["oneOf": .array(operations)]
        all["Row"] = ["type": "object", "description": "One record; '_key' is protected."]
        all["ProcessRequest"] = [
            "type": "object", "required": ["dataset"], "additionalProperties": false,
            "properties": [
                "dataset": ["type": "array", "items": reference("Row")],
                "operations": [
                    "type": "array", "maxItems": JSONValue(ProcessingRequest.maximumOperations),
                    "items": reference("Operation"),
                ],
                "on_error": [
                    "type": "string", "enum": ["skip", "fail"], "default": "skip",
                    "description":
                        "Whether a row that an operation cannot work on is left out and reported, or fails the job.",
                ],
            ],
        ]
        all["Accepted"] = object(["job_id": string, "status": ["const": "started"], "message": string])
        all["RowError"] = object(["index": count, "operation": string, "operation_index": count, "message": string])
        all["Result"] = object([
            "processed_items": count, "operations_applied": count,
            "data": ["type": "array", "items": reference("Row")],
            "row_errors": ["type": "array", "items": reference("RowError")],
        ])
        all["Job"] = object([
            "job_id": string, "status": ["enum": .array(JobAnswer.State.allCases.map { .string($0.rawValue) })],
            "message": string,
            "data": ["oneOf": [reference("Result"), ["type": "null"]]], "error": ["type": ["string", "null"]],
        ])
        all["Operations"] = object([
            "operations": [
                "type": "array",
                "items": object([
                    "operation": string, "description": string, "scope": ["enum": ["row", "dataset"]],
                    "parameters": ["type": "object"],
                ]),
            ]
        ])
        all["Problem"] = [
            "type": "object", "required": ["type", "title", "status", "detail"],
            "properties": [
                "type": string, "title": string, "status": ["type": "integer"], "detail": string, "instance": string,
                "errors": ["type": "array", "items": object(["field": string, "message": string])],
            ],
        ]
        return .object(all)
    }

    private static let string: JSONValue = ["type": "string"]
    private static let count: JSONValue = ["type": "integer", "minimum": 0]
    private static func reference(_ name: String) -> JSONValue { ["$ref": .string("#/components/schemas/\(name)")] }
    private static func object(_ properties: JSONObject) -> JSONValue {
        ["type": "object", "required": .array(properties.names.map { .string($0) }), "properties": .object(properties)]
    }
    private static func problem(_ status: String) -> JSONValue {
        [
            "description": .string("Problem \(status) (RFC 9457)"),
            "content": ["application/problem+json": ["schema": reference("Problem")]],
        ]
    }
    private static func responses(
        _ status: String, _ about: String, _ schema: String, refusals: [String], headers: JSONObject = [:]
    ) -> JSONValue {
        var success: JSONObject = [
            "description": .string(about), "content": ["application/json": ["schema": reference(schema)]],
        ]
        if !headers.isEmpty { success["headers"] = .object(headers) }
        var responses: JSONObject = [status: .object(success)]
        for refusal in refusals { responses[refusal] = problem(refusal) }
        return .object(responses)
    }
    private static func operational(_ summary: String, type: String, failing: Bool) -> JSONValue {
        var responses: JSONObject = ["200": ["description": "It works", "content": [type: [:]]]]
        if failing { responses["503"] = ["description": "It does not"] }
        return ["get": ["summary": .string(summary), "responses": .object(responses)]]
    }
}
