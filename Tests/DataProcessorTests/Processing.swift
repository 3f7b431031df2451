import FastJSON
import Testing
import WireProtocol

@testable import DataProcessor

// What the tests of operations share: JSON in, JSON out.

func json(_ text: String) throws -> JSONValue { try JSONReader.parse(Array(text.utf8)) }

func pipeline(_ operations: String, onError: String = "skip") throws -> Pipeline {
    let body = try json(#"{"dataset": [], "operations": [\#(operations)], "on_error": "\#(onError)"}"#)
    let request = try ProcessingRequest(body, maximumRows: 1000)
    return Pipeline(operations: request.operations, failsOnRowError: request.failsOnRowError)
}

/// Runs the operations (JSON objects) over the rows (JSON objects); each list without its brackets.
func process(_ operations: String, _ rows: String, onError: String = "skip") throws -> Pipeline.Outcome {
    let rows = try json("[\(rows)]").array?.compactMap(\.object) ?? []
    return try pipeline(operations, onError: onError).run(rows)
}

/// The one row that one row becomes, as JSON in the order of its fields.
func processed(_ operations: String, _ row: String) throws -> String {
    let outcome = try process(operations, row)
    #expect(outcome.errors.isEmpty)
    #expect(outcome.rows.count == 1)
    return outcome.rows.first.map { JSONValue.object($0).serialized } ?? ""
}

/// The one error of one row; nothing of the row may be in it.
func rowError(_ operations: String, _ row: String) throws -> String {
    let outcome = try process(operations, row)
    #expect(outcome.rows.isEmpty)
    let error = try #require(outcome.errors.first)
    #expect(error.index == 0)
    return error.message
}

/// Everything that is wrong with the operations, as `path: message`.
func refusal(_ operations: String) throws -> [String] {
    do {
        _ = try pipeline(operations)
        return []
    } catch let error as ProcessingRequest.Invalid {
        return error.failures.map { "\($0.path): \($0.message)" }
    }
}
