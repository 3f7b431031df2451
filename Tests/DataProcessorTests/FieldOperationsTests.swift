import Testing

@testable import DataProcessor

@Suite struct FieldOperationsTests {
    @Test func selectKeepsNamedFieldsInTheirOrderAndTheKey() throws {
        #expect(
            try processed(#"{"operation":"select","fields":["b","a","none","b"]}"#, #"{"a":1,"c":2,"b":3,"_key":"k"}"#)
                == #"{"_key":"k","b":3,"a":1}"#)
    }

    @Test func dropRemovesFieldsButNeverTheKey() throws {
        #expect(
            try processed(#"{"operation":"drop","fields":["a","_key","x"]}"#, #"{"a":1,"_key":"k","b":2}"#)
                == #"{"_key":"k","b":2}"#)
    }

    @Test func renameSwapsReplacesAndLeavesTheKey() throws {
        #expect(
            try processed(
                #"{"operation":"rename","fields":{"a":"b","b":"a","_key":"id","c":"d"}}"#,
                #"{"a":1,"b":2,"_key":"k","c":3,"d":4}"#)
                == #"{"b":1,"a":2,"_key":"k","d":3}"#)
    }

    @Test func renameRefusesTwoFieldsOfOneNameAndTheKeyAsTarget() throws {
        #expect(
            try refusal(#"{"operation":"rename","fields":{"a":"x","b":"x"}}"#) == [
                "operations[0].fields.b: gives two fields the same name"
            ])
        #expect(
            try refusal(#"{"operation":"rename","fields":{"a":"_key"}}"#)
                == ["operations[0].fields.a: '_key' is protected and cannot be written"])
    }

    @Test func setFillsTemplatesAndFixedValues() throws {
        #expect(
            try processed(
                #"{"operation":"set","field":"t","template":"{{ name }} ({{n}}, {{none}}{{null}}) {{flag}}"}"#,
                #"{"name":"Ä {{n}}","n":1.50,"null":null,"flag":true}"#)
                == #"{"name":"Ä {{n}}","n":1.5,"null":null,"flag":true,"t":"Ä {{n}} (1.5, ) true"}"#)
        #expect(
            try processed(#"{"operation":"set","field":"a","value":{"x":[1]}}"#, #"{"a":1}"#) == #"{"a":{"x":[1]}}"#)
        #expect(try processed(#"{"operation":"set","field":"a","value":null}"#, #"{}"#) == #"{"a":null}"#)
    }

    @Test(arguments: [
        (#"{"operation":"set","field":"a"}"#, "operations[0].template: give either a template or a value"),
        (
            #"{"operation":"set","field":"a","template":"x","value":1}"#,
            "operations[0].template: give either a template or a value"
        ),
        (#"{"operation":"set","field":"a","template":"x {{y"}"#, "operations[0].template: has a '{{' without its '}}'"),
        (
            #"{"operation":"set","field":"a","template":"x {{ }}"}"#,
            "operations[0].template: has a '{{' without a field name"
        ),
        (
            #"{"operation":"set","field":"_key","template":"x"}"#,
            "operations[0].field: '_key' is protected and cannot be written"
        ),
    ])
    func setRefuses(operation: String, message: String) throws {
        #expect(try refusal(operation) == [message])
    }

    @Test func aTemplateCannotDoubleItselfWithoutEnd() throws {
        let doubling = Array(repeating: #"{"operation":"set","field":"a","template":"{{a}}{{a}}"}"#, count: 40).joined(
            separator: ",")
        #expect(
            try rowError(doubling, #"{"a":"secret"}"#) == "the text for field 'a' would be longer than 4194304 bytes")
        var many = try pipeline(doubling)
        many.limits.resultBytes = 1 << 20
        #expect(throws: JobFailure("the operations make more than 1048576 bytes of text")) {
            try many.run([["a": "x"]])
        }
    }

    @Test func defaultFillsMissingNullAndEmpty() throws {
        #expect(
            try processed(
                #"{"operation":"default","fields":["a","b","c","d"],"value":0}"#, #"{"a":null,"b":"  ","c":false}"#)
                == #"{"a":0,"b":0,"c":false,"d":0}"#)
        #expect(
            try processed(#"{"operation":"default","fields":["b"],"value":"x","empty_text":false}"#, #"{"b":""}"#)
                == #"{"b":""}"#)
    }

    @Test func mapValuesLooksUpTextsNumbersAndListElements() throws {
        let mapping = #"{"operation":"map_values","fields":["a"],"mapping":{"es":"Spain","1":true,"false":0}}"#
        #expect(try processed(mapping, #"{"a":"es"}"#) == #"{"a":"Spain"}"#)
        #expect(try processed(mapping, #"{"a":1}"#) == #"{"a":true}"#)
        #expect(try processed(mapping, #"{"a":["es","fr",false]}"#) == #"{"a":["Spain","fr",0]}"#)
        #expect(try processed(mapping, #"{"a":null}"#) == #"{"a":null}"#)
        #expect(
            try processed(
                #"{"operation":"map_values","fields":["a"],"mapping":{"ES":1},"otherwise":null,"ignore_case":true}"#,
                #"{"a":"eS","b":1}"#)
                == #"{"a":1,"b":1}"#)
        #expect(
            try processed(
                #"{"operation":"map_values","fields":["a"],"mapping":{"ES":1},"otherwise":"?"}"#, #"{"a":"fr"}"#)
                == #"{"a":"?"}"#)
    }
}
