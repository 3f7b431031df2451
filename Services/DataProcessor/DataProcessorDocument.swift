import HTTPServer
import WireProtocol

/// The OpenAPI 3.1 document of this service. The operations' schemas come from their parameter tables.
enum DataProcessorDocument {
    static func json(bodyBytes: Int) -> JSONValue {
        OpenAPI.document(
            service: "data-processor",
            description:
                "Applies declared operations to a dataset. Submit it, then ask for the job until its status is final.",
            paths: [
                "/process": ["post": process(bodyBytes: bodyBytes)],
                "/jobs/{job_id}": ["get": job],
                "/operations": [
                    "get": OpenAPI.operation(
                        "operations", "All operations, with the JSON Schema of their parameters",
                        answers: ["200": OpenAPI.answer("The operations", OpenAPI.reference("Operations"))],
                        refusals: ["401", "431"])
                ],
            ],
            schemas: schemas)
    }

    private static func process(bodyBytes: Int) -> JSONValue {
        let accepted: JSONValue = [
            "description": "The job, accepted",
            "content": ["application/json": ["schema": OpenAPI.reference("Accepted")]],
            "headers": ["Location": ["description": "Where to ask for it", "schema": OpenAPI.string]],
        ]
        return OpenAPI.operation(
            "process", "Submit a dataset and the operations to apply",
            description: "The body may have \(bodyBytes) bytes.", body: OpenAPI.reference("ProcessRequest"),
            answers: ["202": accepted], refusals: ["400", "401", "408", "413", "431", "503"])
    }

    private static var job: JSONValue {
        OpenAPI.operation(
            "job", "A job and, when it is completed, its result",
            parameters: [
                [
                    "name": "job_id", "in": "path", "required": true, "description": "From the answer of /process",
                    "schema": ["type": "string", "minLength": 1],
                ],
                [
                    "name": "wait", "in": "query",
                    "description": "Hold the answer until the status is final, at most so many seconds",
                    "schema": ["type": "integer", "minimum": 0, "maximum": 30, "default": 0],
                ],
            ],
            answers: ["200": OpenAPI.answer("The job", OpenAPI.reference("Job"))],
            refusals: ["400", "401", "404", "431", "503"])
    }

    private static var schemas: JSONObject {
        var operations: [JSONValue] = []
        var all = JSONObject()
        for type in OperationCatalogue.all {
            all["operation_" + type.name] = OperationCatalogue.schema(of: type)
            operations.append(OpenAPI.reference("operation_" + type.name))
        }
        all["Operation"] = ["oneOf": .array(operations)]
        all["Row"] = ["type": "object", "description": "One record; '_key' is protected."]
        all["ProcessRequest"] = [
            "type": "object", "required": ["dataset"], "additionalProperties": false,
            "properties": [
                "dataset": OpenAPI.list(of: OpenAPI.reference("Row")),
                "operations": [
                    "type": "array", "maxItems": JSONValue(ProcessingRequest.maximumOperations),
                    "items": OpenAPI.reference("Operation"),
                ],
                "on_error": [
                    "type": "string", "enum": ["skip", "fail"], "default": "skip",
                    "description":
                        "Whether a row that an operation cannot work on is left out and reported, or fails the job.",
                ],
            ],
        ]
        all["Accepted"] = OpenAPI.object([
            "job_id": OpenAPI.string, "status": ["const": "started"], "message": OpenAPI.string,
        ])
        all["RowError"] = OpenAPI.object([
            "index": count, "operation": OpenAPI.string, "operation_index": count, "message": OpenAPI.string,
        ])
        all["Result"] = OpenAPI.object([
            "processed_items": count, "operations_applied": count,
            "data": OpenAPI.list(of: OpenAPI.reference("Row")),
            "row_errors": OpenAPI.list(of: OpenAPI.reference("RowError")),
        ])
        all["Job"] = OpenAPI.object([
            "job_id": OpenAPI.string,
            "status": ["enum": .array(JobAnswer.State.allCases.map { .string($0.rawValue) })],
            "message": OpenAPI.string,
            "data": ["oneOf": [OpenAPI.reference("Result"), ["type": "null"]]], "error": ["type": ["string", "null"]],
        ])
        all["Operations"] = OpenAPI.object([
            "operations": OpenAPI.list(
                of: OpenAPI.object([
                    "operation": OpenAPI.string, "description": OpenAPI.string, "scope": ["enum": ["row", "dataset"]],
                    "parameters": ["type": "object"],
                ]))
        ])
        return all
    }

    private static let count: JSONValue = ["type": "integer", "minimum": 0]
}
