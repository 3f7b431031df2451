import ServiceRuntime
import Synchronization

/// Threads for searches: neither Swift's pool (one thread a core, for everybody) nor the event loop computes.
final class ScanPool: Sendable {
    private let executors: [BlockingExecutor]
    private let next = Atomic<Int>(0)

    init(threads: Int) {
        executors = (0..<max(1, threads)).map { BlockingExecutor(label: "scan-\($0)") }
    }

    private func executor() -> BlockingExecutor {
        executors[next.wrappingAdd(1, ordering: .relaxed).oldValue % executors.count]
    }

    /// Runs `body`, and the tasks that it starts, on the pool's threads.
    func run<R: Sendable>(_ body: @Sendable () async throws -> R) async throws -> R {
        try await withTaskExecutorPreference(executor()) { try await body() }
    }

    /// `parts` at once, each on a thread of the pool; results in no order.
    func map<R: Sendable>(_ parts: [Range<Int>], _ body: @escaping @Sendable (Range<Int>) -> R) async -> [R] {
        if parts.count == 1 { return [body(parts[0])] }
        return await withTaskGroup(of: R.self) { group in
            for part in parts { group.addTask(executorPreference: executor()) { body(part) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    /// Blocks cut into at most one slice a thread.
    func slices(of blocks: Int) -> [Range<Int>] {
        let count = min(executors.count, blocks)
        guard count > 0 else { return [] }
        return (0..<count).map { (blocks * $0 / count)..<(blocks * ($0 + 1) / count) }
    }
}
