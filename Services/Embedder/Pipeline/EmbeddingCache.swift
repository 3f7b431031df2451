import Redis
import ServiceRuntime
import Synchronization

/// Vectors in Redis, raw little-endian float32 under a time limit. A cache: it may fail, be full or be wiped at any moment,
/// and costs money, not results.
///
/// Past `share` of the server's memory only vectors in flight are kept: for minutes instead of days, so that a crash still
/// does not pay twice.
final class EmbeddingCache: Sendable {
    struct Settings: Sendable {
        var lifetime: Duration = .seconds(30 * 86_400)
        var lifetimeInFlight: Duration = .seconds(900)
        /// Of `maxmemory`, past which nothing is kept for long.
        var share = 0.7
        /// Units: bytes. Stands in for `maxmemory` where the server has none.
        var memory = 2 << 30
    }
    private let redis: RedisConnection
    private let settings: Settings
    private let metrics: Metrics
    private let log: Log
    private struct Budget {
        var isSpent = false
        var checkedAt: ContinuousClock.Instant?
        var failedAt: ContinuousClock.Instant?
    }
    private let budget = Mutex(Budget())

    init(redis: RedisConnection, settings: Settings = Settings(), metrics: Metrics, log: Log) {
        self.redis = redis
        self.settings = settings
        self.metrics = metrics
        self.log = log
    }

    /// Only a vector of the expected size counts; anything else under a key is a miss.
    func vectors(_ keys: [CacheKey], prefix: [UInt8], dimensions: Int) async -> [[Float]?] {
        guard !keys.isEmpty else { return [] }
        do {
            let command = [RedisArgument("MGET")] + keys.map { RedisArgument($0.redisKey(prefix: prefix)) }
            let values = try await redis.send(command).array ?? []
            guard values.count == keys.count else { return Array(repeating: nil, count: keys.count) }
            return values.map { $0.bytes.flatMap { Self.floats($0, count: dimensions) } }
        } catch {
            report(error, "read")
            return Array(repeating: nil, count: keys.count)
        }
    }

    func store(_ vectors: [(key: CacheKey, vector: [Float])], prefix: [UInt8]) async {
        guard !vectors.isEmpty else { return }
        let lifetime = await hasRoom() ? settings.lifetime : settings.lifetimeInFlight
        let seconds = RedisArgument(Int(lifetime.components.seconds))
        let commands = vectors.map { key, vector -> [RedisArgument] in
            [
                "SET", RedisArgument(key.redisKey(prefix: prefix)), RedisArgument(vector.withUnsafeBytes { Array($0) }),
                "EX", seconds,
            ]
        }
        do {
            let refused = try await redis.pipeline(commands).compactMap {
                if case .error(let text) = $0 { text } else { nil }
            }
            if let first = refused.first { report(RedisError.server(message: first), "write") }
        } catch {
            report(error, "write")
        }
    }

    private static func floats(_ bytes: [UInt8], count: Int) -> [Float]? {
        guard bytes.count == count * 4 else { return nil }
        return [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            UnsafeMutableRawBufferPointer(buffer).copyBytes(from: bytes)
            initialized = count
        }
    }

    /// Asks the server at most every two seconds.
    private func hasRoom() async -> Bool {
        let isDue = budget.withLock { budget in
            if let checkedAt = budget.checkedAt, .now - checkedAt < .seconds(2) { return false }
            budget.checkedAt = .now
            return true
        }
        if isDue, let memory = try? await redis.send("INFO", "memory").string {
            let fields = memory.split(whereSeparator: \.isNewline).map { $0.split(separator: ":", maxSplits: 1) }
            func number(_ name: String) -> Double? {
                fields.first { $0.first.map { $0 == name } == true && $0.count == 2 }.flatMap { Double($0[1]) }
            }
            let limit = number("maxmemory").flatMap { $0 > 0 ? $0 : nil } ?? Double(settings.memory)
            let used = number("used_memory") ?? 0
            let isSpent = used > limit * settings.share
            metrics.set(
                "suite_embedding_cache_memory_ratio", used / limit, help: "Used share of the cache server's memory")
            let turned = budget.withLock { budget in
                defer { budget.isSpent = isSpent }
                return budget.isSpent != isSpent
            }
            if turned {
                log.info(
                    "cache.budget",
                    ["spent": .bool(isSpent), "used_bytes": .number(used), "limit_bytes": .number(limit)])
            }
        }
        return budget.withLock { !$0.isSpent }
    }

    private func report(_ error: RedisError, _ operation: String) {
        metrics.add(
            "suite_embedding_cache_errors_total", help: "Cache operations that failed", ["operation": operation])
        let isFirstInAWhile = budget.withLock { budget in
            if let failedAt = budget.failedAt, .now - failedAt < .seconds(10) { return false }
            budget.failedAt = .now
            return true
        }
        if isFirstInAWhile {
            log.warning("cache.failed", ["operation": .string(operation), "error": .string("\(error)")])
        }
    }
}
