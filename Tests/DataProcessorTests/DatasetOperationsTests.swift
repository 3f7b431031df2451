import Testing
import WireProtocol

@testable import DataProcessor

@Suite struct DatasetOperationsTests {
    private func kept(_ expression: String, _ rows: String) throws -> [Int] {
        let operation: JSONValue = ["operation": "filter", "expression": .string(expression)]
        let outcome = try process(operation.serialized, rows)
        #expect(outcome.errors.isEmpty)
        return outcome.rows.compactMap { $0["i"]?.integer.map(Int.init) }
    }
    private static let rows = """
        {"i":0,"name":"Lamp","price":10,"tags":["a","b"],"on":true,"unit price":5},{"i":1,"name":"O'Neil","price":"12.5","tags":[],"on":false},
        {"i":2,"name":"lamp 2","price":null,"nombre_ñ":"x"},{"i":3,"name":"","price":"n/a","tags":"abc"}
        """

    @Test(arguments: [
        ("price > 9", [0, 1]), ("price >= 10 and price <= 12.5", [0, 1]), ("not price > 9", [2, 3]),
        ("price is null", [2]),
        ("price is not null", [0, 1, 3]), ("name = 'Lamp'", [0]), ("name == \"O'Neil\"", [1]),
        ("name = 'O''Neil'", [1]), ("name != 'Lamp'", [1, 2, 3]),
        ("name <> ''", [0, 1, 2]), ("name in ('Lamp', \"lamp 2\", 5)", [0, 2]), ("name not in ('Lamp')", [1, 2, 3]),
        ("price in (10, 12.5)", [0, 1]),
        ("name contains 'amp'", [0, 2]), ("tags contains 'b'", [0, 3]), ("name not contains 'a'", [1, 3]),
        ("name matches '^(?i)lamp'", [0, 2]),
        ("not (name matches 'amp' or on = false)", [3]), ("on", [0]), ("not on", [1, 2, 3]), ("on = true", [0]),
        ("`unit price` = 5", [0]),
        ("nombre_ñ = 'x'", [2]), ("missing = null", [0, 1, 2, 3]), ("missing > 1", []), ("missing >= null", []),
        ("10 = price", [0]), ("true", [0, 1, 2, 3]),
        ("false or i = 3", [3]), ("i = 0 or i = 1 and i = 2", [0]), ("(i = 0 or i = 1) and i = 1", [1]),
        ("i < -1.5e0", []), ("NOT NOT i = 1", [1]),
        ("(on = true) = true", [0]), ("name < 'M'", [0, 3]),
    ])
    func filterKeeps(expression: String, indexes: [Int]) throws {
        #expect(try kept(expression, Self.rows) == indexes)
    }

    @Test(arguments: [
        ("", "must have 1 to 10000 characters"), ("price >", "ends where a field, a value or '(' is expected"),
        ("price > 1 and", "ends where a field, a value or '(' is expected"),
        ("price 1", "needs 'and', 'or' or the end at position 6"), ("(price > 1", "ends where ')' is expected"),
        ("price ! 1", "has a sign at position 6 that means nothing here"),
        ("a in ()", "needs a value at position 6"), ("a in (b)", "needs a value at position 6"),
        ("a matches b", "needs a pattern in quotes at position 10"),
        (
            "a matches '('",
            "has a pattern at position 10 that is no valid regular expression: missing closing parenthesis at position 1"
        ),
        ("a = 'x", "has a quote at position 4 that is not closed"), ("a is 5", "needs 'null' at position 5"),
        ("a not 5", "needs 'in', 'contains' or 'matches' at position 6"),
        ("a = 1.2.3", "has no valid number at position 4"),
        ("a; drop table", "has a sign at position 1 that means nothing here"),
        ("and", "needs a field, a value or '(' at position 0"),
        (String(repeating: "(", count: 40) + "a", "is nested deeper than 32 levels"),
        (String(repeating: "a or ", count: 900) + "a", "has more than 1000 words and signs"),
    ])
    func filterRefuses(expression: String, message: String) throws {
        let operation: JSONValue = ["operation": "filter", "expression": .string(expression)]
        #expect(try refusal(operation.serialized) == ["operations[0].expression: \(message)"])
    }

    @Test func filterReportsRowsItCannotJudge() throws {
        let outcome = try process(
            #"{"operation":"filter","expression":"a"}"#, #"{"a":true},{"a":"secret"},{"a":false}"#)
        #expect(outcome.rows == [["a": true]])
        #expect(
            outcome.errors == [
                .init(
                    index: 1, operation: "filter", operationIndex: 0,
                    message: "the expression needs true or false where it gets a string")
            ])
    }

