import FastJSON
import Redis
import ServiceRuntime
import WireProtocol

extension WorkQueue {
    /// Keeps a message for people to look at; its body stays as long as bodies live.
    func bury(
        _ raw: [UInt8], from queue: QueueName, heldBy consumer: String, reason: String
    ) async throws(RedisError) -> Int64 {
        let letter: JSONValue = [
            "queue": .string(queue.stage), "element": .string(String(decoding: raw, as: UTF8.self)),
            "reason": .string(reason),
            "at": .integer(Timestamp.now.milliseconds),
        ]
        let id = try await redis.run(
            QueueScripts.bury,
            keys: [
                QueueKey.processing(consumer), QueueKey.deadLetters, QueueKey.deadLetterIDs,
                QueueKey.deadLetterNext,
            ],
            arguments: [RedisArgument(raw), RedisArgument(letter.serializedBytes), RedisArgument(limits.deadLetters)])
        metrics.add("suite_queue_dead_letters_total", help: "Messages nobody could use", ["queue": queue.stage])
        return id.integer ?? 0
    }

    /// Newest first.
    package func deadLetters(limit: Int = 50, offset: Int = 0) async throws(RedisError) -> (
        items: [DeadLetter], total: Int
    ) {
        let replies = try await redis.pipeline([
            [
                "LRANGE", RedisArgument(QueueKey.deadLetterIDs), RedisArgument(offset),
                RedisArgument(offset + limit - 1),
            ],
            ["LLEN", RedisArgument(QueueKey.deadLetterIDs)],
        ])
        let ids = try replies[0].get().array?.compactMap(\.integer) ?? []
        var items: [DeadLetter] = []
        for id in ids { if let letter = try await deadLetter(id: id) { items.append(letter) } }
        return (items, Int(try replies[1].get().integer ?? 0))
    }

    package func deadLetter(id: Int64) async throws(RedisError) -> DeadLetter? {
        let reply = try await redis.send("HGET", RedisArgument(QueueKey.deadLetters), RedisArgument(id))
        guard let bytes = reply.bytes, let letter = try? JSONReader.parse(bytes),
            let queue = letter["queue"]?.string.flatMap({ QueueName(stage: $0) }),
            let element = letter["element"]?.string
        else { return nil }
        let raw = Array(element.utf8)
        return DeadLetter(
            id: id, queue: queue, message: WorkMessage(bytes: raw), raw: raw, reason: letter["reason"]?.string ?? "",
            at: letter["at"]?.integer ?? 0)
    }

    /// Puts a dead letter back on its list. False when there is none with this id (any more).
    package func replay(id: Int64) async throws(RedisError) -> Bool {
        guard let letter = try await deadLetter(id: id) else { return false }
        return try await redis.run(
            QueueScripts.replay, keys: [QueueKey.deadLetters, QueueKey.deadLetterIDs, letter.queue.rawValue],
            arguments: [RedisArgument(id), RedisArgument(letter.raw)]
        ).integer == 1
    }
}
