import Foundation
import Synchronization

/// A few threads more than cores, for work that blocks or computes for more than a millisecond, so that event loops stay quick.
package enum BlockingPool {
    private static let pool = Threads(count: max(4, ProcessInfo.processInfo.activeProcessorCount + 2))

    package static func run<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try Task.checkCancellation()
        return try await withCheckedThrowingContinuation { continuation in
            pool.add { continuation.resume(with: Result(catching: work)) }
        }
    }

    private final class Threads: Sendable {
        private let condition = NSCondition()
        private let pending = Mutex<[@Sendable () -> Void]>([])

        init(count: Int) {
            for number in 0..<count {
                let thread = Thread { [self] in while true { next()() } }
                thread.name = "blocking-\(number)"
                thread.start()
            }
        }

        func add(_ work: @escaping @Sendable () -> Void) {
            condition.lock()
            pending.withLock { $0.append(work) }
            condition.signal()
            condition.unlock()
        }

        private func next() -> @Sendable () -> Void {
            condition.lock()
            defer { condition.unlock() }
            while true {
                if let work = pending.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { return work }
                condition.wait()
            }
        }
    }
}
