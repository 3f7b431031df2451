import CEpoll
import Foundation
import ServiceRuntime
import Synchronization

/// What an event loop serves.
protocol EventLoopClient: AnyObject {
    func ready(_ id: UInt64, _ events: UInt32)
    /// Called about every `EventLoop.tick`.
    func tick()
    /// Whether the loop's thread may end.
    var isFinished: Bool { get }
}

/// One thread that waits for sockets and runs tasks: a handler runs on the loop of its connection without a thread change.
///
/// `@unchecked Sendable`: `inbox`, `threadID` and `ended` are synchronized; all else is touched by the loop's thread alone.
final class EventLoop: TaskExecutor, @unchecked Sendable {
    private struct Inbox {
        var jobs: [UnownedJob] = []
        var actions: [@Sendable () -> Void] = []
        var isAwake = false
    }
    private let epoll: Int32
    private let wakeup: Int32
    private let inbox = Mutex(Inbox())
    private let threadID = Atomic<UInt>(0)
    private var jobs: [UnownedJob] = []
    private var actions: [@Sendable () -> Void] = []
    private var nextTick: UInt64 = 0
    /// Units: ms, monotonic; set after each wait.
    private(set) var now: UInt64 = 0
    /// Requested when the thread has ended.
    let ended = Shutdown()
    private let tick: Duration

    static let wakeupID = UInt64.max
    static let listenerID = UInt64.max - 1

    init(tick: Duration) throws(HTTPServerError) {
        self.tick = tick
        epoll = epoll_open()
        wakeup = wakeup_open()
        guard epoll >= 0, wakeup >= 0, epoll_watch(epoll, wakeup, epoll_readable, Self.wakeupID) == 0 else {
            throw .system("cannot open an event loop")
        }
    }

    deinit {
        socket_close(wakeup)
        socket_close(epoll)
    }

    var isCurrent: Bool { threadID.load(ordering: .relaxed) == UInt(pthread_self()) }

    /// Runs `client` on a new thread until it is finished.
    func start(_ client: any EventLoopClient & Sendable) {
        let thread = Thread { [self] in
            run(client)
            ended.request()
        }
        thread.name = "event-loop"
        thread.stackSize = 4 << 20
        thread.start()
    }

    func watch(_ file: Int32, _ interest: UInt32, _ id: UInt64) -> Bool { epoll_watch(epoll, file, interest, id) == 0 }
    func unwatch(_ file: Int32) { _ = epoll_unwatch(epoll, file) }
    func rewatch(_ file: Int32, _ interest: UInt32, _ id: UInt64) { _ = epoll_rewatch(epoll, file, interest, id) }

    /// At once on the loop's own thread, soon from any other.
    func execute(_ action: @escaping @Sendable () -> Void) {
        if isCurrent { return action() }
        post { $0.actions.append(action) }
    }

    /// Like `execute`, and returns when it is done.
    func run(_ action: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            execute {
                action()
                continuation.resume()
            }
        }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if isCurrent {
            jobs.append(job)
        } else {
            post { $0.jobs.append(job) }
        }
    }

    private func post(_ add: (inout Inbox) -> Void) {
        let mustWake = inbox.withLock { inbox in
            add(&inbox)
            defer { inbox.isAwake = true }
            return !inbox.isAwake
        }
        if mustWake { wakeup_signal(wakeup) }
    }

    private func run(_ client: any EventLoopClient) {
        threadID.store(UInt(pthread_self()), ordering: .relaxed)
        defer { threadID.store(0, ordering: .relaxed) }
        now = monotonic_nanoseconds() / 1_000_000
        let interval = UInt64(max(1, tick.milliseconds))
        withUnsafeTemporaryAllocation(of: epoll_ready.self, capacity: 256) { ready in
            while true {
                runJobs()
                if client.isFinished, jobs.isEmpty { break }
                let wait = jobs.isEmpty ? Int32(clamping: Int64(nextTick) - Int64(now)) : 0
                let count = epoll_await(epoll, ready.baseAddress, 256, max(0, wait))
                now = monotonic_nanoseconds() / 1_000_000
                for index in 0..<max(0, Int(count)) {
                    if ready[index].id == Self.wakeupID {
                        wakeup_clear(wakeup)
                    } else {
                        client.ready(ready[index].id, ready[index].events)
                    }
                }
                if now >= nextTick {
                    nextTick = now + interval
                    client.tick()
                }
            }
        }
    }

    /// What is enqueued meanwhile waits for the next round, so that tasks cannot starve sockets.
    private func runJobs() {
        inbox.withLock { inbox in
            guard inbox.isAwake else { return }
            jobs += inbox.jobs
            actions += inbox.actions
            inbox.jobs.removeAll(keepingCapacity: true)
            inbox.actions.removeAll(keepingCapacity: true)
            inbox.isAwake = false
        }
        if !actions.isEmpty {
            let actions = actions
            self.actions = []
            for action in actions { action() }
        }
        if !jobs.isEmpty {
            let jobs = jobs
            self.jobs = []
            for job in jobs { job.runSynchronously(on: asUnownedTaskExecutor()) }
        }
    }
}

extension Duration {
    /// Units: whole milliseconds, rounded down.
    var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}

/// Why a server cannot run.
package enum HTTPServerError: Error, Equatable, CustomStringConvertible {
    case cannotListen(host: String, port: Int, reason: String)
    case system(String)
    package var description: String {
        switch self {
        case .cannotListen(let host, let port, let reason): "cannot listen on \(host):\(port): \(reason)"
        case .system(let reason): reason
        }
    }
}
