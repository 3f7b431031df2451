import Datasources
import ServiceRuntime
import WireProtocol

/// Makes records of a page of source rows: through the operations, where the datasource has any, then through its mapping.
struct RecordMaker: Sendable {
    struct Made: Sendable {
        /// In the source's order; those that failed have a `failure`.
        var records: [ProcessedRecord] = []
        /// Keys that the source marks as deleted, or that the operations left out: not in the source any more.
        var vanished: [String] = []
        var processMilliseconds = 0
    }
    private let mapping: FieldMapping
    private let template: RecordTemplate
    private let operations: [JSONValue]
    private let processor: any PageProcessor
    /// One row of the source makes several records, `key#0`, `key#1`, ...
    let isChunking: Bool
    var isProcessing: Bool { !operations.isEmpty }
    private static let maximumErrorData = 16 << 10

    init(mapping: FieldMapping, template: RecordTemplate, operations: [JSONValue], processor: any PageProcessor) {
        self.mapping = mapping
        self.template = template
        self.operations = operations
        self.processor = processor
        isChunking = operations.contains { $0["operation"]?.string == "chunk" }
    }

    init(_ datasource: Datasource, space: EmbeddingSpace, processor: any PageProcessor) {
        self.init(
            mapping: datasource.mapping, template: RecordTemplate(datasource, space: space),
            operations: datasource.processing,
            processor: processor)
    }

    /// The key of the source row that a record was made of.
    func sourceKey(_ key: String) -> String {
        guard isChunking, let mark = key.lastIndex(of: "#"), Int(key[key.index(after: mark)...]) != nil else {
            return key
        }
        return String(key[..<mark])
    }

    /// Throws: `missingColumn` where the mapping names a column that the source does not have, `ProcessingError`.
    func make(_ page: SourcePage, trace: TraceContext? = nil) async throws -> Made {
        var made = Made()
        for problem in page.failures {
            made.records.append(Self.failed(problem.isKey ? problem.identifier : "", problem.failure))
        }
        guard !page.rows.isEmpty else { return made }
        guard operations.isEmpty else {
            try await process(page.rows, trace, into: &made)
            return made
        }
        try checkColumns(page)
        made.records.reserveCapacity(page.rows.count)
        for row in page.rows { add(template.outcome(for: row.values), row, to: &made) }
        return made
    }

    private func process(_ rows: [SourceRow], _ trace: TraceContext?, into made: inout Made) async throws {
        var sent: [(key: String, row: SourceRow)] = []
        var dataset: [JSONObject] = []
        for row in rows {
            guard let key = RecordTemplate.keyText(row.values[mapping.key]) else {
                add(template.outcome(for: row.values), row, to: &made)
                continue
            }
            var values = row.values
            values["_key"] = .string(key)
            sent.append((key, row))
            dataset.append(values)
        }
        guard !sent.isEmpty else { return }
        let start = ContinuousClock.now
        let processed = try await processor.process(dataset, operations, trace: trace)
        made.processMilliseconds = Int((ContinuousClock.now - start) / .milliseconds(1))
        var answered = Set<String>()
        for row in processed.rows {
            guard let key = row["_key"]?.string else { continue }
            answered.insert(sourceKey(key))
            add(template.outcome(for: row, key: key), SourceRow(values: row), to: &made)
        }
        for error in processed.errors where sent.indices.contains(error.index) {
            let (key, row) = sent[error.index]
            guard answered.insert(key).inserted else { continue }
            let failure = RecordFailure(
                type: "processing_failed", message: "\(error.operation): \(error.message)")
            made.records.append(Self.failed(key, failure, row.values))
        }
        made.vanished += sent.map(\.key).filter { !answered.contains($0) }
    }

    private func add(_ outcome: RecordTemplate.Outcome, _ row: SourceRow, to made: inout Made) {
        switch outcome {
        case .record(let record): made.records.append(record)
        case .deleted(let key): made.vanished.append(key)
        case .failed(let key, var failure):
            if !row.position.isEmpty { failure.message = "\(row.position): \(failure.message)" }
            made.records.append(Self.failed(key ?? "", failure, row.values))
        }
    }

    private static func failed(_ key: String, _ failure: RecordFailure, _ row: JSONObject? = nil)
        -> ProcessedRecord
    {
        let data = row.map { JSONValue.object($0).serializedBytes } ?? []
        return ProcessedRecord(key: key, payload: data.count <= maximumErrorData ? data : [], failure: failure)
    }

    private func checkColumns(_ page: SourcePage) throws(SourceError) {
        guard !page.columns.isEmpty else { return }
        let columns = Set(page.columns)
        guard let missing = mapping.columns.first(where: { !columns.contains($0) }) else { return }
        let name = mapping.json.members.first { $0.value.string == missing }?.name ?? "id"
        throw SourceError(
            .missingColumn,
            "the source has no column \(missing); it has \(page.columns.prefix(50).joined(separator: ", "))",
            field: "fieldMapping.\(name)")
    }
}
