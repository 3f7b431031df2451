import Foundation
import Synchronization

/// A thread of its own for an actor whose work blocks in a C library: Swift's pool has one thread a core, and a blocked one
/// is lost to everybody else.
package final class BlockingExecutor: SerialExecutor, TaskExecutor {
    private struct State {
        var jobs: [UnownedJob] = []
        var stopped = false
    }
    private final class Inbox: Sendable {
        let condition = NSCondition()
        let state = Mutex(State())
    }
    private let inbox = Inbox()

    package init(label: String) {
        let inbox = inbox
        let thread = Thread { [weak self] in
            // The executor outlives its jobs: each holds it through its actor. An empty inbox and no owner ends the thread.
            while let jobs = Self.take(inbox) {
                guard let self else { return }
                for job in jobs { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
            }
        }
        thread.name = label
        thread.stackSize = 1 << 20
        thread.start()
    }

    deinit {
        inbox.state.withLock { $0.stopped = true }
        inbox.condition.lock()
        inbox.condition.broadcast()
        inbox.condition.unlock()
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        inbox.condition.lock()
        inbox.state.withLock { $0.jobs.append(job) }
        inbox.condition.signal()
        inbox.condition.unlock()
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
    package func asUnownedTaskExecutor() -> UnownedTaskExecutor { UnownedTaskExecutor(ordinary: self) }

    private static func take(_ inbox: Inbox) -> [UnownedJob]? {
        inbox.condition.lock()
        defer { inbox.condition.unlock() }
        while true {
            let (jobs, stopped) = inbox.state.withLock { state in
                defer { state.jobs = [] }
                return (state.jobs, state.stopped)
            }
            if !jobs.isEmpty { return jobs }
            if stopped { return nil }
            inbox.condition.wait()
        }
    }
}
