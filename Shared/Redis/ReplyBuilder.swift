import CHiredis

/// Makes hiredis' reader build `RedisValue`s itself: each reply's bytes are copied once, from the read buffer into the array
/// that the caller gets.
///
/// The reader hands back the root object only. A leaf inside an array goes straight into its parent; what is returned for it
/// is never looked at, but must not be NULL.
final class ReplyBuilder {
    private enum Child { case value(RedisValue), array(ReplyBuilder) }
    private var children: [Child] = []
    private var leaf: RedisValue?

    private init() {}

    private var value: RedisValue {
        if let leaf { return leaf }
        return .array(
            children.map { child in
                switch child {
                case .value(let value): value
                case .array(let node): node.value
                }
            })
    }

    /// Takes the object that `redisReaderGetReply` returned.
    static func take(_ object: UnsafeMutableRawPointer) -> RedisValue {
        Unmanaged<ReplyBuilder>.fromOpaque(object).takeRetainedValue().value
    }

    private typealias ReadTask = UnsafePointer<redisReadTask>

    private static func parent(of task: ReadTask?) -> ReplyBuilder? {
        guard let object = task?.pointee.parent?.pointee.obj else { return nil }
        return Unmanaged<ReplyBuilder>.fromOpaque(object).takeUnretainedValue()
    }

    private static func add(_ value: RedisValue, _ task: ReadTask?) -> UnsafeMutableRawPointer? {
        if let parent = parent(of: task) {
            parent.children.append(.value(value))
            return task?.pointee.parent?.pointee.obj
        }
        let root = ReplyBuilder()
        root.leaf = value
        return Unmanaged.passRetained(root).toOpaque()
    }

    /// Never changed and never freed: every reader of the process points to it.
    nonisolated(unsafe) static let functions: UnsafeMutablePointer<redisReplyObjectFunctions> = {
        let functions = UnsafeMutablePointer<redisReplyObjectFunctions>.allocate(capacity: 1)
        functions.initialize(
            to: redisReplyObjectFunctions(
                createString: { task, text, length in
                    let bytes = UnsafeRawBufferPointer(start: text, count: length)
                    let value: RedisValue =
                        switch task?.pointee.type {
                        case REDIS_REPLY_STATUS: .simple(String(decoding: bytes, as: UTF8.self))
                        case REDIS_REPLY_ERROR:
                            .error(RedisError.withoutArguments(String(decoding: bytes, as: UTF8.self)))
                        default: .bulk([UInt8](bytes))
                        }
                    return ReplyBuilder.add(value, task)
                },
                createArray: { task, count in
                    let node = ReplyBuilder()
                    node.children.reserveCapacity(Int(count))
                    guard let parent = ReplyBuilder.parent(of: task) else {
                        return Unmanaged.passRetained(node).toOpaque()
                    }
                    parent.children.append(.array(node))
                    return Unmanaged.passUnretained(node).toOpaque()
                },
                createInteger: { task, number in ReplyBuilder.add(.integer(Int64(number)), task) },
                createNil: { task in ReplyBuilder.add(.null, task) },
                freeObject: { object in
                    if let object { Unmanaged<ReplyBuilder>.fromOpaque(object).release() }
                }))
        return functions
    }()
}
