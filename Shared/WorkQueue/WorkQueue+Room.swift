import Redis
import ServiceRuntime
import WireProtocol

extension WorkQueue {
    /// Waits until `count` more messages fit into the list, by number and by the bytes of its bodies (estimated from the
    /// newest sixteen). An empty list has room for anything.
    ///
    /// Throws: `CancellationError` when a stop is requested; `RedisError` that trying again does not change.
    package func waitForRoom(in queue: QueueName, for count: Int = 1, until shutdown: Shutdown) async throws {
        var pause = Duration.milliseconds(10)
        let begin = ContinuousClock.now
        defer {
            metrics.add(
                "suite_queue_backpressure_seconds_total", (ContinuousClock.now - begin) / .seconds(1),
                help: "Time producers waited for room in a list", ["queue": queue.stage])
        }
        while true {
            do throws(RedisError) {
                if try await hasRoom(in: queue, for: count) { return }
            } catch {
                if !error.isRetryable { throw error }
            }
            guard await shutdown.sleep(for: pause), !Task.isCancelled else { throw CancellationError() }
            pause = min(pause * 2, .milliseconds(250))
        }
    }

    /// Whether `count` more messages fit into the list now.
    package func hasRoom(in queue: QueueName, for count: Int) async throws(RedisError) -> Bool {
        let name = RedisArgument(queue.rawValue)
        let replies = try await redis.pipeline([["LLEN", name], ["LRANGE", name, "0", "15"]])
        let depth = Int(try replies[0].get().integer ?? 0)
        observe(depth: depth, of: queue)
        if depth == 0 { return true }
        guard depth + count <= limits.messages else { return false }
        let newest = try replies[1].get().array?.compactMap { $0.bytes.flatMap(WorkMessage.init(bytes:)) } ?? []
        let sizes = try await redis.pipeline(newest.map { ["STRLEN", RedisArgument(queue.bodyKey($0.batchID))] })
        let sampled = sizes.reduce(0) { $0 + Int($1.integer ?? 0) }
        return sampled * (depth + count) / max(newest.count, 1) <= limits.bytes
    }
}
