import ServiceRuntime
import WireProtocol

/// A batch that a consumer holds.
package struct ClaimedBatch: Sendable {
    package let delivery: Delivery
    package var batch: RecordBatch
}

extension QueueConsumer {
    /// The batches of `deliveries`, in their order. Those that nobody can read become dead letters; those whose body Redis has
    /// lost are acknowledged: PostgreSQL has them and pushes them again.
    package func batches(of deliveries: [Delivery]) async -> [ClaimedBatch] {
        var batches: [ClaimedBatch] = []
        var lost: [Delivery] = []
        for delivery in deliveries {
            guard let body = delivery.body else {
                lost.append(delivery)
                continue
            }
            do {
                batches.append(ClaimedBatch(delivery: delivery, batch: try RecordBatch(decoding: body)))
            } catch {
                log.with(delivery.message).error("batch.unreadable", ["error": .string("\(error)")])
                await deadLetter(delivery, reason: "\(error)")
            }
        }
        if !lost.isEmpty {
            log.warning("batch.body_lost", ["count": JSONValue(lost.count)])
            await acknowledge(lost)
        }
        return batches
    }
}
