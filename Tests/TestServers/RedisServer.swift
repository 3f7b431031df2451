import Foundation
import Glibc
import Synchronization

/// A Redis of the tests' own, as the suite asks for it: append-only file, no eviction.
package final class RedisServer: Sendable {
    package let port: Int
    /// `redis://127.0.0.1:port`
    package let url: String
    private let folder: TemporaryFolder?
    private let options: [String]
    private let process = Mutex<ServerProcess?>(nil)
    private let nextDatabase = Mutex(1)

    private static let sharedServer = Task {
        if let url = ProcessInfo.processInfo.environment["TEST_REDIS_URL"], !url.isEmpty {
            return RedisServer(outside: url)
        }
        return try await RedisServer()
    }
    /// One server for all tests of the process; take a `createDatabase()` each. Nobody stops, flushes or fills this one.
    package static func shared() async throws -> RedisServer { try await sharedServer.value }

    private init(outside url: String) {
        self.url = url
        port = URL(string: url)?.port ?? 6379
        folder = nil
        options = []
    }

    /// A server for one test alone (it starts in 40 ms); `options` are added, for example `["--maxmemory-policy", "allkeys-lru"]`.
    package init(options: [String] = []) async throws {
        port = freePort()
        url = "redis://127.0.0.1:\(port)"
        folder = try TemporaryFolder("redis")
        self.options = options
        try await start()
    }

    deinit { process.withLock { $0 }?.end() }

    /// The URL of an empty database of this server. (Somebody else's server has 16: they come round again, emptied.)
    package func createDatabase() async throws -> String {
        let number = nextDatabase.withLock { next in
            defer { next = folder == nil ? next % 15 + 1 : next + 1 }
            return next
        }
        if folder == nil { try await command("-n", "\(number)", "FLUSHDB") }
        return url + "/\(number)"
    }

    /// Everything is lost, as when its disk was.
    package func flush() async throws { try await command("FLUSHALL") }

    /// A command from outside, by redis-cli.
    package func command(_ arguments: String...) async throws {
        let (folder, url) = (folder, url)
        try await offThePool {
            try ServerProcess.run(["redis-cli", "-u", url] + arguments, in: try folder ?? TemporaryFolder("redis-cli"))
        }
    }

    // MARK: - Faults

    /// Starts it again on the same port and data; returns when it answers.
    package func start() async throws {
        guard let folder else { throw ServerError("TEST_REDIS_URL is not ours to start") }
        let (port, url, options) = (port, url, options)
        let process = try await offThePool {
            let log = "\(folder.path)/redis.log"
            let process = try ServerProcess(
                [
                    "redis-server", "--port", "\(port)", "--bind", "127.0.0.1", "--dir", folder.path, "--appendonly",
                    "yes",
                    "--appendfsync", "everysec", "--save", "", "--databases", "10000", "--maxmemory", "256mb",
                    "--maxmemory-policy", "noeviction", "--enable-debug-command", "local", "--daemonize", "no",
                    "--loglevel", "warning",
                ] + options, log: log)
            while process.isRunning {
                let out = "\(folder.path)/ping"
                defer { unlink(out) }
                _ = try ServerProcess(["redis-cli", "-u", url, "PING"], log: out).waitUntilExit()
                if try String(contentsOfFile: out, encoding: .utf8).hasPrefix("PONG") { return process }
                usleep(5_000)
            }
            throw ServerError("redis: \(try String(contentsOfFile: log, encoding: .utf8).suffix(2000))")
        }
        self.process.withLock { $0 = process }
    }

    package func stop() async throws { try await end(SIGTERM) }
    package func kill() async throws { try await end(SIGKILL) }

    package func restart() async throws {
        try await stop()
        try await start()
    }

    /// Hangs without closing a connection (SIGSTOP), until `resume()`.
    package func pause() throws { try running().signal(SIGSTOP) }
    package func resume() throws { try running().signal(SIGCONT) }

    private func end(_ signal: Int32) async throws {
        let process = try running()
        try await offThePool {
            process.signal(signal)
            process.waitUntilExit()
        }
    }

    private func running() throws -> ServerProcess {
        guard let process = process.withLock({ $0 }) else { throw ServerError("TEST_REDIS_URL is not ours to stop") }
        return process
    }
}
