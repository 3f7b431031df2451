import Redis
import ServiceRuntime
import WireProtocol

extension WorkQueue {
    /// True once after Redis lost everything (and at the very first call): all open work has to be pushed again.
    package func markGeneration() async throws(RedisError) -> Bool {
        try await redis.send("SET", "suite:generation", RedisArgument(Timestamp.now.text), "NX").get() != .null
    }

    /// Takes a batch's reference, whatever its attempt, and its body off a list: the batch has ended in another way.
    package func remove(_ message: WorkMessage, from queue: QueueName) async throws(RedisError) {
        _ = try await redis.run(
            QueueScripts.remove, keys: [queue.rawValue, queue.bodyKey(message.batchID)],
            arguments: [RedisArgument("\"batch_id\":\(message.batchID)[,}]")])
    }
}
