import CHiredis
import Foundation
import Synchronization

/// One connection to a server, used by one thread.
///
/// Requests are written straight from the callers' arrays (a body of half a megabyte is not copied); replies are parsed by
/// hiredis' reader.
struct RedisSession: ~Copyable {
    private let context: UnsafeMutablePointer<redisContext>
    private let descriptor: SharedDescriptor
    private var output: [UInt8] = []
    private var input = [UInt8](repeating: 0, count: 1 << 18)
    private var timeout: Duration
    /// Arguments from this size on are written from where they are.
    private static let largeArgument = 1 << 14

    private init(adopting context: UnsafeMutablePointer<redisContext>, timeout: Duration, descriptor: SharedDescriptor)
    {
        self.context = context
        self.timeout = timeout
        self.descriptor = descriptor
        context.pointee.reader.pointee.fn = ReplyBuilder.functions
        // kept between replies, not freed and faulted in again for each body
        context.pointee.reader.pointee.maxbuf = 4 << 20
    }

    /// Connects, authenticates, selects the database, and refuses a server that is still loading.
    static func connect(
        _ url: RedisURL, timeout: Duration, descriptor: SharedDescriptor
    ) throws(RedisError) -> RedisSession {
        let opened =
            switch url.address {
            case .tcp(let host, let port): redisConnectWithTimeout(host, port, timeval(timeout))
            case .unix(let path): redisConnectUnixWithTimeout(path, timeval(timeout))
            }
        guard let opened else { throw .connectionFailed(reason: "out of memory") }
        var session = RedisSession(adopting: opened, timeout: timeout, descriptor: descriptor)
        guard opened.pointee.err == 0 else { throw .connectionFailed(reason: message(of: opened)) }
        try session.greet(url)
        return session
    }

    private mutating func greet(_ url: RedisURL) throws(RedisError) {
        descriptor.set(context.pointee.fd)
        redisSetTimeout(context, timeval(timeout))
        redisEnableKeepAlive(context)
        var greeting: [[RedisArgument]] = []
        if let password = url.password {
            greeting.append(["AUTH"] + (url.user.map { [RedisArgument($0)] } ?? []) + [RedisArgument(password)])
        }
        if url.database != 0 { greeting.append(["SELECT", RedisArgument(url.database)]) }
        greeting.append(["PING"])
        do throws(RedisError) {
            try write(greeting)
            for _ in greeting {
                if case .error(let message) = try read() { throw .connectionFailed(reason: message) }
            }
        } catch {
            if case .connectionFailed = error { throw error }
            throw .connectionFailed(reason: "\(error)")
        }
    }

    deinit {
        descriptor.set(nil)
        redisFree(context)
    }

    /// False when the server has ended the connection. Only between pipelines, when no byte is due.
    var isAlive: Bool {
        var byte: UInt8 = 0
        let count = recv(context.pointee.fd, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        return count < 0 && errno == EAGAIN
    }

    /// How long the socket may be silent.
    mutating func setTimeout(_ value: Duration) {
        guard value != timeout else { return }
        timeout = value
        redisSetTimeout(context, timeval(value))
    }

    mutating func write(_ commands: [[RedisArgument]]) throws(RedisError) {
        for command in commands {
            append(UInt8(ascii: "*"), command.count)
            for argument in command {
                switch argument.content {
                case .text(var text):
                    append(UInt8(ascii: "$"), text.utf8.count)
                    text.withUTF8 { output.append(contentsOf: $0) }
                case .bytes(let bytes):
                    append(UInt8(ascii: "$"), bytes.count)
                    if bytes.count >= Self.largeArgument {
                        try flush(more: true)
                        try bytes.withUnsafeBufferPointer { (buffer) throws(RedisError) in
                            try send(UnsafeRawBufferPointer(buffer), more: true)
                        }
                    } else {
                        output.append(contentsOf: bytes)
                    }
                }
                output.append(13)
                output.append(10)
            }
            if output.count > 1 << 18 { try flush(more: true) }
        }
        try flush(more: false)
    }

    mutating func read() throws(RedisError) -> RedisValue {
        while true {
            var reply: UnsafeMutableRawPointer?
            guard redisReaderGetReply(context.pointee.reader, &reply) == REDIS_OK else {
                throw .connectionLost(reason: "the reply is not in Redis' protocol")
            }
            if let reply { return ReplyBuilder.take(reply) }
            try receive()
        }
    }

    private mutating func receive() throws(RedisError) {
        let fd = context.pointee.fd
        let count = input.withUnsafeMutableBytes { buffer in
            var count: Int
            repeat { count = recv(fd, buffer.baseAddress, buffer.count, 0) } while count < 0 && errno == EINTR
            return count
        }
        if count < 0 { throw errno == EAGAIN ? .timedOut : .connectionLost(reason: String(cString: strerror(errno))) }
        if count == 0 { throw .connectionLost(reason: "closed by the server") }
        let fed = input.withUnsafeBytes { buffer in
            redisReaderFeed(context.pointee.reader, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), count)
        }
        guard fed == REDIS_OK else { throw .connectionLost(reason: "out of memory") }
    }

    private mutating func append(_ kind: UInt8, _ number: Int) {
        output.append(kind)
        output.append(contentsOf: String(number).utf8)
        output.append(13)
        output.append(10)
    }

    private mutating func flush(more: Bool) throws(RedisError) {
        guard !output.isEmpty else { return }
        try output.withUnsafeBufferPointer { (buffer) throws(RedisError) in
            try send(UnsafeRawBufferPointer(buffer), more: more)
        }
        output.removeAll(keepingCapacity: output.capacity <= 1 << 20)
    }

    private func send(_ buffer: UnsafeRawBufferPointer, more: Bool) throws(RedisError) {
        var rest = buffer[...]
        let flags = Int32(MSG_NOSIGNAL) | (more ? Int32(MSG_MORE) : 0)
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest)
            let count = Foundation.send(context.pointee.fd, part.baseAddress, part.count, flags)
            if count < 0 {
                if errno == EINTR { continue }
                throw errno == EAGAIN ? .timedOut : .connectionLost(reason: String(cString: strerror(errno)))
            }
            rest = rest.dropFirst(count)
        }
    }

    private static func message(of context: UnsafeMutablePointer<redisContext>) -> String {
        withUnsafeBytes(of: context.pointee.errstr) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}

/// The socket of a session, so that another thread can wake a read that waits: `interrupt` makes it fail.
final class SharedDescriptor: Sendable {
    private let value = Mutex<Int32?>(nil)
    func set(_ descriptor: Int32?) { value.withLock { $0 = descriptor } }
    func interrupt() { value.withLock { if let descriptor = $0 { _ = shutdown(descriptor, Int32(SHUT_RDWR)) } } }
}

private func timeval(_ duration: Duration) -> Foundation.timeval {
    let (seconds, attoseconds) = duration.components
    return Foundation.timeval(
        tv_sec: Int(seconds), tv_usec: max(Int(attoseconds / 1_000_000_000_000), seconds == 0 ? 1 : 0))
}
