/// A row of a source after its operations and its mapping: what is embedded and stored. Travels in a `RecordBatch`.
package struct ProcessedRecord: Sendable, Equatable {
    /// The record's key in its source; with the datasource's id it gives the point's id.
    package var key: String
    /// 16 bytes: payload bytes, text, space and processing version, hashed. Empty in a delete.
    package var contentHash: [UInt8]
    /// 16 bytes: the inputs of the vectors and the space, hashed. Empty in a delete.
    package var textHash: [UInt8]
    /// The text to embed.
    package var text: String
    /// JSON object, written once by the harvester, keys sorted.
    package var payload: [UInt8]
    /// Shape: `space.dimensions`, or empty where there is none (yet).
    package var vector: [Float]
    /// Why this record failed on its way; such a record is counted and reported, never stored.
    package var failure: RecordFailure?

    package init(
        key: String, contentHash: [UInt8] = [], textHash: [UInt8] = [], text: String = "", payload: [UInt8] = [],
        vector: [Float] = [], failure: RecordFailure? = nil
    ) {
        self.key = key
        self.contentHash = contentHash
        self.textHash = textHash
        self.text = text
        self.payload = payload
        self.vector = vector
        self.failure = failure
    }
}

/// A record's own error, as it will stand in `sync_errors`. Never holds a value of the record.
package struct RecordFailure: Codable, Sendable, Equatable {
    /// A stable word: `embedding_rejected`, `invalid_key`, `row_malformed`, ...
    package var type: String
    package var message: String
    package init(type: String, message: String) {
        self.type = type
        self.message = message
    }
}
