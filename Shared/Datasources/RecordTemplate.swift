import Crypto
import WireProtocol

/// Makes records of source rows: key, payload bytes, the text to embed, and both hashes.
package struct RecordTemplate: Sendable {
    package enum Outcome: Sendable, Equatable {
        case record(ProcessedRecord)
        /// The source marks this row as deleted.
        case deleted(key: String)
        case failed(key: String?, RecordFailure)
    }

    private struct Field: Sendable {
        var column: String
        /// `"name":`, escaped once.
        var prefix: [UInt8]
    }
    private let mapping: FieldMapping
    private let fields: [Field]
    private let text: TextTemplate
    /// Field name -> column, for the text.
    private let columns: [String: String]
    private let space: String
    private let version: String
    private let maximumPayloadBytes: Int
    package static let maximumKeyBytes = 512

    package init(
        mapping: FieldMapping, text: TextTemplate, space: EmbeddingSpace, processing: [JSONValue] = [],
        maximumPayloadBytes: Int = 1 << 20
    ) {
        self.mapping = mapping
        self.text = text
        self.space = space.identifier
        self.maximumPayloadBytes = maximumPayloadBytes
        version = Self.version(of: processing)
        columns = Dictionary(mapping.fields.map { ($0.name, $0.column) }, uniquingKeysWith: { $1 })
        fields = mapping.fields.sorted { $0.name < $1.name }.map { field in
            var writer = JSONWriter()
            writer.write(field.name)
            writer.raw(":")
            return Field(column: field.column, prefix: writer.bytes)
        }
    }

    package init(_ datasource: Datasource, space: EmbeddingSpace) {
        self.init(mapping: datasource.mapping, text: datasource.text, space: space, processing: datasource.processing)
    }

    /// A name for what the operations do: changed operations make changed records.
    package static func version(of processing: [JSONValue]) -> String {
        guard !processing.isEmpty else { return "" }
        var writer = JSONWriter()
        writer.write(.array(processing), sortingKeys: true)
        return Hex.encode(SHA256Digest.hash(writer.bytes).prefix(8))
    }

    /// `key` where it does not stand in the key column (a part of a row that was cut in chunks).
    package func outcome(for row: JSONObject, key given: String? = nil) -> Outcome {
        let key: String
        if let given {
            key = given
        } else {
            switch Self.key(of: row[mapping.key], column: mapping.key) {
            case .success(let value): key = value
            case .failure(let failure): return .failed(key: nil, failure.failure)
            }
        }
        if let column = mapping.deletedAt, Self.isSet(row[column]) { return .deleted(key: key) }
        var payload = JSONWriter(reserving: 512)
        payload.raw("{")
        for (index, field) in fields.enumerated() {
            if index > 0 { payload.raw(",") }
            payload.raw(field.prefix)
            payload.write(row[field.column] ?? .null, sortingKeys: true)
        }
        payload.raw("}")
        guard payload.bytes.count <= maximumPayloadBytes else {
            let message = "the payload has \(payload.bytes.count) bytes, more than \(maximumPayloadBytes)"
            return .failed(key: key, .init(type: "record_too_large", message: message))
        }
        let embedded = text.text { name in columns[name].flatMap { row[$0] } }
        guard embedded.utf8.contains(where: { $0 > 0x20 }) else {
            let verb = text.fields.count == 1 ? "is" : "are"
            let message = "there is no text to embed: \(text.fields.joined(separator: ", ")) \(verb) empty"
            return .failed(key: key, .init(type: "empty_text", message: message))
        }
        return .record(
            ProcessedRecord(
                key: key, contentHash: hash([payload.bytes, Array(embedded.utf8), Array(version.utf8)]),
                textHash: hash([Array(embedded.utf8)]), text: embedded, payload: payload.bytes))
    }

    /// The first 16 bytes of SHA-256 over the parts, each with its length before it, and the embedding space.
    private func hash(_ parts: [[UInt8]]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(parts.reduce(space.utf8.count + 16) { $0 + $1.count + 8 })
        for part in parts {
            withUnsafeBytes(of: UInt64(part.count).littleEndian) { bytes.append(contentsOf: $0) }
            bytes.append(contentsOf: part)
        }
        bytes.append(contentsOf: space.utf8)
        return Array(SHA256Digest.hash(bytes).prefix(16))
    }

    private struct KeyFailure: Error { var failure: RecordFailure }

    /// The text of a key: strings as they are, numbers in their shortest form.
    private static func key(of value: JSONValue?, column: String) -> Result<String, KeyFailure> {
        func refuse(_ reason: String) -> Result<String, KeyFailure> {
            .failure(KeyFailure(failure: .init(type: "invalid_key", message: "the key column \(column) \(reason)")))
        }
        guard let value else { return refuse("is not in the row") }
        switch value {
        case .null: return refuse("is NULL")
        case .string(let text) where text.utf8.allSatisfy { $0 == 0x20 }: return refuse("is empty")
        case .string(let text) where text.utf8.contains(0): return refuse("holds a zero byte")
        case .string(let text) where text.utf8.count > maximumKeyBytes:
            return refuse("is longer than \(maximumKeyBytes) bytes")
        case .string(let text): return .success(text)
        case .integer, .unsigned, .number: return .success(value.serialized)
        case .bool, .array, .object: return refuse("is a JSON \(value.kind), not a text or number")
        }
    }

    /// The key's text alone; `nil` where `outcome` would refuse it.
    package static func keyText(_ value: JSONValue?) -> String? { try? key(of: value, column: "").get() }

    /// A soft-delete column: NULL, false, zero and an empty text mean "not deleted".
    private static func isSet(_ value: JSONValue?) -> Bool {
        switch value {
        case nil, .null, .bool(false), .integer(0), .string(""): false
        case .string(let text): !["false", "0", "f", "n", "no"].contains(text.lowercased())
        default: true
        }
    }
}
