import Redis
import ServiceRuntime
import WireProtocol

/// How much may wait in one list before producers have to.
package struct QueueLimits: Sendable {
    /// `QUEUE_MAX_MESSAGES`
    package var messages: Int
    /// Units: bytes of bodies, estimated from the newest ones. `QUEUE_MAX_BYTES`
    package var bytes: Int
    package var deadLetters: Int
    /// How long a body is kept that nobody deletes; PostgreSQL has it longer.
    package var bodyLifetime: Duration

    package init(
        messages: Int = 1000, bytes: Int = 128 << 20, deadLetters: Int = 10_000,
        bodyLifetime: Duration = .seconds(7 * 86400)
    ) {
        self.messages = messages
        self.bytes = bytes
        self.deadLetters = deadLetters
        self.bodyLifetime = bodyLifetime
    }
}

/// The producers' and the supervisor's side of the lists. Consumers: `QueueConsumer`.
///
/// Redis only delivers: PostgreSQL knows what has to be done, and pushes again what Redis has lost.
package final class WorkQueue: Sendable {
    let redis: RedisConnection
    let metrics: Metrics
    let log: Log
    package let limits: QueueLimits

    package init(redis: RedisConnection, metrics: Metrics, log: Log, limits: QueueLimits = QueueLimits()) {
        self.redis = redis
        self.metrics = metrics
        self.log = log
        self.limits = limits
    }

    /// Bodies and then messages, all or nothing, in one round trip. What is pushed first is read first.
    ///
    /// Throws: `WorkQueueError.outOfMemory`; `RedisError`, after an ambiguous one of which the messages may be in the list
    /// (pushing again is harmless: a batch is applied once).
    package func push(_ items: [(message: WorkMessage, body: [UInt8]?)], to queue: QueueName) async throws {
        if items.isEmpty { return }
        var commands: [[RedisArgument]] = [["MULTI"]]
        for item in items {
            guard let body = item.body else { continue }
            commands.append([
                "SET", RedisArgument(queue.bodyKey(item.message.batchID)), RedisArgument(body), "EX",
                RedisArgument(limits.bodyLifetime.components.seconds),
            ])
        }
        commands.append(["LPUSH", RedisArgument(queue.rawValue)] + items.map { RedisArgument($0.message.bytes) })
        commands.append(["EXEC"])
        let replies = try await redis.pipeline(commands)
        let results = replies.last?.array ?? []
        if replies.contains(where: \.isOutOfMemory) || results.contains(where: \.isOutOfMemory) {
            throw WorkQueueError.outOfMemory
        }
        for reply in replies + results { _ = try reply.get() }
        metrics.add(
            "suite_queue_pushed_total", Double(items.count), help: "Messages pushed on a list", ["queue": queue.stage])
        if let depth = results.last?.integer { observe(depth: Int(depth), of: queue) }
    }

    package func depth(of queue: QueueName) async throws(RedisError) -> Int {
        let depth = Int(try await redis.send("LLEN", RedisArgument(queue.rawValue)).integer ?? 0)
        observe(depth: depth, of: queue)
        return depth
    }

    /// The batches that lie in a list or are held by a consumer: those that need no new push.
    package func queuedBatchIDs() async throws(RedisError) -> Set<Int64> {
        var found = Set<Int64>()
        for queue in QueueName.allCases {
            found.formUnion(try await scan(queue, for: "\"batch_id\":(%d+)").compactMap { Int64($0) })
        }
        found.remove(0)
        return found
    }

    /// The jobs that have a message in this list, waiting or held.
    package func queuedJobIDs(in queue: QueueName) async throws(RedisError) -> Set<String> {
        Set(try await scan(queue, for: "\"job_id\":\"([^\"]*)\""))
    }

    private func scan(_ queue: QueueName, for pattern: String) async throws(RedisError) -> [String] {
        let reply = try await redis.run(
            QueueScripts.scan, keys: [QueueKey.consumers, queue.rawValue],
            arguments: [RedisArgument(queue.stage), RedisArgument(pattern)])
        return reply.array?.compactMap(\.string) ?? []
    }

    /// Only a hint that lets a service stop early, before it pays for more of what has been replaced; PostgreSQL decides.
    package func raiseEpoch(ofJob job: String, to epoch: Int) async {
        do throws(RedisError) {
            _ = try await redis.run(
                QueueScripts.raiseEpoch, keys: [QueueKey.epoch(job)], arguments: [RedisArgument(epoch), "604800"])
        } catch {
            log.warning("queue.epoch_not_raised", ["job_id": .string(job), "error": .string("\(error)")])
        }
    }
    package func epochHint(job: String) async -> Int? {
        (try? await redis.send("GET", RedisArgument(QueueKey.epoch(job))))?.integer.map { Int($0) }
    }

    func observe(depth: Int, of queue: QueueName) {
        metrics.set("suite_queue_depth", Double(depth), help: "Messages waiting in a list", ["queue": queue.stage])
    }
}
