import Foundation
import Glibc
import Synchronization

/// Why a server of the tests did not start, with what it printed.
package struct ServerError: Error, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}

/// One program started for the tests: in a session of its own (Ctrl-C does not reach it), ended by the kernel when this
/// process ends.
package final class ServerProcess: Sendable {
    package let processID: pid_t
    private let exited = Mutex<Int32?>(nil)
    private let endSignal: Int32

    /// As root the program runs as `user`. Its output goes to `log`. `endSignal` ends it at once, its children too.
    package init(_ arguments: [String], as user: String? = nil, log: String, endSignal: Int32 = SIGKILL) throws {
        self.endSignal = endSignal
        var command = ["setpriv", "--pdeathsig", endSignal == SIGQUIT ? "QUIT" : "KILL"]
        if let user, getuid() == 0 { command += ["--reuid=\(user)", "--regid=\(user)", "--init-groups"] }
        processID = try Launcher.shared.spawn(command + ["--"] + arguments, log: log)
        AtExit.run { [weak self] in self?.end() }
    }

    /// Blocks until it is gone, so that its folder can be removed.
    func end() {
        signal(SIGCONT)
        signal(endSignal)
        waitUntilExit(limit: 2)
    }

    package func signal(_ number: Int32) {
        exited.withLock { status in
            if status == nil { Glibc.kill(processID, number) }  // a process not yet waited for keeps its id
        }
    }

    package var isRunning: Bool { poll() == nil }

    private func poll() -> Int32? {
        exited.withLock { status in
            if status == nil {
                var word: Int32 = 0
                if waitpid(processID, &word, WNOHANG) == processID { status = word }
            }
            return status
        }
    }

    /// Blocks. Ends the process the hard way when it has not gone by itself within `limit`. Answers whether it exited with 0.
    @discardableResult
    package func waitUntilExit(limit: TimeInterval = 10) -> Bool {
        let deadline = Date(timeIntervalSinceNow: limit)
        while true {
            if let status = poll() { return status == 0 }
            if Date() > deadline { signal(SIGKILL) }
            usleep(2_000)
        }
    }

    /// Runs a short program to its end. Throws: with its output when it failed.
    package static func run(_ arguments: [String], as user: String? = nil, in folder: TemporaryFolder) throws {
        let log = "\(folder.path)/\(UUID().uuidString.prefix(8)).out"
        defer { unlink(log) }
        guard try ServerProcess(arguments, as: user, log: log).waitUntilExit(limit: 60) else {
            throw ServerError(
                "\(arguments.joined(separator: " ")): \(try String(contentsOfFile: log, encoding: .utf8))")
        }
    }
}

/// Starts every process from one thread that lives as long as the test process: the kernel's parent-death signal is sent
/// when the *thread* that started a process ends.
private final class Launcher: Sendable {
    static let shared = Launcher()
    private struct Order: Sendable {
        var arguments: [String]
        var log: String
        var answer: @Sendable (Result<pid_t, ServerError>) -> Void
    }
    private let orders = Mutex<[Order]>([])
    private let arrived = DispatchSemaphore(value: 0)

    private init() {
        let thread = Thread { [self] in
            while true {
                arrived.wait()
                guard let order = orders.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else { continue }
                order.answer(Self.start(order))
            }
        }
        thread.name = "test-servers"
        thread.start()
    }

    func spawn(_ arguments: [String], log: String) throws -> pid_t {
        let done = DispatchSemaphore(value: 0)
        let result = SharedResult()
        orders.withLock {
            $0.append(
                Order(arguments: arguments, log: log) { outcome in
                    result.value.withLock { $0 = outcome }
                    done.signal()
                })
        }
        arrived.signal()
        done.wait()
        return try result.value.withLock { $0 }!.get()
    }

    private final class SharedResult: Sendable { let value = Mutex<Result<pid_t, ServerError>?>(nil) }

    private static func start(_ order: Order) -> Result<pid_t, ServerError> {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, order.log, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        let newSession: Int32 = 0x80  // POSIX_SPAWN_SETSID, which Swift does not import
        posix_spawnattr_setflags(&attributes, Int16(newSession | Int32(POSIX_SPAWN_SETSIGMASK)))

        var arguments = order.arguments.map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        var processID: pid_t = 0
        let code = posix_spawnp(&processID, order.arguments[0], &actions, &attributes, &arguments, environ)
        guard code == 0 else {
            return .failure(ServerError("cannot start \(order.arguments[0]): \(String(cString: strerror(code)))"))
        }
        return .success(processID)
    }
}

/// Actions for the normal end of the process. (After a crash the kernel ends the servers, and the next run removes their folders.)
enum AtExit {
    private static let actions = Mutex<[@Sendable () -> Void]>([])
    private static let registered: Void = {
        atexit { AtExit.actions.withLock { $0 }.reversed().forEach { $0() } }
    }()

    static func run(_ action: @escaping @Sendable () -> Void) {
        _ = registered
        actions.withLock { $0.append(action) }
    }
}

/// Blocking work off Swift's thread pool.
func offThePool<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global().async { continuation.resume(with: Result(catching: work)) }
    }
}

/// A port nobody listens on, given once: below those that the kernel gives to outgoing connections (`ip_local_port_range`,
/// from 32768), which else take the port of a server while it starts or restarts, or connect to themselves there.
package func freePort() -> Int {
    while true {
        let port = nextPort.withLock { next in
            next = next == 32_767 ? 10_000 : next + 1
            return next
        }
        if isFree(port) { return port }
    }
}

private let nextPort = Mutex(Int.random(in: 10_000..<32_768))

private func isFree(_ port: Int) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    address.sin_port = in_port_t(port).bigEndian
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
}
