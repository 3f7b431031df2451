/// The body of a batch on its way harvester -> embedder -> indexer: what the batch is, then its records.
///
/// Bytes: `u32` length of the JSON header, the header, then each record as length-prefixed fields (little endian). A service
/// in between copies payloads and vectors without decoding them. See `RecordBatch+Bytes.swift`.
package struct RecordBatch: Sendable, Equatable {
    package var header: Header
    package var records: [ProcessedRecord]

    package init(header: Header, records: [ProcessedRecord]) {
        self.header = header
        self.records = records
    }

    package enum Operation: String, Codable, Sendable, CaseIterable {
        /// Store vector and payload.
        case upsert
        /// Replace the payload, keep the vector: the embedded text has not changed.
        case payload
        case delete
    }

    package struct Header: WireType, Equatable {
        package var jobID: String
        package var epoch: Int
        package var batchID: Int64
        package var operation: Operation
        package var datasourceID: String
        /// The physical collection in the store.
        package var collection: String
        package var space: EmbeddingSpace
        /// Position of the source read that these records come from, in the suite's one sequence of reads.
        package var readSequence: Int64
        package var traceparent: String?
        /// Set by the embedder; the indexer's transaction adds it to the job's statistics.
        package var usage: EmbeddingUsage?
        /// Why the whole batch failed on its way (an embeddings provider that stayed out): it ends the job, stores nothing.
        package var failure: RecordFailure?

        package init(
            jobID: String, epoch: Int, batchID: Int64, operation: Operation, datasourceID: String, collection: String,
            space: EmbeddingSpace, readSequence: Int64, traceparent: String? = nil, failure: RecordFailure? = nil
        ) {
            self.jobID = jobID
            self.epoch = epoch
            self.batchID = batchID
            self.operation = operation
            self.datasourceID = datasourceID
            self.collection = collection
            self.space = space
            self.readSequence = readSequence
            self.traceparent = traceparent
            self.failure = failure
        }

        package static let naming = WireNaming.snakeCase
        package static let example = Header(
            jobID: "3f2b9c1e-5a0d-4a53-8f0e-0d8f1c5b7a11", epoch: 1, batchID: 42, operation: .upsert,
            datasourceID: "b1f1a0a4-5c53-44b8-a5a5-0c1b8d1f7e10", collection: "products", space: .example,
            readSequence: 7, traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        enum CodingKeys: String, CodingKey {
            case jobID = "job_id", epoch, batchID = "batch_id", operation = "op", datasourceID = "datasource_id"
            case collection, space, readSequence = "read_seq", traceparent, usage, failure
        }
    }

    /// What the vectors of a batch cost.
    package struct EmbeddingUsage: WireType, Equatable {
        package var requested: Int
        package var cached: Int
        package var billedTokens: Int64
        /// In the currency of the provider's price.
        package var cost: Double
        package init(requested: Int = 0, cached: Int = 0, billedTokens: Int64 = 0, cost: Double = 0) {
            self.requested = requested
            self.cached = cached
            self.billedTokens = billedTokens
            self.cost = cost
        }
        package static let naming = WireNaming.snakeCase
        package static let example = EmbeddingUsage(requested: 50, cached: 20, billedTokens: 1200, cost: 0.0002)
        enum CodingKeys: String, CodingKey { case requested, cached, billedTokens = "billed_tokens", cost }
    }
}
