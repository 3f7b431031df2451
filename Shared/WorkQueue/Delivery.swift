import FastJSON
import WireProtocol

/// A message a consumer holds, with its body.
package struct Delivery: Sendable {
    package let message: WorkMessage
    /// The element as it lies in the consumer's list.
    package let raw: [UInt8]
    /// `nil` when the message has none, or Redis has lost it: then PostgreSQL has it, and the message is acknowledged.
    package let body: [UInt8]?
    /// The lease under which it was claimed (`QueueConsumer.stillHolds`).
    package let leaseGeneration: Int

    package init(message: WorkMessage, raw: [UInt8], body: [UInt8]?, leaseGeneration: Int = 0) {
        self.message = message
        self.raw = raw
        self.body = body
        self.leaseGeneration = leaseGeneration
    }
}

/// What a consumer held when it died. Its element is back in the list, with `attempt` + 1.
package struct LostDelivery: Sendable, Equatable {
    /// As it was delivered.
    package let message: WorkMessage
    package let queue: QueueName
    package let consumer: String
}

/// A message nobody could use, kept for people.
package struct DeadLetter: Sendable, Equatable {
    package let id: Int64
    package let queue: QueueName
    /// `nil` when the element is not one of ours.
    package let message: WorkMessage?
    package let raw: [UInt8]
    package let reason: String
    /// Units: milliseconds since 1970, UTC.
    package let at: Int64
}

extension WorkMessage {
    /// The element of a list. Its keys stand without spaces: the scripts find `"attempt":` and `"batch_id":` by pattern.
    package var bytes: [UInt8] {
        var writer = JSONWriter(reserving: 256)
        writer.raw("{\"v\":")
        writer.write(Int64(version))
        writer.raw(",\"job_id\":")
        writer.write(jobID)
        writer.raw(",\"epoch\":")
        writer.write(Int64(epoch))
        writer.raw(",\"batch_id\":")
        writer.write(batchID)
        writer.raw(",\"attempt\":")
        writer.write(Int64(attempt))
        writer.raw(",\"kind\":")
        writer.write(kind.rawValue)
        if let traceparent {
            writer.raw(",\"traceparent\":")
            writer.write(traceparent)
        }
        writer.raw(",\"enqueued_at\":")
        writer.write(enqueuedAt)
        writer.raw("}")
        return writer.bytes
    }

    /// `nil` for anything but a message of a version we know.
    package init?(bytes: [UInt8]) {
        guard let value = try? JSONReader.parse(bytes), value["v"]?.integer == 1,
            let jobID = value["job_id"]?.string,
            let epoch = value["epoch"]?.integer.flatMap({ Int(exactly: $0) }),
            let batchID = value["batch_id"]?.integer,
            let attempt = value["attempt"]?.integer.flatMap({ Int(exactly: $0) }),
            let kind = value["kind"]?.string.flatMap(Kind.init(rawValue:)),
            let enqueuedAt = value["enqueued_at"]?.integer
        else { return nil }
        self.init(
            jobID: jobID, epoch: epoch, batchID: batchID, attempt: attempt, kind: kind,
            traceparent: value["traceparent"]?.string, enqueuedAt: enqueuedAt)
    }
}
