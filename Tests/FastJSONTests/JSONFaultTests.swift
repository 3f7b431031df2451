import FastJSON
import Testing

struct JSONFaultTests {
    @Test(arguments: [
        (#"{"points":[{"id":1,"vector":[1,NaN,3]}]}"#, "points[0].vector[1]", 31),
        (#"{"points":[{"id":1},{"id":2,"vector":[1,2"#, "points[1].vector[1]", 41),
        (#"{"a":1e999}"#, "a", 5), (#"{"a":{"b":123456789012345678901234567890}}"#, "a.b", 10),
        (#"{"a":1,}"#, "a", 7), (#"[1,2,]"#, "[2]", 5), (#"{"a" 1}"#, "a", 5), ("{} x", "body", 3), ("", "body", 0),
        (#"["a\qb"]"#, "[0]", 3), (#"["a"#, "[0]", 3), ("[01]", "[0]", 1), ("[[1],[2}]", "[1][0]", 7),
        ("nul", "body", 0),
    ])
    func isFoundWhereItIs(text: String, path: String, offset: Int) {
        let fault = JSONFault(in: Array(text.utf8))
        #expect(fault?.path == path && fault?.offset == offset, "\(String(describing: fault))")
    }

    @Test(arguments: [
        "[]", "{}", " [ ] ", #"{"a":[{}, [], "x\u00e9\"", -0, 1.5e-3, 18446744073709551615, true, null]}"#,
    ])
    func isNotFoundInWhatIsJSON(text: String) throws {
        #expect(JSONFault(in: Array(text.utf8)) == nil)
        _ = try JSONReader.parse(Array(text.utf8))
    }

    @Test func isNotLookedForBelowTheDepthThatIsRead() {
        #expect(JSONFault(in: Array(String(repeating: "[", count: 100_000).utf8)) == nil)
    }

    /// Every text cut off anywhere is refused, and the place of the fault is found.
    @Test func isFoundInEveryTruncation() {
        let text = Array(#"{"points":[{"id":1,"vector":{"text":[1.5,2]},"payload":{"a":"b\n","c":[null,{}]}}]}"#.utf8)
        for length in 0..<text.count {
            #expect(throws: JSONError.self) { try JSONReader.parse(Array(text[..<length])) }
            #expect(JSONFault(in: Array(text[..<length])) != nil)
        }
    }
}
