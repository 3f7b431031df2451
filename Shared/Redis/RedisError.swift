import ServiceRuntime

/// What can go wrong with Redis. No description holds a password, a URL with one, or an argument of a command.
package enum RedisError: RetryableError, Equatable {
    case invalidURL(reason: String)
    /// The command was never sent.
    case connectionFailed(reason: String)
    /// The command was sent and its reply never came: it may or may not have been executed. Never sent again by this module.
    case connectionLost(reason: String)
    /// No byte of the reply within the time limit; executed or not, as with `connectionLost`.
    case timedOut
    /// The server refused the command: `NOSCRIPT ...`, `OOM ...`, `WRONGTYPE ...`.
    case server(message: String)
    case unexpectedReply(to: String)
    /// More commands are waiting than the limit allows.
    case overloaded(pending: Int)
    case closed
    /// The server may throw away queued work when its memory is full.
    case evictingPolicy(String)
    /// The queue's scripts need version 7.
    case tooOld(version: String)

    /// Worth trying again: as it is when the command may run twice, else after a look at what happened.
    package var isRetryable: Bool {
        switch self {
        case .connectionFailed, .connectionLost, .timedOut, .overloaded: true
        case .server(let message):
            ["LOADING", "BUSY ", "OOM ", "TRYAGAIN", "MASTERDOWN", "CLUSTERDOWN", "READONLY"].contains {
                message.hasPrefix($0)
            }
        default: false
        }
    }
    /// Refused because memory is full; the command had no effect.
    package var isOutOfMemory: Bool {
        if case .server(let message) = self { RedisValue.error(message).isOutOfMemory } else { false }
    }
    /// The command may have been executed although it failed.
    package var isAmbiguous: Bool {
        switch self {
        case .connectionLost, .timedOut: true
        default: false
        }
    }

    /// "ERR unknown command 'x', with args beginning with: ..." quotes what was sent: cut there.
    static func withoutArguments(_ message: String) -> String {
        guard let cut = message.firstRange(of: ", with args") else { return message }
        return String(message[..<cut.lowerBound])
    }
}

extension RedisValue {
    package var isOutOfMemory: Bool {
        guard case .error(let message) = self else { return false }
        return message.hasPrefix("OOM ") || message.hasPrefix("EXECABORT") || message.contains("-OOM ")
    }
}

extension RedisError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .invalidURL(let reason): "the Redis URL is not usable: \(reason)"
        case .connectionFailed(let reason): "no connection to Redis: \(reason)"
        case .connectionLost(let reason): "the connection to Redis was lost while a command was in flight: \(reason)"
        case .timedOut: "Redis did not answer in time"
        case .server(let message): "Redis refused a command: \(message)"
        case .unexpectedReply(let command): "Redis answered \(command) with something unexpected"
        case .overloaded(let pending): "\(pending) commands are already waiting for Redis"
        case .tooOld(let version): "Redis \(version) is too old for the queues: 7 or later"
        case .closed: "the connection to Redis has been closed"
        case .evictingPolicy(let policy):
            "Redis has maxmemory-policy \(policy), which throws queued work away: set noeviction (or move the queues to a server that has it)"
        }
    }
}
