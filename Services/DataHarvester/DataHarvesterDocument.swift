import Datasources
import HTTPServer
import WireProtocol

/// The OpenAPI 3.1 document of this service.
enum DataHarvesterDocument {
    static var json: JSONValue {
        OpenAPI.document(
            service: "data-harvester",
            description: "Reads sources: tests and previews them here, harvests them from the list queue:harvest.",
            paths: [
                "/sources/test": operation("testSource", "Whether a source can be reached and read", answer: "Test"),
                "/sources/preview": operation(
                    "previewSource", "The first rows, what they would become, and how many there are",
                    answer: "Preview"),
                "/sources/count": operation("countSource", "How many rows a full sync would read", answer: "Count"),
                "/sources/validate": operation(
                    "validateSource", "Whether a query would be run, and its columns", answer: "Validation"),
            ],
            schemas: schemas,
            problemMembers: [
                "code": [
                    "type": "string", "description": "What failed: wrong_credentials, unreachable, invalid_query, ...",
                ],
                "position": ["type": "integer", "description": "The character of the query template, from 1"],
            ])
    }

    private static let strings = OpenAPI.list(of: OpenAPI.string)
    private static let objects = OpenAPI.list(of: ["type": "object"])

    private static let schemas: JSONObject = [
        "SourceRequest": [
            "type": "object", "additionalProperties": false,
            "description": "Either datasource_id, perhaps with another query_template, or type and connection_config.",
            "properties": [
                "datasource_id": ["type": ["string", "null"]],
                "type": ["enum": .array(Datasource.Kind.allCases.map { .string($0.rawValue) } + [.null])],
                "connection_config": ["type": ["object", "null"]], "query_template": ["type": ["string", "null"]],
                "field_mapping": ["type": ["object", "null"]],
                "embedding_fields": ["type": ["array", "null"], "items": OpenAPI.string],
                "embedding_template": ["type": ["string", "null"]],
                "processing": ["type": ["array", "null"], "items": ["type": "object"]],
                "limit": ["type": ["integer", "null"], "minimum": 1, "maximum": 100, "default": 5],
            ],
        ],
        "Test": OpenAPI.object([
            "ok": ["const": true], "server": OpenAPI.string, "latency_ms": ["type": "number"],
            "details": ["type": "object"],
        ]),
        "Count": OpenAPI.object(["total": ["type": "integer"], "is_exact": ["type": "boolean"]]),
        "Validation": OpenAPI.object(["valid": ["const": true], "columns": strings, "notes": strings]),
        "Preview": OpenAPI.object([
            "columns": strings, "rows": objects, "records": objects, "notes": strings,
            "total": ["type": ["integer", "null"]], "total_is_exact": ["type": "boolean"],
        ]),
    ]

    private static func operation(_ id: String, _ summary: String, answer: String) -> JSONValue {
        [
            "post": OpenAPI.operation(
                id, summary, body: OpenAPI.reference("SourceRequest"),
                answers: ["200": OpenAPI.answer(summary, OpenAPI.reference(answer))],
                refusals: ["400", "401", "404", "408", "413", "422", "431", "502", "503", "504"])
        ]
    }
}
