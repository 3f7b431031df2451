import Foundation
import Synchronization

/// The threads that compute: matrix products must block neither the event loop nor Swift's pool. What is urgent (a search
/// waits for it) goes before what is not.
final class InferencePool: Sendable {
    typealias Work = @Sendable (BERTEncoder.Workspace) -> Void
    private struct State {
        var urgent: [Work] = []
        var ordinary: [Work] = []
        var nextUrgent = 0
        var nextOrdinary = 0
        var stopped = false

        mutating func next() -> Work? {
            Self.pop(&urgent, &nextUrgent) ?? Self.pop(&ordinary, &nextOrdinary)
        }
        private static func pop(_ queue: inout [Work], _ head: inout Int) -> Work? {
            guard head < queue.count else { return nil }
            let work = queue[head]
            head += 1
            if head == queue.count {
                queue.removeAll(keepingCapacity: true)
                head = 0
            }
            return work
        }
    }
    private final class Inbox: Sendable {
        let condition = NSCondition()
        let state = Mutex(State())
    }
    private let inbox = Inbox()
    let workers: Int

    init(workers: Int) {
        self.workers = workers
        let inbox = inbox
        for index in 0..<workers {
            let thread = Thread {
                let workspace = BERTEncoder.Workspace()
                while let work = Self.take(inbox) { work(workspace) }
            }
            thread.name = "inference-\(index)"
            thread.start()
        }
    }

    deinit {
        inbox.condition.withLock { inbox.state.withLock { $0.stopped = true } }
        inbox.condition.broadcast()
    }

    func run<Value: Sendable>(urgent: Bool, _ body: @escaping @Sendable (BERTEncoder.Workspace) -> Value) async -> Value
    {
        await withCheckedContinuation { continuation in
            let work: Work = { continuation.resume(returning: body($0)) }
            inbox.condition.withLock {
                inbox.state.withLock { state in
                    if urgent { state.urgent.append(work) } else { state.ordinary.append(work) }
                }
            }
            inbox.condition.signal()
        }
    }

    private static func take(_ inbox: Inbox) -> Work? {
        inbox.condition.lock()
        defer { inbox.condition.unlock() }
        while true {
            let (work, stopped) = inbox.state.withLock { ($0.next(), $0.stopped) }
            if let work { return work }
            if stopped { return nil }
            inbox.condition.wait()
        }
    }
}
