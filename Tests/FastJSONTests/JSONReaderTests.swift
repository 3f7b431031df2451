import FastJSON
import Testing
import WireProtocol

struct JSONReaderTests {
    private func parse(_ text: String) throws(JSONError) -> JSONValue { try JSONReader.parse(Array(text.utf8)) }

    @Test func readsEveryKindOfValue() throws {
        let text = #"{"a":null,"b":[true,false],"c":-7,"d":18446744073709551615,"e":1.5,"f":"ñ\n\u00e9","g":{}}"#
        let value = try parse(text)
        #expect(value["a"] == .null)
        #expect(value["b"] == [true, false])
        #expect(value["c"] == -7)
        #expect(value["d"] == .unsigned(.max))
        #expect(value["e"] == 1.5)
        #expect(value["f"] == "ñ\né")
        #expect(value["g"] == .object(JSONObject()))
        #expect(try JSONReader.parse(value.serializedBytes) == value)
    }

    @Test func theLastOfTwoMembersWithOneNameCounts() throws {
        #expect(try parse(#"{"a":1,"a":2}"#) == ["a": 2])
    }

    @Test func sixtyFourLevelsAreReadAndSixtyFiveRefused() throws {
        let deep = { (levels: Int) in String(repeating: "[", count: levels) + String(repeating: "]", count: levels) }
        _ = try parse(deep(64))
        #expect(throws: JSONError(message: "nested deeper than 64 levels")) { try parse(deep(65)) }
        #expect(throws: JSONError.self) { try parse(deep(100_000)) }
        try JSONReader.checkDepth(Array(deep(64).utf8))
        #expect(throws: JSONError.self) { try JSONReader.checkDepth(Array(deep(65).utf8)) }
    }

    @Test(arguments: [
        "", " ", "{", "[1,]", "{\"a\":}", "nul", "1e999", "\"\u{1}\"", "[1] 2", "{'a':1}", "\"\\ud800\"", "01", "NaN",
        "\u{FEFF}{}x",
    ])
    func refusesWhatIsNotJSON(_ text: String) {
        #expect(throws: JSONError.self) { try parse(text) }
    }

    @Test func refusesInvalidUTF8() {
        for bytes in [[0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF5, 0x80]] as [[UInt8]] {
            #expect(throws: JSONError.self) { try JSONReader.parse([0x22] + bytes + [0x22]) }
        }
    }

    @Test func aWideObjectIsReadInLinearTime() throws {
        let members = (0..<100_000).map { "\"k\($0)\":\($0)" }.joined(separator: ",")
        let value = try parse("{\(members)}")
        #expect(value.object?.count == 100_000)
        #expect(value["k99999"] == 99_999)
    }

    private struct Order: Decodable {
        struct Item: Decodable { var price: Double }
        var items: [Item]
    }

    @Test func aTypedBodyNamesTheFieldAtFault() {
        #expect(throws: JSONError(message: "must be a number", path: "items[1].price")) {
            let _: Order = try JSONDecoding.decode(from: Array(#"{"items":[{"price":1},{"price":"2"}]}"#.utf8))
        }
        #expect(throws: JSONError(message: "is required", path: "items")) {
            let _: Order = try JSONDecoding.decode(from: Array("{}".utf8))
        }
    }
}
