import Testing
import WireProtocol

@testable import DataProcessor

@Suite struct TextOperationsTests {
    @Test func trimTakesWhiteSpaceOfAllTextsButTheKey() throws {
        #expect(
            try processed(
                #"{"operation":"trim"}"#,
                #"{"_key":" k ","a":" \u00a0x  y\t\n","n":1,"l":[" p ",2],"o":{"q":" z "},"e":"   "}"#)
                == #"{"_key":" k ","a":"x  y","n":1,"l":["p",2],"o":{"q":" z "},"e":""}"#)
        #expect(
            try processed(#"{"operation":"trim","fields":["a"],"collapse":true}"#, #"{"a":" x \n  y ","b":" z"}"#)
                == #"{"a":"x y","b":" z"}"#)
        #expect(
            try processed(#"{"operation":"trim","fields":["a"],"characters":"-*"}"#, #"{"a":"-*x-y*-"}"#)
                == #"{"a":"x-y"}"#)
    }

    @Test func caseFollowsUnicode() throws {
        #expect(try processed(#"{"operation":"lowercase"}"#, #"{"a":"ÀÉÎ ABC İ"}"#) == #"{"a":"àéî abc i̇"}"#)
        #expect(
            try processed(#"{"operation":"uppercase","fields":["a","none"]}"#, #"{"a":"straße ﬁ","b":"x"}"#)
                == #"{"a":"STRASSE FI","b":"x"}"#)
    }

    @Test func replaceKnowsGroupsNamesAndDollars() throws {
        func replace(_ pattern: String, _ replacement: String, _ text: String, _ more: String = "") throws -> String? {
            let operation: JSONValue = [
                "operation": "replace", "fields": ["a"], "pattern": .string(pattern),
                "replacement": .string(replacement),
            ]
            let declared = operation.serialized.dropLast() + more + "}"
            return try process(String(declared), JSONValue.object(["a": .string(text)]).serialized).rows.first?["a"]?
                .string
        }
        #expect(try replace(#"(\d+)-(?<last>\d+)"#, "${last}/$1 $$ $0", "10-20, 3-4") == "20/10 $ 10-20, 4/3 $ 3-4")
        #expect(try replace("b", "", "abcb", #","all":false"#) == "acb")
        #expect(try replace("B", "x", "abc", #","ignore_case":true"#) == "axc")
        #expect(try replace("(?:)", "-", "añb") == "-a-ñ-b-")
        #expect(try replace("x*", "-", "axxb") == "-a--b-")
        #expect(try replace("(a)|(b)", "[$1$2]", "abc") == "[a][b]c")
        #expect(try replace(#"\s+$"#, "", "x  ") == "x")
        #expect(try replace(#"\p{L}"#, "L", "ñé1") == "LL1")
        #expect(try replace("^", "> ", "") == "> ")
        let long = String(repeating: "ñ", count: 200)
        #expect(try replace("(?<=ñ)x|^y|z$", "!", "y" + long + "x" + long + "z") == "!" + long + "!" + long + "!")
        #expect(try replace("ñ{150}", "!", "a" + long) == "a!" + String(repeating: "ñ", count: 50))
        #expect(
            try replace("\\G1", "!", "11" + String(repeating: "a", count: 100) + "1") == "!!"
                + String(repeating: "a", count: 100) + "1")
    }

    @Test(arguments: [
        (
            #""pattern":"(""#,
            "operations[0].pattern: is no valid regular expression: missing closing parenthesis at position 1"
        ),
        (
            #""pattern":"a\\C""#,
            "operations[0].pattern: is no valid regular expression: using \\C is disabled by the application at position 3"
        ),
        (
            #""pattern":"(((x{1000}){1000}){1000})""#,
            "operations[0].pattern: is no valid regular expression: regular expression is too large at position 25"
        ),
        (
            #""pattern":"a","replacement":"$1""#,
            "operations[0].replacement: refers to group '1', which the pattern does not have"
        ),
        (
            #""pattern":"a","replacement":"${n}""#,
            "operations[0].replacement: refers to group 'n', which the pattern does not have"
        ),
        (
            #""pattern":"a","replacement":"5 $""#,
            "operations[0].replacement: has a '$' that names no group (write $$ for a dollar sign)"
        ),
        (#""pattern":"""#, "operations[0].pattern: must have 1 to 2000 characters"),
    ])
    func replaceRefuses(parameters: String, message: String) throws {
        #expect(try refusal(#"{"operation":"replace","fields":["a"],\#(parameters)}"#) == [message])
    }

    /// Patterns that take a backtracking matcher years.
    @Test(arguments: [
        "^(a+)+$", "^(a|aa)+$", "^(a|a)*b", "(x+x+)+y", "^((a*)*)*$", "(?=(a+))(\\1+)+$", "(.*)(.*)(.*)(.*)(.*)[^ax!]z",
        "^(\\w+\\s?)*$",
    ])
    func aPatternCannotRunAway(pattern: String) throws {
        let expression = try RegularExpression(pattern)
        for text in [
            String(repeating: "a", count: 40) + "!", String(repeating: "x", count: 5000),
            String(repeating: "a", count: 100_000) + "!",
        ] {
            let time = ContinuousClock().measure {
                do throws(RowFailure) {
                    _ = try expression.matches(text)
                } catch {
                    #expect(error.message == "the regular expression takes too long on this text")
                }
            }
            #expect(time < .seconds(20), "\(pattern) on \(text.count)")
        }
    }

    @Test func deepRecursionInAPatternEndsInARowError() throws {
        let expression = try RegularExpression(#"^(\((?1)*\))+$"#)
        #expect(try expression.matches("(()())"))
        let deep = String(repeating: "(", count: 200_000) + String(repeating: ")", count: 200_000)
        #expect(throws: RowFailure("the regular expression takes too long on this text")) {
            try expression.matches(deep)
        }
    }

    @Test func replacingManyMatchesInALongTextIsLinear() throws {
        let text = String(repeating: "ab ", count: 100_000)
        let expression = try RegularExpression("b")
        let replacement = try RegularExpression.Replacement("xx", for: expression)
        let time = try ContinuousClock().measure {
            let replaced = try expression.replace(in: text, by: replacement, all: true, limit: 1 << 22)
            #expect(replaced?.utf8.count == 400_000)
        }
        #expect(time < .seconds(20))
        #expect(throws: RowFailure("the text would be longer than 1000 bytes after the replacement")) {
            try expression.replace(in: text, by: replacement, all: true, limit: 1000)
        }
    }

    @Test(arguments: [
        ("<p>Hello <b>wor</b>ld</p><p>Again</p>", "Hello world Again"),
        ("a<br>b<br/>c", "a b c"),
        ("<script>var a = '<p>x</p>';</script>T<style>p{}</style>ext<SCRIPT type=x>1</ScRiPt >!", "T ext !"),
        ("x<!-- a > b -->y<!DOCTYPE html>z<?php echo 1 ?>", "xyz"),
        ("<a href=\"x>y\" title='a>b'>link</a>", "link"),
        (
            "Caf&eacute; &amp; t&#233;&#xE9; &lt;b&gt; &copy;2024 &nbsp; &euro;5 &#128; &hellip;",
            "Café & téé <b> ©2024 €5 € …"
        ),
        (
            "AT&T &unknown; &; &#; &#x; &#xD800; &#0; &#99999999; R&D",
            "AT&T &unknown; &; &#; &#x; \u{FFFD} \u{FFFD} \u{FFFD} R&D"
        ),
        ("1 < 2 and 3 > 2, size<4 but <5", "1 < 2 and 3 > 2, size<4 but <5"),
        ("text <unclosed", "text <unclosed"),
        ("a <b title=\"never closed> b <i>c</i>", "a b c"),
        ("x<script>never closed", "x"),
        ("x<!-- never closed", "x"),
        ("  plain   text\nlines ", "plain text lines"),
        ("", ""),
        ("<", "<"), ("&", "&"), ("<>", "<>"), ("</>", "</>"), ("</", "</"),
        ("ex&shy;ample", "example"),
        ("日本<b>語</b> 👩‍👩‍👧", "日本語 👩‍👩‍👧"),
    ])
    func htmlBecomesPlainText(html: String, text: String) {
        #expect(HTMLText.plain(html) == text)
    }

    @Test(arguments: [
        "<a", "<a '", "<a \"x=\">", "<a b=\"", "<a b='>", "&#", "&", "<!--", "<script>", "</script", "<script></",
        "<style><a b=\"",
    ])
    func hostileHTMLTakesLinearTime(unit: String) {
        let text = String(repeating: unit, count: 400_000 / unit.utf8.count)
        let time = ContinuousClock().measure { _ = HTMLText.plain(text) }
        #expect(time < .seconds(20), "\(unit)")
        #expect(ContinuousClock().measure { _ = HTMLText.plain(text + ">") } < .seconds(20), "\(unit) closed")
    }

    @Test func normalizationForms() throws {
        func forms(_ form: String, _ text: String, strip: Bool = false) throws -> [UInt32] {
            let operation = #"{"operation":"normalize_unicode","form":"\#(form)","strip_accents":\#(strip)}"#
            return try process(operation, JSONValue.object(["a": .string(text)]).serialized).rows[0]["a"]?.string?
                .unicodeScalars.map(\.value) ?? []
        }
        #expect(try forms("NFC", "e\u{301}ﬁ") == [0xE9, 0xFB01])
        #expect(try forms("NFD", "é") == [0x65, 0x301])
        #expect(try forms("NFKC", "ﬁ①e\u{301}") == [0x66, 0x69, 0x31, 0xE9])
        #expect(try forms("NFKD", "ﬁé") == [0x66, 0x69, 0x65, 0x301])
        #expect(try forms("NFC", "Crème brûlée", strip: true) == Array("Creme brulee".unicodeScalars.map(\.value)))
        #expect(try forms("NFC", "한국 ñ", strip: true) == Array("한국 n".unicodeScalars.map(\.value)))
        #expect(
            try refusal(#"{"operation":"normalize_unicode","form":"nfc"}"#) == [
                "operations[0].form: must be one of NFC, NFKC, NFD, NFKD"
            ])
    }

    @Test func truncateKeepsWholeCharactersAndWords() throws {
        func cut(_ text: String, _ parameters: String) throws -> String? {
            try process(
                #"{"operation":"truncate","fields":["a"],\#(parameters)}"#,
                JSONValue.object(["a": .string(text)]).serialized
            )
            .rows[0]["a"]?.string
        }
        #expect(try cut("👩‍👩‍👧e\u{301}x", #""length":2,"ellipsis":"…""#) == "👩‍👩‍👧e\u{301}…")
        #expect(try cut("abc", #""length":3,"ellipsis":"…""#) == "abc")
        #expect(try cut("abc", #""length":0"#) == "")
        #expect(try cut("one  two three ", #""length":2,"unit":"words""#) == "one  two")
        #expect(try cut("one two ", #""length":2,"unit":"words""#) == "one two ")
        #expect(try cut(" one", #""length":0,"unit":"words""#) == "")
        #expect(
            try refusal(#"{"operation":"truncate","fields":["a"],"length":-1}"#) == [
                "operations[0].length: must be a whole number from 0 to 1000000"
            ])
    }
}
