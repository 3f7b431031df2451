import Testing
import WireProtocol

@testable import DataProcessor

@Suite struct CastTests {
    @Test(arguments: [
        ("12", "12"), (" -3.50 ", "-3.5"), ("1e3", "1000"), ("+5", "5"), ("1,234,567.8", "1234567.8"), (".5", "0.5"),
        ("5.", "5"),
        ("9223372036854775807", "9223372036854775807"), ("18446744073709551615", "18446744073709551615"),
        ("1 234", "1234"), ("1'000", "1000"), ("-0", "0"), ("0012", "12"),
    ])
    func readsNumbers(text: String, result: String) {
        #expect(NumberText.read(text)?.serialized == result)
    }

    @Test(arguments: [
        "", " ", "abc", "1,23", "1,2345", "12,34.5", "1,234 567", "1.2.3", "0x10", "nan", "inf", "1e999", "--1", "1-",
        "e5", "1e", "٣", "1_000", ".", "-", ",123", "1,", String(repeating: "9", count: 500),
    ])
    func refusesWhatIsNoNumber(text: String) {
        #expect(NumberText.read(text) == nil)
    }

    @Test func decimalCommas() throws {
        #expect(
            try processed(
                #"{"operation":"cast","fields":["a","b","c"],"to":"number","decimal":","}"#,
                #"{"a":"1.234,5","b":true,"c":null}"#) == #"{"a":1234.5,"b":1,"c":null}"#)
    }

    @Test func integersAreWhole() throws {
        #expect(
            try processed(#"{"operation":"cast","fields":["a","b"],"to":"integer"}"#, #"{"a":"12.0","b":7.0}"#)
                == #"{"a":12,"b":7}"#)
        #expect(
            try rowError(#"{"operation":"cast","fields":["a"],"to":"integer"}"#, #"{"a":"12.5"}"#)
                == "field 'a' holds a string that cannot be read as a whole number")
    }

    @Test func booleans() throws {
        let cast = #"{"operation":"cast","fields":["a"],"to":"boolean"}"#
        for (value, result) in [
            (#"" YES ""#, "true"), ("0", "false"), (#""off""#, "false"), ("1.0", "true"), ("true", "true"),
            ("null", "null"),
        ] {
            #expect(try processed(cast, "{\"a\":\(value)}") == "{\"a\":\(result)}")
        }
        #expect(try rowError(cast, #"{"a":"maybe"}"#) == "field 'a' holds a string that cannot be read as a boolean")
        #expect(try rowError(cast, #"{"a":2}"#) == "field 'a' holds a number that cannot be read as a boolean")
        #expect(
            try processed(
                #"{"operation":"cast","fields":["a"],"to":"boolean","true_values":["sí"],"false_values":["no"]}"#,
                #"{"a":"SÍ"}"#) == #"{"a":true}"#)
        #expect(
            try refusal(#"{"operation":"cast","fields":["a"],"to":"boolean","true_values":["x"],"false_values":["X"]}"#)
                == ["operations[0].false_values[0]: is among true_values too"])
    }

    @Test func whatBecomesOfInvalidValues() throws {
        #expect(
            try processed(#"{"operation":"cast","fields":["a"],"to":"number","on_invalid":"null"}"#, #"{"a":"x"}"#)
                == #"{"a":null}"#)
        #expect(
            try processed(#"{"operation":"cast","fields":["a"],"to":"number","on_invalid":"keep"}"#, #"{"a":"x"}"#)
                == #"{"a":"x"}"#)
        #expect(
            try rowError(#"{"operation":"cast","fields":["a"],"to":"text"}"#, #"{"a":{"b":1}}"#)
                == "field 'a' holds an object that cannot be read as a text")
        #expect(
            try processed(#"{"operation":"cast","fields":["a","b"],"to":"text"}"#, #"{"a":1.50,"b":false}"#)
                == #"{"a":"1.5","b":"false"}"#)
    }

    @Test(arguments: [
        ("iso8601", "2024-02-29", "2024-02-29"), ("iso8601", "2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z"),
        ("iso8601", "2024-02-29T23:59:59.123456+02:00", "2024-02-29T21:59:59.123Z"),
        ("iso8601", "2024-01-01 10:00", "2024-01-01T10:00:00Z"),
        ("iso8601", "20240229", "2024-02-29"), ("dd/MM/yyyy", "31/12/1999", "1999-12-31"),
        ("d/M/yy", "1/2/70", "1970-02-01"),
        ("d/M/yy", "1/2/69", "2069-02-01"), ("MMMM d, yyyy", "march 5, 2020", "2020-03-05"),
        ("d MMM yyyy", "5 Sep 0001", "0001-09-05"),
        ("MM/dd/yyyy hh:mm a", "07/04/2021 12:05 AM", "2021-07-04T00:05:00Z"),
        ("yyyy.MM.dd'T'HHmmZ", "2021.07.04T0030+0130", "2021-07-03T23:00:00Z"),
        ("unix", "1700000000", "2023-11-14T22:13:20Z"), ("unix_ms", "-1", "1969-12-31T23:59:59.999Z"),
        ("yyyy''MM", "2021'07", "2021-07-01"),
    ])
    func readsDates(format: String, text: String, result: String) throws {
        #expect(try DateFormat(format).read(text)?.text == result)
    }

    @Test(arguments: [
        ("iso8601", "2023-02-29"), ("iso8601", "2024-13-01"), ("iso8601", "2024-1-1"),
        ("iso8601", "2024-01-01T24:00:00Z"), ("iso8601", ""),
        ("iso8601", "2024-01-01x"), ("dd/MM/yyyy", "31/04/2024"), ("dd/MM/yyyy", "٠١/٠١/2024"), ("unix", "1e300"),
        ("unix", "x"),
        ("yyyy-MM-dd", "0000-01-01"), ("hh:mm a yyyy", "13:00 pm 2024"), ("yyyyZ", "2024+99:99"),
        ("MMM yyyy", "Foo 2024"),
    ])
    func refusesWhatIsNoDate(format: String, text: String) throws {
        #expect(try DateFormat(format).read(text) == nil)
    }

    @Test func datesTryFormatsInOrder() throws {
        let cast = #"{"operation":"cast","fields":["a"],"to":"date","formats":["dd/MM/yyyy","MM/dd/yyyy","unix"]}"#
        #expect(try processed(cast, #"{"a":"02/03/2024"}"#) == #"{"a":"2024-03-02"}"#)
        #expect(try processed(cast, #"{"a":"12/31/2024"}"#) == #"{"a":"2024-12-31"}"#)
        #expect(try processed(cast, #"{"a":0}"#) == #"{"a":"1970-01-01T00:00:00Z"}"#)
        #expect(try rowError(cast, #"{"a":"secret"}"#) == "field 'a' holds a string that cannot be read as a date")
        #expect(try rowError(cast, #"{"a":true}"#) == "field 'a' holds a boolean that cannot be read as a date")
    }

    @Test(arguments: [
        ("YYYY-MM-dd", "has 'YYYY' at position 0, which is no part of a date"), ("dd/MM", "has no year (yyyy or yy)"),
        ("yyyy 'T", "has a quote that is not closed"),
        ("yyyy ddd", "has 'ddd' at position 5, which is no part of a date"),
    ])
    func refusesFormats(format: String, message: String) throws {
        #expect(
            try refusal(#"{"operation":"cast","fields":["a"],"to":"date","formats":["unix","\#(format)"]}"#) == [
                "operations[0].formats[1]: \(message)"
            ])
    }
}