    @Test func deduplicate() throws {
        let rows = #"{"_key":1,"a":"x","b":1},{"_key":2,"b":1,"a":"x"},{"_key":3,"a":"X","b":1},{"_key":4,"a":"x"}"#
        func keys(_ parameters: String) throws -> [Int64?] {
            try process(#"{"operation":"deduplicate"\#(parameters)}"#, rows).rows.map { $0["_key"]?.integer }
        }
        #expect(try keys("") == [1, 3, 4])
        #expect(try keys(#","fields":["a"],"keep":"last""#) == [3, 4])
        #expect(try keys(#","fields":["a"],"ignore_case":true"#) == [1])
        #expect(try keys(#","fields":["none"]"#) == [1])
    }

    @Test func sortIsStableAndPutsNothingLast() throws {
        let rows =
            #"{"i":0,"a":"b"},{"i":1},{"i":2,"a":10},{"i":3,"a":9},{"i":4,"a":"B"},{"i":5,"a":null},{"i":6,"a":"b"}"#
        func order(_ by: String) throws -> [Int64?] {
            try process(#"{"operation":"sort","by":[\#(by)]}"#, rows).rows.map { $0["i"]?.integer }
        }
        #expect(try order(#"{"field":"a"}"#) == [3, 2, 4, 0, 6, 1, 5])
        #expect(try order(#"{"field":"a","descending":true}"#) == [0, 6, 4, 2, 3, 1, 5])
        #expect(
            try order(#"{"field":"a","ignore_case":true},{"field":"i","descending":true}"#) == [3, 2, 6, 4, 0, 5, 1])
        #expect(
            try refusal(#"{"operation":"sort","by":[{"fields":"a"}]}"#) == [
                "operations[0].by[0].fields: is unknown here; known are field, descending, ignore_case",
                "operations[0].by[0].field: is required",
            ])
    }

    @Test func limitAndOffset() throws {
        let rows = #"{"i":0},{"i":1},{"i":2}"#
        #expect(try process(#"{"operation":"limit","count":1,"offset":1}"#, rows).rows == [["i": 1]])
        #expect(try process(#"{"operation":"limit","count":0}"#, rows).rows.isEmpty)
        #expect(try process(#"{"operation":"limit","count":9,"offset":9}"#, rows).rows.isEmpty)
    }

    @Test func winnerScoreIsRobustAndRenormalised() throws {
        let signals =
            (0...100).map { "{\"r\":\($0),\"s\":\"\(100 - $0)\"}" } + [
                #"{"r":1e9}"#, #"{"s":"x"}"#, #"{"r":50,"s":null}"#,
            ]
        let scores = try process(
            #"{"operation":"winner_score","weights":{"r":3,"s":1}}"#, signals.joined(separator: ",")
        ).rows.map { $0["winner_score"] }
        #expect(
            scores[0] == .integer(25) && scores[100] == .integer(75), "an outlier does not press the others together")
        #expect(scores[50] == .integer(49) || scores[50] == .integer(50))
        #expect(scores[101] == .integer(100), "one signal alone counts in full")
        #expect(scores[102] == .null)
    }

    @Test func winnerScoreBoundaries() throws {
        func scores(_ parameters: String, _ rows: String) throws -> [JSONValue?] {
            try process(#"{"operation":"winner_score",\#(parameters)}"#, rows).rows.map { $0["winner_score"] }
        }
        #expect(try scores(#""weights":{"a":1}"#, #"{"a":5}"#) == [50])
        #expect(try scores(#""weights":{"a":1}"#, #"{"a":5},{"a":5}"#) == [50, 50])
        #expect(try scores(#""weights":{"a":1}"#, #"{"a":1},{"a":2}"#) == [0, 100])
        #expect(try scores(#""weights":{"a":1},"lower_is_better":["a"]"#, #"{"a":1},{"a":2}"#) == [100, 0])
        #expect(try scores(#""weights":{"a":1}"#, #"{"a":-1.7e308},{"a":0},{"a":1.7e308}"#) == [0, 50, 100])
        #expect(try scores(#""weights":{"a":1}"#, "").isEmpty)
        #expect(
            try refusal(#"{"operation":"winner_score","weights":{"a":0}}"#) == [
                "operations[0].weights: need one above zero"
            ])
        #expect(
            try refusal(#"{"operation":"winner_score","weights":{"a":1},"lower_is_better":["b"]}"#) == [
                "operations[0].lower_is_better[0]: has no weight"
            ])
        #expect(
            try refusal(#"{"operation":"winner_score","weights":{"a":-1}}"#) == [
                "operations[0].weights.a: must be a number from 0.0 to 1000000.0"
            ])
    }
}
