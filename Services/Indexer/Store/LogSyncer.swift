import Foundation
import Synchronization

/// Group commit: one thread that syncs logs; all who wait for one log at a time share one `fdatasync`.
final class LogSyncer: Sendable {
    private struct State {
        var waiting: [(log: WriteAheadLog, continuation: CheckedContinuation<Void, any Error>)] = []
        var lazy: [WriteAheadLog] = []
        var stopped = false
    }
    private final class Inbox: Sendable {
        let condition = NSCondition()
        let state = Mutex(State())
    }
    private let inbox = Inbox()
    /// What nobody waits for is synced this long after it was written.
    private let delay: TimeInterval

    init(delay: Duration = .seconds(1)) {
        self.delay = TimeInterval(delay.components.seconds) + TimeInterval(delay.components.attoseconds) / 1e18
        let (inbox, pause) = (inbox, self.delay)
        let thread = Thread { Self.work(inbox, delay: pause) }
        thread.name = "log-sync"
        thread.start()
    }
    deinit { wake { $0.stopped = true } }

    /// Returns when everything appended to `log` before is durable.
    func synchronise(_ log: WriteAheadLog) async throws {
        try await withCheckedThrowingContinuation { continuation in
            wake { $0.waiting.append((log, continuation)) }
        }
    }
    /// Within `delay`, without waiting for it.
    func synchroniseLater(_ log: WriteAheadLog) {
        let isFirst = inbox.state.withLock { state in
            if state.lazy.contains(where: { $0 === log }) { return false }
            state.lazy.append(log)
            return state.lazy.count == 1
        }
        if isFirst { wake { _ in } }
    }

    private func wake(_ change: (inout State) -> Void) {
        inbox.condition.lock()
        inbox.state.withLock { change(&$0) }
        inbox.condition.signal()
        inbox.condition.unlock()
    }

    private static func work(_ inbox: Inbox, delay: TimeInterval) {
        var deadline: Date?
        while true {
            inbox.condition.lock()
            while true {
                let (idle, lazy, stopped) = inbox.state.withLock { ($0.waiting.isEmpty, !$0.lazy.isEmpty, $0.stopped) }
                if lazy, deadline == nil { deadline = Date(timeIntervalSinceNow: delay) }
                if !idle || stopped { break }
                if let deadline {
                    if !inbox.condition.wait(until: deadline) { break }
                } else {
                    inbox.condition.wait()
                }
            }
            inbox.condition.unlock()
            let isDue = deadline.map { $0 <= Date() } ?? false
            let (waiting, lazy, stopped) = inbox.state.withLock { state in
                defer {
                    state.waiting = []
                    if isDue || state.stopped { state.lazy = [] }
                }
                return (state.waiting, isDue || state.stopped ? state.lazy : [], state.stopped)
            }
            if isDue { deadline = nil }
            var synced: [(log: WriteAheadLog, result: Result<Void, any Error>)] = []
            for log in lazy + waiting.map(\.log) where !synced.contains(where: { $0.log === log }) {
                synced.append((log, Result { try log.synchronise() }))
            }
            for (log, continuation) in waiting {
                if let result = synced.first(where: { $0.log === log })?.result { continuation.resume(with: result) }
            }
            if stopped { return }
        }
    }
}
