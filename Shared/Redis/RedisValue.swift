/// A reply (RESP 2).
package enum RedisValue: Sendable, Equatable {
    case null
    case integer(Int64)
    case simple(String)
    case bulk([UInt8])
    case array([RedisValue])
    /// Only inside pipelines and arrays: a single command throws it as `RedisError.server`.
    case error(String)
}

extension RedisValue {
    package var isNull: Bool { self == .null }
    package var integer: Int64? {
        switch self {
        case .integer(let value): value
        case .bulk(let bytes): Int64(String(decoding: bytes, as: UTF8.self))
        default: nil
        }
    }
    package var string: String? {
        switch self {
        case .bulk(let bytes): String(decoding: bytes, as: UTF8.self)
        case .simple(let text): text
        default: nil
        }
    }
    package var bytes: [UInt8]? { if case .bulk(let bytes) = self { bytes } else { nil } }
    package var array: [RedisValue]? { if case .array(let values) = self { values } else { nil } }

    /// The value, or the server's error thrown.
    package func get() throws(RedisError) -> RedisValue {
        if case .error(let message) = self { throw .server(message: message) }
        return self
    }
}
