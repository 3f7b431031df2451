import Foundation
import Synchronization
import Testing

@testable import HTTPServer

/// A socket that says exactly what a test tells it to. Blocks on threads of its own.
struct RawClient: Sendable {
    let file: Int32

    init(host: String = "127.0.0.1", port: Int) throws {
        file = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr(host)
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(file, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            Glibc.close(file)
            throw Failure.refused
        }
    }

    enum Failure: Error { case refused, timedOut, reset }

    func send(_ text: String) async throws { try await send(Array(text.utf8)) }
    func send(_ bytes: [UInt8]) async throws {
        try await onThread {
            var sent = 0
            while sent < bytes.count {
                let count = bytes.withUnsafeBytes {
                    Glibc.send(file, $0.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { throw Failure.reset }
                sent += count
            }
        }
    }

    /// Everything until the server closes.
    func all() async throws -> String { try await receive(until: nil) }
    /// What has come when it holds `text` (`times` times) or the server has closed.
    func until(_ text: String, times: Int = 1) async throws -> String {
        try await receive(until: { $0.components(separatedBy: text).count > times })
    }

    func receive(until enough: (@Sendable (String) -> Bool)?) async throws -> String {
        try await onThread {
            var bytes: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = recv(file, &buffer, buffer.count, 0)
                if count < 0, errno == EAGAIN { throw Failure.timedOut }
                if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
                bytes += buffer[0..<count]
                if let enough, enough(String(decoding: bytes, as: UTF8.self)) {
                    return String(decoding: bytes, as: UTF8.self)
                }
            }
        }
    }

    /// Whether the server has closed: nothing more comes, not even time passes.
    func isClosed() async throws -> Bool {
        try await onThread {
            var byte: UInt8 = 0
            return recv(file, &byte, 1, 0) <= 0 && errno != EAGAIN
        }
    }

    func endSending() { shutdown(file, Int32(SHUT_WR)) }
    func close() { Glibc.close(file) }
    /// Closes with a reset.
    func abort() {
        var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
        setsockopt(file, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        Glibc.close(file)
    }

    private func onThread<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result(catching: work)) }
        }
    }
}

extension String {
    /// The status codes of the answers in it, in order.
    var statuses: [Int] {
        components(separatedBy: "HTTP/1.1 ").dropFirst().compactMap { Int($0.prefix(3)) }
    }
}

/// Something that happens once and is waited for.
final class Signal: Sendable {
    private let state = Mutex<(fired: Bool, waiters: [CheckedContinuation<Void, Never>])>((false, []))
    func fire() {
        let waiters = state.withLock { state in
            state.fired = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
    var hasFired: Bool { state.withLock { $0.fired } }
    func wait() async {
        await withCheckedContinuation { continuation in
            let fired = state.withLock { state in
                if !state.fired { state.waiters.append(continuation) }
                return state.fired
            }
            if fired { continuation.resume() }
        }
    }
}
