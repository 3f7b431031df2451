import FastJSON
import HTTPClient
import HTTPServer
import Testing
import WireProtocol

@testable import Orchestrator

/// The sync API speaks camelCase on both sides of the data-harvester.
struct SourceTranslationTests {
    @Test func aDraftBecomesAQuestionInTheHarvestersWords() throws {
        let draft: JSONValue = [
            "name": "shop", "type": "csv", "connectionConfig": ["path": "a.csv"], "fieldMapping": ["id": "sku"],
            "queryTemplate": nil,
            "embedding": ["template": "{{title}}"], "qdrantCollection": "products",
        ]
        #expect(
            try SourceTranslation.question(about: draft) == [
                "type": "csv", "connection_config": ["path": "a.csv"], "field_mapping": ["id": "sku"],
                "embedding_template": "{{title}}",
            ])
    }

    @Test func anUnknownMemberOfADraftIsNamed() {
        #expect { try SourceTranslation.question(about: ["connection_config": [:]]) } throws: { error in
            (error as? Problem)?.errors.map(\.field) == ["connection_config"]
        }
    }

    @Test func aProblemNamesTheFieldsAndThePathOfTheCaller() async throws {
        let problem: JSONValue = [
            "instance": "/sources/validate", "status": 422, "code": "refused_query",
            "errors": [
                ["field": "query_template", "message": "is empty"],
                ["field": "connection_config.port", "message": "must be a number"],
                ["field": "processing[0].fields", "message": "is required"],
            ],
        ]
        let answer = ClientResponse(
            status: 422, headers: [("content-type", "application/problem+json")], body: problem.serializedBytes)
        let response = try await SourceTranslation.response(
            answer, instance: "/api/datasources/1/validate-query", query: "query")
        let body = try JSONReader.parse(response.bytes ?? [])
        #expect(response.status == 422 && response.headers["content-type"] == "application/problem+json")
        #expect(body["instance"] == "/api/datasources/1/validate-query")
        #expect(
            body["errors"]?.array?.map { $0["field"]?.string } == [
                "query", "connectionConfig.port", "processing[0].fields",
            ])
    }

    @Test func aCustomersColumnsKeepTheirNames() async throws {
        let preview: JSONValue = ["rows": [["row": ["latency_ms": 1]]], "total": 1, "total_is_exact": true]
        let response = try await SourceTranslation.response(
            ClientResponse(status: 200, body: preview.serializedBytes), instance: "/")
        #expect(
            try JSONReader.parse(response.bytes ?? []) == [
                "rows": [["row": ["latency_ms": 1]]], "total": 1, "totalIsExact": true,
            ])
    }
}
