import Testing
import WireProtocol

@testable import DataProcessor

@Suite struct CombiningOperationsTests {
    @Test func splitAtTextsAndPatterns() throws {
        #expect(
            try processed(#"{"operation":"split","field":"a","separator":","}"#, #"{"a":" x, y ,,z"}"#)
                == #"{"a":["x","y","z"]}"#)
        #expect(
            try processed(
                #"{"operation":"split","field":"a","separator":",","trim":false,"keep_empty":true,"into":"b"}"#,
                #"{"a":"x, ,"}"#) == #"{"a":"x, ,","b":["x"," ",""]}"#)
        #expect(
            try processed(
                #"{"operation":"split","field":"a","pattern":"\\s*[;|]\\s*","limit":2}"#, #"{"a":"x ; y | z"}"#)
                == #"{"a":["x","y | z"]}"#)
        #expect(
            try processed(#"{"operation":"split","field":"a","pattern":"x*"}"#, #"{"a":"axxb"}"#) == #"{"a":["a","b"]}"#
        )
        #expect(try processed(#"{"operation":"split","field":"a","separator":"-"}"#, #"{"a":12}"#) == #"{"a":["12"]}"#)
        #expect(try processed(#"{"operation":"split","field":"a","separator":"-"}"#, #"{"a":""}"#) == #"{"a":[]}"#)
        #expect(
            try rowError(#"{"operation":"split","field":"a","separator":"-"}"#, #"{"a":[]}"#)
                == "field 'a' holds an array, not a text")
        #expect(
            try refusal(#"{"operation":"split","field":"a"}"#) == [
                "operations[0].separator: give either a separator or a pattern"
            ])
        #expect(
            try refusal(#"{"operation":"split","field":"_key","separator":"-"}"#).first?.hasPrefix(
                "operations[0].into: is required") == true)
    }

    @Test func joinMakesText() throws {
        #expect(
            try processed(#"{"operation":"join","field":"a"}"#, #"{"a":["x",null,"",2,true]}"#)
                == #"{"a":"x, 2, true"}"#)
        #expect(
            try processed(
                #"{"operation":"join","field":"a","separator":"","skip_empty":false,"into":"b"}"#, #"{"a":[]}"#)
                == #"{"a":[],"b":""}"#)
        #expect(
            try rowError(#"{"operation":"join","field":"a"}"#, #"{"a":"x"}"#) == "field 'a' holds a string, not a list")
        #expect(
            try rowError(#"{"operation":"join","field":"a"}"#, #"{"a":[[1]]}"#)
                == "field 'a' holds a list of lists or objects, which cannot be joined")
    }

    @Test func concatLeavesOutWhatIsEmpty() throws {
        #expect(
            try processed(
                #"{"operation":"concat","fields":["a","b","c","d"],"into":"t"}"#, #"{"a":"x","b":"","d":1.5}"#)
                == #"{"a":"x","b":"","d":1.5,"t":"x 1.5"}"#)
        #expect(
            try processed(
                #"{"operation":"concat","fields":["a","c"],"into":"a","separator":"|","skip_empty":false}"#,
                #"{"a":"x"}"#) == #"{"a":"x|"}"#)
    }

    @Test func extractTakesGroups() throws {
        #expect(
            try processed(
                #"{"operation":"extract","field":"a","pattern":"(\\d+)x(\\d+)","into":["w","h"]}"#,
                #"{"a":"size 10x20"}"#) == #"{"a":"size 10x20","w":"10","h":"20"}"#)
        #expect(
            try processed(#"{"operation":"extract","field":"a","pattern":"(?<w>\\d+)(?<u>cm)?"}"#, #"{"a":"10 in"}"#)
                == #"{"a":"10 in","w":"10","u":null}"#)
        #expect(
            try processed(#"{"operation":"extract","field":"a","pattern":"\\d+","into":["n"]}"#, #"{"a":"none"}"#)
                == #"{"a":"none","n":null}"#)
        #expect(
            try processed(#"{"operation":"extract","field":"a","pattern":"[A-Z]+","into":["n"]}"#, #"{"a":"xABy"}"#)
                == #"{"a":"xABy","n":"AB"}"#)
        #expect(
            try rowError(
                #"{"operation":"extract","field":"a","pattern":"\\d","into":["n"],"required":true}"#, #"{"a":"secret"}"#
            ) == "field 'a' has nothing that matches the pattern")
        #expect(
            try refusal(#"{"operation":"extract","field":"a","pattern":"(a)","into":["x","y"]}"#) == [
                "operations[0].into: names 2 fields, but the pattern has 1 groups"
            ])
        #expect(
            try refusal(#"{"operation":"extract","field":"a","pattern":"(a)"}"#) == [
                "operations[0].into: is required when the pattern has no named groups"
            ])
        #expect(
            try refusal(#"{"operation":"extract","field":"a","pattern":"(?<_key>a)"}"#) == [
                "operations[0].pattern: has a group called '_key', a field that is protected"
            ])
    }

    @Test func parseJSONReadsTexts() throws {
        #expect(
            try processed(#"{"operation":"parse_json","field":"a"}"#, #"{"a":"{\"x\":[1,2.5,null]}"}"#)
                == #"{"a":{"x":[1,2.5,null]}}"#)
        #expect(
            try processed(#"{"operation":"parse_json","field":"a","into":"b"}"#, #"{"a":"  "}"#)
                == #"{"a":"  ","b":null}"#)
        #expect(
            try rowError(#"{"operation":"parse_json","field":"a"}"#, #"{"a":"{secret"}"#)
                == "field 'a' holds no valid JSON")
        #expect(
            try rowError(#"{"operation":"parse_json","field":"a"}"#, #"{"a":1}"#)
                == "field 'a' holds a number, not a text")
        let deep = String(repeating: "[", count: 5000) + String(repeating: "]", count: 5000)
        #expect(
            try rowError(#"{"operation":"parse_json","field":"a"}"#, #"{"a":"\#(deep)"}"#)
                == "field 'a' holds no valid JSON")
    }

    @Test func flattenMakesFields() throws {
        #expect(
            try processed(#"{"operation":"flatten"}"#, #"{"a":{"b":{"c":1},"d":[1]},"e":{},"f":2}"#)
                == #"{"a.b.c":1,"a.d":[1],"e":{},"f":2}"#)
        #expect(
            try processed(
                #"{"operation":"flatten","fields":["a"],"separator":"_","depth":1,"lists":true}"#,
                #"{"a":[{"b":1},2],"x":{"y":1}}"#) == #"{"a_0":{"b":1},"a_1":2,"x":{"y":1}}"#)
        let wide = (0..<3000).map { "\"f\($0)\":1" }.joined(separator: ",")
        #expect(
            try rowError(#"{"operation":"flatten"}"#, "{\"a\":{\(wide)}}") == "the row would have more than 2000 fields"
        )
        #expect(
            try processed(#"{"operation":"flatten","separator":"key"}"#, #"{"_key":"k","_":{"":1}}"#)
                == #"{"_key":"k"}"#, "a flattened name cannot become the key")
    }

    @Test func hashesAreThoseOfOthers() throws {
        #expect(
            try processed(#"{"operation":"hash","fields":["a"],"into":"h"}"#, #"{"a":"abc"}"#)
                == #"{"a":"abc","h":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}"#)
        let two = #"{"operation":"hash","fields":["a","b"],"into":"h","length":16}"#
        let one = try process(two, #"{"a":"a","b":"bc"},{"a":"ab","b":"c"},{"b":"bc","a":"a"},{"a":"a"}"#).rows.map {
            $0["h"]?.string
        }
        #expect(one[0] == one[2] && Set(one).count == 3 && one[0]?.count == 16)
    }

    @Test(arguments: [
        ("2.675", 2, "half_up", "2.68"), ("-2.675", 2, "half_up", "-2.68"), ("2.5", 0, "half_even", "2"),
        ("3.5", 0, "half_even", "4"),
        ("1.21", 1, "up", "1.3"), ("-1.21", 1, "up", "-1.2"), ("1.29", 1, "down", "1.2"), ("-1.21", 1, "down", "-1.3"),
        ("1250", -2, "half_up", "1300"),
        ("1e300", 2, "half_up", "1e+300"), ("7", 2, "half_up", "7"), ("-0.001", 1, "half_up", "0"),
        ("9223372036854775807", 0, "half_up", "9223372036854775807"),
    ])
    func rounds(number: String, digits: Int, mode: String, result: String) throws {
        #expect(
            try processed(
                #"{"operation":"round","fields":["a"],"digits":\#(digits),"mode":"\#(mode)"}"#, "{\"a\":\(number)}")
                == "{\"a\":\(result)}")
    }

    @Test func roundRefusesTexts() throws {
        #expect(
            try rowError(#"{"operation":"round","fields":["a"]}"#, #"{"a":"1.5"}"#)
                == "field 'a' holds a string, not a number")
        #expect(try processed(#"{"operation":"round","fields":["a","b"]}"#, #"{"a":null}"#) == #"{"a":null}"#)
    }

    @Test func chunkNumbersKeysAndOverlaps() throws {
        let outcome = try process(
            #"{"operation":"chunk","field":"t","size":4,"overlap":2,"index_into":"i","count_into":"n"}"#,
            #"{"_key":"A","t":"one two three four five six","x":1},{"_key":7,"t":null}"#)
        #expect(
            outcome.rows.map { JSONValue.object($0).serialized } == [
                #"{"_key":"A#0","t":"one two three four","x":1,"i":0,"n":2}"#,
                #"{"_key":"A#1","t":"three four five six","x":1,"i":1,"n":2}"#, #"{"_key":"7#0","t":null,"i":0,"n":1}"#,
            ])
    }

    @Test func chunksAreWithinTheirSizeAndHoldEverything() {
        let text =
            "Lorem ipsum, dolor sit amet: consectetur adipiscing elit — sed do eiusmod. 日本語のテキスト Donaudampfschifffahrtsgesellschaft "
        for (size, overlap) in [(1, 0), (2, 1), (5, 2), (8, 4), (100, 50)] {
            for unit in [TextChunker.Unit.tokens, .characters] {
                let chunker = TextChunker(size: size, overlap: overlap, unit: unit)
                let chunks = chunker.chunks(text + text)
                #expect(chunks.allSatisfy { TextChunker(size: size, overlap: 0, unit: unit).chunks($0).count == 1 })
                let letters = Set(chunks.joined().filter { !$0.isWhitespace })
                #expect(letters == Set(text.filter { !$0.isWhitespace }))
                if overlap == 0 {
                    #expect(chunks.joined().filter { !$0.isWhitespace } == (text + text).filter { !$0.isWhitespace })
                }
            }
        }
        #expect(
            TextChunker(size: 10, overlap: 0, unit: .characters).chunks("hello world again") == [
                "hello", "world", "again",
            ])
        #expect(TextChunker(size: 3, overlap: 0, unit: .characters).chunks("👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧") == ["👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧", "👩‍👩‍👧"])
        #expect(TextChunker(size: 3, overlap: 0, unit: .tokens).chunks(" \n ").isEmpty)
    }

    @Test func chunkWithoutKeyAndItsRefusals() throws {
        #expect(
            try process(#"{"operation":"chunk","field":"t","size":2,"unit":"characters"}"#, #"{"t":"abc"}"#).rows == [
                ["t": "ab"], ["t": "c"],
            ])
        #expect(
            try refusal(#"{"operation":"chunk","field":"t","size":4,"overlap":3}"#) == [
                "operations[0].overlap: must be at most half of size"
            ])
        #expect(
            try rowError(#"{"operation":"chunk","field":"t","size":4}"#, #"{"t":{}}"#)
                == "field 't' holds an object, not a text")
    }
}
