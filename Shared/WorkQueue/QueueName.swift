import WireProtocol

/// The three lists of the suite. Producers push on the left, consumers read on the right.
package enum QueueName: String, Sendable, CaseIterable {
    case harvest = "queue:harvest"
    case embed = "queue:embed"
    case index = "queue:index"

    /// `harvest`, `embed`, `index`: as it stands in keys and metric labels.
    package var stage: String { String(rawValue.dropFirst("queue:".count)) }
    package init?(stage: some StringProtocol) { self.init(rawValue: "queue:\(stage)") }

    /// `body:<stage>:<batch_id>`
    func bodyKey(_ batchID: Int64) -> String { "body:\(stage):\(batchID)" }
}

/// The other keys.
enum QueueKey {
    /// Set of the ids of all consumers that may hold something.
    static let consumers = "consumers"
    static let deadLetters = "dead:letters"
    static let deadLetterIDs = "dead:ids"
    static let deadLetterNext = "dead:next"
    static func lease(_ consumer: String) -> String { "lease:\(consumer)" }
    /// List of what a consumer holds, oldest on the right.
    static func processing(_ consumer: String) -> String { "proc:\(consumer)" }
    static func epoch(_ job: String) -> String { "epoch:\(job)" }
}
