import Synchronization

/// A Lua script, sent once to a server and then called by its hash.
package final class RedisScript: Sendable {
    package let source: String
    private let hash = Mutex<String?>(nil)

    package init(_ source: String) { self.source = source }

    func hash(from redis: RedisConnection, reload: Bool = false) async throws(RedisError) -> String {
        if !reload, let known = hash.withLock({ $0 }) { return known }
        guard let loaded = try await redis.send(["SCRIPT", "LOAD", RedisArgument(source)]).string else {
            throw .unexpectedReply(to: "SCRIPT LOAD")
        }
        hash.withLock { $0 = loaded }
        return loaded
    }

    static func command(_ hash: String, _ keys: [String], _ arguments: [RedisArgument]) -> [RedisArgument] {
        ["EVALSHA", RedisArgument(hash), RedisArgument(keys.count)] + keys.map { RedisArgument($0) } + arguments
    }
}

extension RedisConnection {
    /// Runs a script; loads it first where the server does not know it (yet, or any more).
    package func run(
        _ script: RedisScript, keys: [String], arguments: [RedisArgument] = []
    ) async throws(RedisError) -> RedisValue {
        try await pipeline([], then: script, keys: keys, arguments: arguments).result
    }

    /// Commands and then a script in one round trip. The commands' errors are values; the script's is thrown.
    package func pipeline(
        _ commands: [[RedisArgument]], then script: RedisScript, keys: [String], arguments: [RedisArgument]
    ) async throws(RedisError) -> (replies: [RedisValue], result: RedisValue) {
        let hash = try await script.hash(from: self)
        var replies = try await pipeline(commands + [RedisScript.command(hash, keys, arguments)])
        var result = replies.removeLast()
        if case .error(let message) = result, message.hasPrefix("NOSCRIPT") {
            let hash = try await script.hash(from: self, reload: true)
            result = try await send(RedisScript.command(hash, keys, arguments))
        }
        return (replies, try result.get())
    }
}
