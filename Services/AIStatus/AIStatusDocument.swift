import HTTPServer
import WireProtocol

/// The OpenAPI 3.1 document of this service.
enum AIStatusDocument {
    static var json: JSONValue {
        OpenAPI.document(
            service: "ai-status", description: "The enrichment of imported products with AI, and its status.",
            paths: ["/_ai_status": ["get": status("aiStatus")], "/ai_status": ["get": status("aiStatusAlias")]],
            schemas: ["UnknownTask": OpenAPI.object(["state": ["const": "IDLE"]])])
    }

    private static func status(_ id: String) -> JSONValue {
        OpenAPI.operation(
            id, "The enrichment of one import",
            parameters: [
                [
                    "name": "task_id", "in": "query", "required": true, "description": "From the answer of the import",
                    "schema": ["type": "string", "minLength": 1],
                ]
            ],
            answers: ["404": OpenAPI.answer("No such task", OpenAPI.reference("UnknownTask"))],
            refusals: ["400", "401", "431"])
    }
}
