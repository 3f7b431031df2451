import Redis
import ServiceRuntime
import TestServers
import WireProtocol

@testable import WorkQueue

/// One test's own database, a queue on it, and consumers that can be killed.
struct QueueFixture {
    let url: String
    let redis: RedisConnection
    let queue: WorkQueue
    let metrics = Metrics()

    init(limits: QueueLimits = QueueLimits()) async throws {
        self.init(url: try await RedisServer.shared().createDatabase(), limits: limits)
    }
    init(url: String, limits: QueueLimits = QueueLimits()) {
        self.url = url
        redis = RedisConnection(url: url, log: .silent)
        queue = WorkQueue(redis: redis, metrics: metrics, log: .silent, limits: limits)
    }

    func consumer(of name: QueueName, lease: Duration = .seconds(30)) async throws -> QueueConsumer {
        let consumer = QueueConsumer(
            queue: name, service: "test", redisURL: url, lease: lease, metrics: metrics, log: .silent,
            limits: queue.limits)
        await consumer.start()
        return consumer
    }

    /// As SIGKILL would: nothing given back, the lease not renewed and (at once instead of later) gone.
    func kill(_ consumer: QueueConsumer) async throws {
        consumer.lease.stop()
        try await expire(consumer)
    }
    /// As a long SIGSTOP would, seen from the others: the lease runs out, the process still thinks it works.
    func expire(_ consumer: QueueConsumer) async throws {
        _ = try await redis.send("DEL", RedisArgument("lease:\(consumer.id)"))
    }

    func message(_ batch: Int64, kind: WorkMessage.Kind = .embed, job: String = "job") -> WorkMessage {
        WorkMessage(jobID: job, epoch: 1, batchID: batch, kind: kind, enqueuedAt: 1_760_000_000_000)
    }
    func push(_ batches: ClosedRange<Int64>, to name: QueueName = .embed, bytes: Int = 3) async throws {
        try await queue.push(
            batches.map { (message($0), [UInt8](repeating: UInt8(truncatingIfNeeded: $0), count: bytes)) }, to: name)
    }
    func keys(_ pattern: String) async throws -> [String] {
        try await redis.send("KEYS", RedisArgument(pattern)).array?.compactMap(\.string) ?? []
    }
}
