/// One element of a list: a reference to a batch, never its content. The content lies beside it in `body:<stage>:<batch_id>`.
package struct WorkMessage: WireType, Equatable {
    package var version = 1
    package var jobID: String
    package var epoch: Int
    /// `sync_batches.id`; 0 for the message that starts or goes on with a job.
    package var batchID: Int64
    /// Deliveries so far, this one included.
    package var attempt: Int
    package var kind: Kind
    package var traceparent: String?
    /// Units: milliseconds since 1970, UTC.
    package var enqueuedAt: Int64

    package enum Kind: String, Codable, Sendable, CaseIterable { case harvest, embed, index }

    package init(
        jobID: String, epoch: Int, batchID: Int64, attempt: Int = 1, kind: Kind, traceparent: String? = nil,
        enqueuedAt: Int64
    ) {
        self.jobID = jobID
        self.epoch = epoch
        self.batchID = batchID
        self.attempt = attempt
        self.kind = kind
        self.traceparent = traceparent
        self.enqueuedAt = enqueuedAt
    }

    package static let naming = WireNaming.snakeCase
    package static let example = WorkMessage(
        jobID: "3f2b9c1e-5a0d-4a53-8f0e-0d8f1c5b7a11", epoch: 1, batchID: 42, kind: .embed,
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", enqueuedAt: 1_760_000_000_000)

    enum CodingKeys: String, CodingKey {
        case version = "v", jobID = "job_id", epoch, batchID = "batch_id", attempt, kind, traceparent
        case enqueuedAt = "enqueued_at"
    }
}
