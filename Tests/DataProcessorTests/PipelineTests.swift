import Testing
import WireProtocol

@testable import DataProcessor

@Suite struct PipelineTests {
    @Test func noOperationsGiveTheRowsBack() throws {
        #expect(try process("", #"{"a":1},{}"#) == .init(rows: [["a": 1], [:]], errors: []))
    }

    @Test func aFailingRowIsReportedByItsFirstPlaceAndTheRestGoesOn() throws {
        let outcome = try process(
            #"{"operation":"sort","by":[{"field":"n","descending":true}]},{"operation":"trim"},{"operation":"cast","fields":["p"],"to":"number"}"#,
            #"{"n":1,"p":"bad secret"},{"n":2,"p":" 5 "},{"n":3,"p":"worse secret"}"#)
        #expect(outcome.rows == [["n": 2, "p": 5]])
        #expect(outcome.errors.map(\.index) == [0, 2])
        #expect(
            outcome.errors.allSatisfy {
                $0.operation == "cast" && $0.operationIndex == 2 && !$0.message.contains("secret")
            })
        #expect(
            outcome.errors[0].json.serialized
                == #"{"index":0,"operation":"cast","operation_index":2,"message":"field 'p' holds a string that cannot be read as a number"}"#
        )
    }

    @Test func onErrorFailEndsTheJob() throws {
        #expect(throws: JobFailure("operation 0 (round) failed on row 1: field 'a' holds a string, not a number")) {
            try process(#"{"operation":"round","fields":["a"]}"#, #"{"a":1},{"a":"x"}"#, onError: "fail")
        }
        #expect(
            throws: JobFailure(
                "operation 0 (filter) failed on row 0: the expression needs true or false where it gets a number")
        ) {
            try process(#"{"operation":"filter","expression":"a"}"#, #"{"a":1}"#, onError: "fail")
        }
    }

    @Test func theDeadlineEndsTheJob() throws {
        var late = try pipeline(#"{"operation":"trim"}"#)
        late.limits.duration = .zero
        #expect(throws: JobFailure("the job took longer than it may")) { try late.run([["a": "x"]]) }
    }

    @Test func everyProblemOfARequestIsToldWithItsPlace() throws {
        func problems(_ body: String) throws -> [String] {
            do {
                _ = try ProcessingRequest(try json(body), maximumRows: 2)
                return []
            } catch let error as ProcessingRequest.Invalid {
                return error.failures.map { "\($0.path): \($0.message)" }
            }
        }
        #expect(try problems("[]") == [": the body must be an object"])
        #expect(try problems("{}") == ["dataset: is required"])
        #expect(
            try problems(#"{"dataset":{},"operations":5,"x":1,"on_error":"stop"}"#) == [
                "x: is unknown here; known are dataset, operations, on_error", "dataset: must be a list",
                "operations: must be a list", "on_error: must be one of skip, fail",
            ])
        #expect(
            try problems(#"{"dataset":[1,{}],"operations":[1,{},{"operation":5},{"operation":"trim","x":1}]}"#) == [
                "dataset[0]: must be an object", "operations[0]: must be an object",
                "operations[1].operation: is required and must be the name of an operation",
                "operations[2].operation: is required and must be the name of an operation",
                "operations[3].x: is unknown here; known are fields, collapse, characters",
            ])
        #expect(try problems(#"{"dataset":[{},{},{}],"operations":[]}"#) == ["dataset: has more than 2 rows"])
        #expect(
            try problems(#"{"dataset":[],"operations":[{"operation":"nope"}]}"#).first?.hasPrefix(
                "operations[0].operation: is no operation of this service; known are select, rename") == true)
        #expect(
            try problems(
                #"{"dataset":[],"operations":[{"operation":"trim","fields":"a"},{"operation":"trim","fields":[]},{"operation":"trim","fields":[5,""]},{"operation":"limit","count":1.5},{"operation":"limit","count":true}]}"#
            ) == [
                "operations[0].fields: must be a list", "operations[1].fields: must have 1 to 500 elements",
                "operations[2].fields[0]: must be a field name",
                "operations[2].fields[1]: must be a field name of 1 to 256 characters",
                "operations[3].count: must be a whole number from 0 to 10000000",
                "operations[4].count: must be a whole number from 0 to 10000000",
            ])
        let many = Array(repeating: "{}", count: 101).joined(separator: ",")
        #expect(
            try problems(#"{"dataset":[],"operations":[\#(many)]}"#) == ["operations: has more than 100 operations"])
    }

    @Test func theCatalogueDescribesEveryOperationOfTheSpecification() throws {
        let names: Set = [
            "select", "rename", "drop", "set", "cast", "trim", "lowercase", "uppercase", "replace", "strip_html",
            "normalize_unicode", "split", "join",
            "concat", "default", "map_values", "filter", "deduplicate", "sort", "limit", "truncate", "chunk", "hash",
            "extract", "parse_json",
            "flatten", "round", "winner_score",
        ]
        #expect(Set(OperationCatalogue.all.map { $0.name }) == names)
        let described = try #require(OperationCatalogue.description["operations"]?.array)
        #expect(described.count == names.count)
        for operation in described {
            let schema = try #require(operation["parameters"]?.object)
            #expect(schema["type"] == "object" && schema["additionalProperties"] == false)
            #expect(schema["required"]?.array?.first == "operation")
            #expect(schema["properties"]?["operation"]?["const"] == operation["operation"])
            for (_, property) in schema["properties"]?.object?.members ?? [] where property["const"] == nil {
                #expect(property["description"]?.string?.isEmpty == false)
            }
        }
    }
}
