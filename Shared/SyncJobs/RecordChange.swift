import WireProtocol

/// One thing to do in the store. Changes come in the order in which they must take effect.
package struct RecordChange: Sendable {
    package var operation: RecordBatch.Operation
    package var collection: String
    package var datasourceID: String
    package var space: EmbeddingSpace
    package var record: ProcessedRecord
    package var batchID: Int64
}

/// What the store said to a list of changes, by their positions.
package struct StoreOutcome: Sendable, Equatable {
    /// Payload changes whose point does not exist: they come again with a vector.
    package var missing: Set<Int>
    /// Changes that the store refuses for good.
    package var failures: [Int: RecordFailure]
    /// The number of the write in each collection, where the store tells (`StoreMark`).
    package var sequences: [String: UInt64] = [:]
    package init(missing: Set<Int> = [], failures: [Int: RecordFailure] = [:]) {
        self.missing = missing
        self.failures = failures
    }
}
