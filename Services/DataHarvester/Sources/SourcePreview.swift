import Datasources
import FastJSON
import WireProtocol

/// Some rows of a source and what they would become: key, payload and the text that would be embedded.
struct SourcePreview: Sendable {
    private let request: SourceRequest
    private let processor: any PageProcessor

    init(_ request: SourceRequest, processor: any PageProcessor) {
        self.request = request
        self.processor = processor
    }

    func json(_ page: SourcePage) async throws -> JSONObject {
        var rows: [JSONValue] = page.rows.map { .object(JSONObject([("row", .object($0.values))])) }
        var records: [JSONValue] = []
        if !request.source.mapping.key.isEmpty {
            let template = RecordTemplate(
                mapping: request.source.mapping, text: request.text,
                space: .init(provider: "preview", model: "preview", dimensions: 1), processing: request.processing)
            let maker = RecordMaker(
                mapping: request.source.mapping, template: template, operations: request.processing,
                processor: processor)
            let made = try await maker.make(page)
            records = try made.records.map { try record($0) }
            if !maker.isProcessing, page.failures.isEmpty, made.vanished.isEmpty, records.count == rows.count {
                rows = zip(rows, records).map { row, record in
                    .object(JSONObject((row.object?.members ?? []) + (record.object?.members ?? [])))
                }
            }
        }
        return JSONObject([
            ("columns", .array(page.columns.map(JSONValue.string))), ("rows", .array(rows)),
            ("records", .array(records)),
            ("notes", .array(page.notes.map(JSONValue.string))),
        ])
    }

    private func record(_ record: ProcessedRecord) throws -> JSONValue {
        if let failure = record.failure {
            return [
                "key": .string(record.key),
                "error": ["type": .string(failure.type), "message": .string(failure.message)],
            ]
        }
        return [
            "key": .string(record.key), "text": .string(record.text), "payload": try JSONReader.parse(record.payload),
        ]
    }
}
