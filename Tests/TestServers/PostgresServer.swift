import Foundation
import Glibc
import Synchronization

/// A PostgreSQL of the tests' own. Databases belong to the role `suite`, which is not a superuser (row-level security holds
/// for it); over TCP passwords are asked for, so that wrong ones can be told from right ones.
package final class PostgresServer: Sendable {
    package let port: Int
    /// `nil` when it is somebody else's (`TEST_DATABASE_URL`).
    private let own: Own?
    private let outside: String?
    private struct Own: Sendable {
        let folder: TemporaryFolder
        let data: String
        let binaries: String
        let process: Cell
    }
    private final class Cell: Sendable { let current = Mutex<ServerProcess?>(nil) }

    private static let sharedServer = Task {
        if let url = ProcessInfo.processInfo.environment["TEST_DATABASE_URL"], !url.isEmpty {
            return PostgresServer(outside: url)
        }
        return try await PostgresServer()
    }
    /// One server for all tests of the process; take a database each. Nobody stops this one.
    package static func shared() async throws -> PostgresServer { try await sharedServer.value }

    private init(outside url: String) {
        outside = url
        own = nil
        port = URL(string: url)?.port ?? 5432
    }

    /// A server for one test alone, which may stop and kill it.
    package init() async throws {
        let port = freePort()
        self.port = port
        outside = nil
        let own = try await offThePool {
            let folder = try TemporaryFolder("pg")
            let home = try folder.makeFolder("pg", ownedBy: "postgres")
            let own = Own(folder: folder, data: "\(home)/data", binaries: try Self.binaries(), process: Cell())
            try "postgres\n".write(toFile: "\(folder.path)/password", atomically: false, encoding: .utf8)
            guard chmod("\(folder.path)/password", 0o644) == 0 else { throw ServerError("chmod") }
            try ServerProcess.run(
                [
                    "\(own.binaries)/initdb", "-D", own.data, "-U", "postgres", "--auth=scram-sha-256",
                    "--pwfile=\(folder.path)/password", "--no-sync", "--locale=C.UTF-8", "-E", "UTF8",
                ], as: "postgres", in: folder)
            return own
        }
        self.own = own
        try await start()
        try await execute("CREATE ROLE suite LOGIN PASSWORD 'suite' NOSUPERUSER")
    }

    deinit { own?.process.current.withLock { $0 }?.end() }

    // MARK: - Databases

    /// A new empty database; the URL connects as its owner.
    package func createDatabase(_ purpose: String = "test") async throws -> String {
        let name = "\(purpose)_\(UUID().uuidString.prefix(8).lowercased())"
        try await execute("CREATE DATABASE \(name)\(own == nil ? "" : " OWNER suite")")
        return url(of: name)
    }

    /// `postgresql://suite:suite@127.0.0.1:port/name`
    package func url(of database: String, user: String = "suite", password: String = "suite") -> String {
        guard let outside, var parts = URLComponents(string: outside) else {
            return "postgresql://\(user):\(password)@127.0.0.1:\(port)/\(database)"
        }
        parts.path = "/\(database)"
        return parts.string ?? outside
    }

    /// As superuser (or as the role of `TEST_DATABASE_URL`), by psql: for what a test must do from outside.
    package func execute(_ sql: String, in database: String? = nil) async throws {
        let (own, outside) = (own, outside)
        let target = outside ?? url(of: database ?? "postgres", user: "postgres", password: "postgres")
        try await offThePool {
            let folder = try own?.folder ?? TemporaryFolder("psql")
            try ServerProcess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, target], in: folder)
        }
    }

    // MARK: - Faults

    /// Starts it again on the same port and data; returns when it answers.
    package func start() async throws {
        guard let own else { throw ServerError("TEST_DATABASE_URL is not ours to start") }
        let port = port
        try await offThePool {
            let log = "\(own.folder.path)/postgres.log"
            let deadline = Date(timeIntervalSinceNow: 30)
            while true {
                let process = try ServerProcess(
                    [
                        "\(own.binaries)/postgres", "-D", own.data, "-p", "\(port)", "-c", "unix_socket_directories=",
                        "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300", "-c", "fsync=off",
                        "-c", "full_page_writes=off", "-c", "shared_buffers=64MB",
                    ], as: "postgres", log: log, endSignal: SIGQUIT)
                own.process.current.withLock { $0 = process }
                while process.isRunning {
                    if (try? ServerProcess.run(
                        ["\(own.binaries)/pg_isready", "-q", "-h", "127.0.0.1", "-p", "\(port)"], in: own.folder))
                        != nil
                    {
                        return
                    }
                    usleep(10_000)
                }
                // The children of a killed postmaster need a moment to notice.
                guard Date() < deadline else {
                    throw ServerError("postgres: \(try String(contentsOfFile: log, encoding: .utf8).suffix(2000))")
                }
                usleep(50_000)
            }
        }
    }

    /// Cuts connections, writes everything down (SIGINT).
    package func stop() async throws { try await end(SIGINT) }

    /// As a power cut of the process: SIGKILL, recovery at the next start.
    package func kill() async throws { try await end(SIGKILL) }

    package func restart() async throws {
        try await stop()
        try await start()
    }

    private func end(_ signal: Int32) async throws {
        guard let process = own?.process.current.withLock({ $0 }) else {
            throw ServerError("TEST_DATABASE_URL is not ours to stop")
        }
        try await offThePool {
            process.signal(signal)
            process.waitUntilExit()
        }
    }

    /// Debian keeps the server's programs out of PATH.
    private static func binaries() throws -> String {
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        let newest = versions.compactMap(Int.init).sorted(by: >).map { "/usr/lib/postgresql/\($0)/bin" }
        let path = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        guard let found = (newest + path).first(where: { access("\($0)/postgres", X_OK) == 0 }) else {
            throw ServerError("no PostgreSQL server on this machine: make setup")
        }
        return found
    }
}
