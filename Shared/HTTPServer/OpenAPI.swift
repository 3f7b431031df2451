import ServiceRuntime
import WireProtocol

/// The OpenAPI 3.1 document of a service that asks for the internal token, and what such documents are made of.
package enum OpenAPI {
    /// `paths` and `schemas` are the service's own; the operational routes, this document itself and problems are added.
    /// `problemMembers`: what its problems may have beside the standard ones.
    package static func document(
        service: String, description: String, paths: JSONObject, schemas: JSONObject, problemMembers: JSONObject = [:]
    ) -> JSONValue {
        [
            "openapi": "3.1.0",
            "info": [
                "title": .string(service), "version": .string(suiteVersion), "description": .string(description),
            ],
            "paths": .object(JSONObject(paths.members + common)),
            "components": [
                "securitySchemes": [
                    "internalToken": [
                        "type": "http", "scheme": "bearer", "description": "INTERNAL_TOKEN, when one is set",
                    ]
                ],
                "schemas": .object(JSONObject(schemas.members + [("Problem", problem(problemMembers))])),
            ],
        ]
    }

    /// One operation. `answers` are those that are not problems, by status; `refusals` the statuses that are.
    package static func operation(
        _ id: String, _ summary: String, description: String? = nil, parameters: JSONValue? = nil,
        body: JSONValue? = nil,
        answers: JSONObject, refusals: [String]
    ) -> JSONValue {
        var operation: JSONObject = ["operationId": .string(id), "summary": .string(summary)]
        if let description { operation["description"] = .string(description) }
        operation["security"] = [["internalToken": []], [:]]
        if let parameters { operation["parameters"] = parameters }
        if let body {
            operation["requestBody"] = ["required": true, "content": ["application/json": ["schema": body]]]
        }
        var responses = answers
        for status in refusals {
            responses[status] = answer("Problem (RFC 9457)", reference("Problem"), type: "application/problem+json")
        }
        operation["responses"] = .object(responses)
        return .object(operation)
    }

    package static func answer(
        _ about: String, _ schema: JSONValue, type: String = "application/json"
    ) -> JSONValue {
        ["description": .string(about), "content": .object([type: ["schema": schema]])]
    }

    // MARK: - Schemas

    package static let string: JSONValue = ["type": "string"]
    package static func reference(_ name: String) -> JSONValue { ["$ref": .string("#/components/schemas/\(name)")] }
    package static func list(of schema: JSONValue) -> JSONValue { ["type": "array", "items": schema] }
    /// All of `properties` are always there, but for the `optional` ones.
    package static func object(_ properties: JSONObject, optional: JSONObject = [:]) -> JSONValue {
        [
            "type": "object", "required": .array(properties.names.map(JSONValue.string)),
            "properties": .object(JSONObject(properties.members + optional.members)),
        ]
    }

    /// What `Problem.response` writes.
    private static func problem(_ more: JSONObject) -> JSONValue {
        let optional: JSONObject = [
            "instance": string, "errors": list(of: object(["field": string, "message": string])),
        ]
        return object(
            ["type": string, "title": string, "status": ["type": "integer"], "detail": string],
            optional: JSONObject(optional.members + more.members))
    }

    private static var common: [(name: String, value: JSONValue)] {
        [
            (
                "/openapi.json",
                [
                    "get": operation(
                        "document", "This document", answers: ["200": answer("OpenAPI 3.1", ["type": "object"])],
                        refusals: ["401"])
                ]
            ),
            (
                "/health",
                operational("health", "The service and each dependency", "application/health+json", mayFail: true)
            ),
            ("/livez", operational("livez", "The process only", "application/json", mayFail: false)),
            ("/readyz", operational("readyz", "Whether it can take work", "application/json", mayFail: true)),
            ("/metrics", operational("metrics", "Prometheus text format", "text/plain", mayFail: false)),
        ]
    }

    private static func operational(_ id: String, _ summary: String, _ type: String, mayFail: Bool) -> JSONValue {
        var responses: JSONObject = ["200": answer("It works", [:], type: type)]
        if mayFail { responses["503"] = ["description": "It does not"] }
        return [
            "get": [
                "operationId": .string(id), "summary": .string(summary), "security": [],
                "responses": .object(responses),
            ]
        ]
    }
}

extension Router {
    /// `GET /openapi.json`
    package mutating func addDocument(_ document: JSONValue) {
        on("GET", "/openapi.json") { [bytes = document.serializedBytes] _ in
            .bytes(bytes, contentType: "application/json")
        }
    }
}
