import HTTPServer
import WireProtocol

/// The OpenAPI 3.1 document of this service.
enum EmbedderDocument {
    static var json: JSONValue {
        OpenAPI.document(
            service: "embedder",
            description:
                "Texts to vectors. Batches come and go over Redis lists; this is the surface for searches and people.",
            paths: [
                "/embed": [
                    "post": OpenAPI.operation(
                        "embed", "Vectors of texts, in their order, of length 1",
                        body: OpenAPI.reference("EmbedRequest"),
                        answers: ["200": OpenAPI.answer("One vector a text", OpenAPI.reference("EmbedResponse"))],
                        refusals: ["400", "401", "408", "413", "422", "431", "503"])
                ],
                "/extract-text": [
                    "post": OpenAPI.operation(
                        "extractText", "The text in an image; needs a vision provider, and there is none yet",
                        answers: [:], refusals: ["401", "431", "501"])
                ],
                "/providers": [
                    "get": OpenAPI.operation(
                        "listProviders", "The providers, their models, limits and state",
                        answers: [
                            "200": OpenAPI.answer(
                                "All providers; the default one takes what names none", OpenAPI.reference("Providers"))
                        ],
                        refusals: ["401", "431"])
                ],
            ],
            schemas: schemas)
    }

    private static let integer: JSONValue = ["type": "integer"]
    private static let number: JSONValue = ["type": "number"]
    private static let perhapsInteger: JSONValue = ["type": ["integer", "null"]]

    private static let schemas: JSONObject = [
        "EmbedRequest": [
            "type": "object", "required": ["texts"], "additionalProperties": false,
            "properties": [
                "texts": [
                    "type": "array", "minItems": 1,
                    "items": ["type": "string", "minLength": 1, "pattern": "\\S"],
                    "description": "At most EMBEDDER_MAX_TEXTS (2048 by default)",
                ],
                "provider": ["type": "string", "description": "One of GET /providers; the default one otherwise"],
                "model": ["type": "string", "description": "Another model of the provider, where it takes one"],
                "dimensions": ["type": "integer", "minimum": 1, "maximum": 16384],
                "task": ["type": "string", "enum": ["document", "query"], "default": "document"],
            ],
        ],
        "EmbedResponse": OpenAPI.object(
            [
                "vectors": OpenAPI.list(of: OpenAPI.list(of: number)), "provider": OpenAPI.string,
                "model": OpenAPI.string, "dimensions": integer,
                "cached": ["type": "integer", "description": "Texts that cost nothing"],
                "tokens": [
                    "type": "integer", "description": "Tokens the provider used (estimated where it does not say)",
                ],
            ],
            optional: ["degraded": ["type": "string", "description": "Why the vectors are worse than they should be"]]),
        "Provider": OpenAPI.object(
            [
                "name": OpenAPI.string, "model": OpenAPI.string, "dimensions": integer,
                "space": ["type": "string", "description": "provider|model|dimensions|task scheme|normalized"],
                "task_scheme": OpenAPI.string, "default": ["type": "boolean"],
                "status": ["type": "string", "enum": ["ok", "degraded", "failing"]], "batch_size": integer,
                "concurrency": integer, "requests_per_minute": perhapsInteger, "tokens_per_minute": perhapsInteger,
                "cost_per_million_tokens": number,
            ], optional: ["degraded": OpenAPI.string, "error": OpenAPI.string]),
        "Providers": OpenAPI.object([
            "default": OpenAPI.string, "providers": OpenAPI.list(of: OpenAPI.reference("Provider")),
        ]),
    ]
}
