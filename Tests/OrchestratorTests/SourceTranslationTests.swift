import Testing
import WireProtocol

@testable import Orchestrator

@Suite struct SourceTranslationTests {
    @Test func asksInTheHarvestersWordsAndAnswersInThoseOfTheSyncAPI() {
        let question = SourceTranslation.question([
            "name": "x", "type": "postgresql", "connectionConfig": ["hostName": 1], "query": "SELECT 1",
            "fieldMapping": ["createdAt": "c"],
            "embedding": ["template": "{{a}}"],
        ])
        #expect(
            .object(question) == [
                "type": "postgresql", "connection_config": ["hostName": 1], "query_template": "SELECT 1",
                "field_mapping": ["createdAt": "c"], "embedding_template": "{{a}}",
            ] as JSONValue)
        let answer = SourceTranslation.answer([
            "total_is_exact": true, "rows": [["row": ["total_is_exact": 1]]],
            "errors": [
                ["field": "connection_config.password", "message": "m"], ["field": "query_template", "message": "n"],
            ],
        ])
        #expect(
            .object(answer) == [
                "totalIsExact": true, "rows": [["row": ["total_is_exact": 1]]],
                "errors": [
                    ["field": "connectionConfig.password", "message": "m"], ["field": "queryTemplate", "message": "n"],
                ],
            ] as JSONValue)
    }
}
