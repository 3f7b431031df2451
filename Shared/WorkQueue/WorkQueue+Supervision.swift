import Redis
import ServiceRuntime
import WireProtocol

extension WorkQueue {
    /// True once after Redis lost everything (and at the very first call): all open work has to be pushed again.
    package func markGeneration() async throws(RedisError) -> Bool {
        try await redis.send("SET", "suite:generation", RedisArgument(Timestamp.now.text), "NX").get() != .null
    }

    /// Takes a reference and its body off a list: its batch has ended in another way.
    package func remove(_ message: WorkMessage, from queue: QueueName) async throws(RedisError) {
        let replies = try await redis.pipeline([
            ["LREM", RedisArgument(queue.rawValue), "0", RedisArgument(message.bytes)],
            ["DEL", RedisArgument(queue.bodyKey(message.batchID))],
        ])
        for reply in replies { _ = try reply.get() }
    }
}
