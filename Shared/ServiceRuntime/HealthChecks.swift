import Synchronization

/// What a process depends on, each checked with a time limit and remembered for a second, so that a scrape can neither
/// hammer a dependency nor hang on it.
package actor HealthChecks {
    package enum Status: String, Sendable { case pass, warn, fail }

    package struct Result: Sendable, Equatable {
        package var name: String
        package var status: Status
        /// Units: milliseconds.
        package var latency: Double
        /// Why it is not `pass`; never holds a credential.
        package var output: String?
        package var isRequired: Bool
    }

    private struct Check {
        var name: String
        var isRequired: Bool
        var run: @Sendable () async throws -> Void
    }
    private var checks: [Check] = []
    private var remembered: (at: ContinuousClock.Instant, results: [Result])?
    private var running: Task<[Result], Never>?
    private let limit: Duration
    private let lifetime: Duration

    package init(limit: Duration = .milliseconds(400), lifetime: Duration = .seconds(1)) {
        self.limit = limit
        self.lifetime = lifetime
    }

    /// `run` throws when the dependency does not work. A failing check that is not required makes the service `warn`.
    package func add(_ name: String, isRequired: Bool, run: @escaping @Sendable () async throws -> Void) {
        checks.append(Check(name: name, isRequired: isRequired, run: run))
    }

    package func results() async -> [Result] {
        if let remembered, ContinuousClock.now - remembered.at < lifetime { return remembered.results }
        if let running { return await running.value }
        let (checks, limit) = (checks, limit)
        let task = Task {
            await withTaskGroup(of: (Int, Result).self) { group in
                for (index, check) in checks.enumerated() {
                    group.addTask { (index, await Self.perform(check, limit: limit)) }
                }
                return await group.reduce(into: [(Int, Result)]()) { $0.append($1) }.sorted { $0.0 < $1.0 }.map(\.1)
            }
        }
        running = task
        let results = await task.value
        running = nil
        remembered = (.now, results)
        return results
    }

    package static func overall(_ results: [Result]) -> Status {
        if results.contains(where: { $0.status == .fail && $0.isRequired }) { return .fail }
        return results.allSatisfy { $0.status == .pass } ? .pass : .warn
    }

    /// A check that does not answer in time is left behind, not waited for.
    private static func perform(_ check: Check, limit: Duration) async -> Result {
        let start = ContinuousClock.now
        let first = FirstOutcome()
        let outcome: String? = await withCheckedContinuation { continuation in
            first.arm(continuation)
            let work = Task {
                do {
                    try await check.run()
                    first.settle(nil)
                } catch {
                    first.settle("\(error)")
                }
            }
            Task {
                try? await Task.sleep(for: limit)
                first.settle("no answer within \(limit)")
                work.cancel()
            }
        }
        let elapsed = ContinuousClock.now - start
        return Result(
            name: check.name, status: outcome == nil ? .pass : .fail,
            latency: Double(elapsed.components.attoseconds) / 1e15 + Double(elapsed.components.seconds) * 1000,
            output: outcome, isRequired: check.isRequired)
    }

    private final class FirstOutcome: Sendable {
        private let continuation = Mutex<CheckedContinuation<String?, Never>?>(nil)
        func arm(_ continuation: CheckedContinuation<String?, Never>) {
            self.continuation.withLock { $0 = continuation }
        }
        func settle(_ outcome: String?) {
            let waiting = continuation.withLock { continuation in
                defer { continuation = nil }
                return continuation
            }
            waiting?.resume(returning: outcome)
        }
    }
}
