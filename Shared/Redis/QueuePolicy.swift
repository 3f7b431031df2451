import ServiceRuntime

/// Refuses a server that throws keys away when its memory is full. One that does not tell is used, with a warning.
///
/// Throws: `RedisError.evictingPolicy`, which trying again will not change, and connection errors, which are retryable.
package func checkQueuePolicy(of redis: RedisConnection, log: Log) async throws(RedisError) {
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
