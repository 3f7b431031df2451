import ServiceRuntime

/// Refuses a server that throws keys away when its memory is full, or is older than 7 (the queue's scripts declare flags). One
/// that does not tell is used, with a warning.
///
/// Throws: `RedisError.evictingPolicy` and `.tooOld`, which trying again will not change, and connection errors, which are retryable.
package func checkQueuePolicy(of redis: RedisConnection, log: Log) async throws(RedisError) {
    if let information = (try? await redis.send("INFO", "server"))?.string,
        let line = information.split(whereSeparator: \.isNewline).first(where: { $0.hasPrefix("redis_version:") }),
        let major = line.split(separator: ":").last?.split(separator: ".").first.flatMap({ Int($0) }), major < 7
    {
        throw .tooOld(version: String(line.dropFirst("redis_version:".count)))
    }
    let policy: String?
    do throws(RedisError) {
        policy = try await redis.send("CONFIG", "GET", "maxmemory-policy").array?.last?.string
    } catch .server(let message) {
        log.warning("redis.policy_unknown", ["reason": .string(message)])
        return
    }
    guard let policy else { return log.warning("redis.policy_unknown") }
    if policy != "noeviction" { throw .evictingPolicy(policy) }
}
