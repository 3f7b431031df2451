import Redis
import Resilience
import ServiceRuntime
import Synchronization

/// Vectors in Redis, raw little-endian float32 under a time limit. A cache: it may fail, be full or be wiped at any moment,
/// and costs money, not results.
///
/// Past `share` of the server's memory only vectors in flight are kept: for minutes instead of days, so that a crash still
/// does not pay twice. What the server did not take stays in this process until it does: work that cannot be handed on without
/// that server comes back, and is not paid again.
final class EmbeddingCache: Sendable {
    struct Settings: Sendable {
        var lifetime: Duration = .seconds(30 * 86_400)
        var lifetimeInFlight: Duration = .seconds(900)
        /// Of `maxmemory`, past which nothing is kept for long.
        var share = 0.7
        /// Units: bytes. Stands in for `maxmemory` where the server has none.
        var memory = 2 << 30
        /// How long a server that does not answer is waited for, where nobody waits for the vectors.
        var patience: Duration = .seconds(30)
        /// Units: bytes. Of what the server did not take; past this it may be paid again.
        var unsavedMemory = 64 << 20
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
    /// Since when no read has succeeded.
    private let unreadableSince = Mutex<ContinuousClock.Instant?>(nil)
    private let unsaved = Mutex<[[UInt8]: [Float]]>([:])
    /// How many of them go along with other vectors.
    private static let savedAtOnce = 512

    init(redis: RedisConnection, settings: Settings = Settings(), metrics: Metrics, log: Log) {
        self.redis = redis
        self.settings = settings
        self.metrics = metrics
        self.log = log
    }

    /// Only a vector of the expected size counts; anything else under a key is a miss. So is everything while the server does not
    /// answer; with `waits` only after `patience`, or when that says no.
    func vectors(
        _ keys: [CacheKey], prefix: [UInt8], dimensions: Int, waits: () async -> Bool = { false }
    ) async -> [[Float]?] {
        guard !keys.isEmpty else { return [] }
        let names = keys.map { $0.redisKey(prefix: prefix) }
        var found = unsaved.withLock { unsaved in names.map { unsaved.isEmpty ? nil : unsaved[$0] } }
        let missing = found.indices.filter { found[$0] == nil }
        if missing.isEmpty { return found }
        let command = [RedisArgument("MGET")] + missing.map { RedisArgument(names[$0]) }
        let backoff = Backoff(base: .milliseconds(50), cap: .seconds(1), attempts: .max)
        var failures = 0
        while true {
            do {
                let values = try await redis.send(command).array ?? []
                unreadableSince.withLock { $0 = nil }
                guard values.count == missing.count else { return found }
                for (index, value) in zip(missing, values) {
                    found[index] = value.bytes.flatMap { Self.floats($0, count: dimensions) }
                }
                return found
            } catch {
                report(error, "read")
                failures += 1
                guard error.isRetryable, isWorthWaiting, await waits() else { return found }
                try? await Task.sleep(for: backoff.delay(afterFailures: failures) ?? .zero)
            }
        }
    }

    private var isWorthWaiting: Bool {
        unreadableSince.withLock { since in
            let begun = since ?? .now
            since = begun
            return .now - begun < settings.patience
        }
    }

    func store(_ vectors: [(key: CacheKey, vector: [Float])], prefix: [UInt8]) async {
        guard !vectors.isEmpty else { return }
        let lifetime = await hasRoom() ? settings.lifetime : settings.lifetimeInFlight
        let seconds = RedisArgument(Int(lifetime.components.seconds))
        let entries =
            vectors.map { (name: $0.redisKey(prefix: prefix), vector: $1) }
            + unsaved.withLock { $0.prefix(Self.savedAtOnce).map { (name: $0.key, vector: $0.value) } }
        let commands = entries.map { name, vector -> [RedisArgument] in
            ["SET", RedisArgument(name), RedisArgument(vector.withUnsafeBytes { Array($0) }), "EX", seconds]
        }
        do {
            let replies = try await redis.pipeline(commands)
            var refusal: RedisError?
            unsaved.withLock { unsaved in
                for (entry, reply) in zip(entries, replies) {
                    if case .error(let text) = reply {
                        refusal = .server(message: text)
                        keep(entry, in: &unsaved)
                    } else {
                        unsaved[entry.name] = nil
                    }
                }
            }
            if let refusal { report(refusal, "write") }
        } catch {
            unsaved.withLock { unsaved in for entry in entries { keep(entry, in: &unsaved) } }
            report(error, "write")
        }
    }

    /// Vectors of one provider are nearly all of one size: their number bounds their memory.
    private func keep(_ entry: (name: [UInt8], vector: [Float]), in unsaved: inout [[UInt8]: [Float]]) {
        let size = entry.name.count + entry.vector.count * MemoryLayout<Float>.stride + 128
        if unsaved.count * size < settings.unsavedMemory { unsaved[entry.name] = entry.vector }
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
