import Redis
import ServiceRuntime
import WireProtocol

extension WorkQueue {
    /// Gives back what consumers without a lease held. Any number may do so at once; each delivery is reported by one.
    /// Nothing happens while Redis is full.
    ///
    /// The caller counts the lost deliveries in PostgreSQL: a message that kills its consumers must come to an end.
    package func reap() async throws(RedisError) -> [LostDelivery] {
        let consumers =
            try await redis.send("SMEMBERS", RedisArgument(QueueKey.consumers)).array?.compactMap(\.string) ?? []
        let leases = try await redis.pipeline(consumers.map { ["EXISTS", RedisArgument(QueueKey.lease($0))] })
        var lost: [LostDelivery] = []
        for (consumer, lease) in zip(consumers, leases) where lease.integer == 0 {
            lost += try await reap(consumer)
        }
        return lost
    }

    private func reap(_ consumer: String) async throws(RedisError) -> [LostDelivery] {
        guard let queue = QueueName(stage: consumer.prefix { $0 != ":" }) else {
            _ = try await redis.send("SREM", RedisArgument(QueueKey.consumers), RedisArgument(consumer))
            return []
        }
        let reply: RedisValue
        do throws(RedisError) {
            reply = try await redis.run(
                QueueScripts.reap,
                keys: [QueueKey.lease(consumer), QueueKey.processing(consumer), queue.rawValue, QueueKey.consumers],
                arguments: [RedisArgument(consumer)])
        } catch {
            guard error.isOutOfMemory else { throw error }
            log.warning("queue.reaper_waits", ["reason": "Redis is out of memory"])
            return []
        }
        guard let elements = reply.array else { return [] }
        log.warning(
            "queue.consumer_lost", ["consumer": .string(consumer), "deliveries": .integer(Int64(elements.count))])
        metrics.add(
            "suite_queue_lost_deliveries_total", Double(elements.count), help: "Deliveries to consumers that died",
            ["queue": queue.stage])
        return elements.compactMap { $0.bytes.flatMap(WorkMessage.init(bytes:)) }
            .map { LostDelivery(message: $0, queue: queue, consumer: consumer) }
    }
}
