import WireProtocol

/// One thing to do in the store. Changes come in the order in which they must take effect.
package struct RecordChange: Sendable {
    package var operation: RecordBatch.Operation
    package var collection: String
    package var datasourceID: String
    package var space: EmbeddingSpace
    package var record: RecordBatch.Record
    package var batchID: Int64
}

/// What the store said to a list of changes, by their positions.
package struct StoreOutcome: Sendable, Equatable {
    /// Payload changes whose point does not exist: they come again with a vector.
    package var missing: Set<Int>
    /// Changes that the store refuses for good.
    package var failures: [Int: RecordBatch.Failure]
    package init(missing: Set<Int> = [], failures: [Int: RecordBatch.Failure] = [:]) {
        self.missing = missing
        self.failures = failures
    }
}

/// What became of the batches of one index transaction. All but `replanned` are to be acknowledged.
package struct AppliedBatches: Sendable, Equatable {
    package var done: [Int64] = []
    /// Of an older epoch, or of a job that does not run: no effect.
    package var refused: [Int64] = []
    /// Done, dead or split before: no effect.
    package var finishedBefore: [Int64] = []
    /// To push: payload changes whose point was missing.
    package var replanned: [QueuedBatch] = []
    package var ok = 0
    package var skipped = 0
    package var failed = 0
    package var deleted = 0
}
