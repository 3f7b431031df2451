import FastJSON
import Testing
import WireProtocol

@testable import Datasources

@Suite struct RecordTemplateTests {
    private let mapping = FieldMapping(
        key: "sku", deletedAt: "gone",
        fields: [
            .init(name: "title", column: "name"), .init(name: "brand", column: "brand"),
            .init(name: "tags", column: "tags"),
        ])
    private func template(_ text: TextTemplate? = nil, processing: [JSONValue] = [], space: EmbeddingSpace = .example)
        -> RecordTemplate
    {
        RecordTemplate(
            mapping: mapping, text: text ?? TextTemplate(fields: ["title", "brand"]), space: space,
            processing: processing)
    }
    private let row = JSONObject([
        ("sku", "A-1"), ("name", "Lamp \"Söl\""), ("brand", "Acme"), ("tags", ["b", "a"]), ("other", 1),
    ])

    private func record(_ outcome: RecordTemplate.Outcome) throws -> ProcessedRecord {
        guard case .record(let record) = outcome else { throw Unexpected(outcome: outcome) }
        return record
    }
    private struct Unexpected: Error { var outcome: RecordTemplate.Outcome }

    @Test func writesPayloadTextAndHashes() throws {
        let record = try record(template().outcome(for: row))
        #expect(record.key == "A-1")
        #expect(
            String(decoding: record.payload, as: UTF8.self)
                == #"{"brand":"Acme","tags":["b","a"],"title":"Lamp \"Söl\""}"#)
        #expect(record.text == "Lamp \"Söl\"\nAcme")
        #expect(record.contentHash.count == 16)
        #expect(record.textHash.count == 16)
    }

    @Test func theOrderOfColumnsChangesNothing() throws {
        let turned = JSONObject(row.members.reversed())
        #expect(try record(template().outcome(for: row)) == record(template().outcome(for: turned)))
    }

    @Test func hashesChangeWithWhatTheyStandFor() throws {
        let first = try record(template().outcome(for: row))
        var other = row
        other["tags"] = ["c"]
        let payloadOnly = try record(template().outcome(for: other))
        #expect(payloadOnly.contentHash != first.contentHash)
        #expect(payloadOnly.textHash == first.textHash)
        other["name"] = "Desk"
        #expect(try record(template().outcome(for: other)).textHash != first.textHash)
        let processed = try record(template(processing: [["operation": "trim"]]).outcome(for: row))
        #expect(processed.contentHash != first.contentHash)
        #expect(processed.textHash == first.textHash)
        var space = EmbeddingSpace.example
        space.model = "another"
        let moved = try record(template(space: space).outcome(for: row))
        #expect(moved.contentHash != first.contentHash)
        #expect(moved.textHash != first.textHash)
        var ignored = row
        ignored["other"] = 2
        #expect(try record(template().outcome(for: ignored)) == first)
    }

    @Test func aTemplateWritesTheTextAndListsReadAsWords() throws {
        let text = try TextTemplate("{{ title }} by {{brand}} ({{tags}})")
        #expect(try record(template(text).outcome(for: row)).text == "Lamp \"Söl\" by Acme (b, a)")
        #expect(throws: TextTemplate.InvalidTemplate.self) { try TextTemplate("{{title") }
    }

    @Test func keysThatCannotBeOneFailTheRecord() {
        for value: JSONValue in [nil, "", "  ", true, ["a"], .string(String(repeating: "x", count: 513)), "a\0b"] {
            var bad = row
            bad["sku"] = value
            guard case .failed(nil, let failure) = template().outcome(for: bad) else {
                Issue.record("\(value) made a key")
                continue
            }
            #expect(failure.type == "invalid_key")
        }
        var numbered = row
        numbered["sku"] = 42
        guard case .record(let record) = template().outcome(for: numbered) else {
            Issue.record("42 is a key")
            return
        }
        #expect(record.key == "42")
    }

    @Test func aRowWithoutTextFails() {
        var empty = row
        empty["name"] = nil
        empty["brand"] = " "
        guard case .failed("A-1", let failure) = template().outcome(for: empty) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.type == "empty_text")
    }

    @Test func softDeletionIsTold() {
        for (value, isDeleted): (JSONValue, Bool) in [
            (nil, false), (false, false), ("", false), (0, false), ("2024-01-01", true), (true, true), (1, true),
        ] {
            var marked = row
            marked["gone"] = value
            #expect((template().outcome(for: marked) == .deleted(key: "A-1")) == isDeleted, "\(value)")
        }
    }

    @Test func tooLargeAPayloadFails() {
        let small = RecordTemplate(
            mapping: mapping, text: TextTemplate(fields: ["title"]), space: .example, maximumPayloadBytes: 20)
        guard case .failed("A-1", let failure) = small.outcome(for: row) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.type == "record_too_large")
    }
}
