import Redis
import ServiceRuntime
import WireProtocol

/// Answers for a job, whichever replica runs it.
struct JobReader: Sendable {
    let store: JobStore
    let runner: JobRunner
    let shutdown: Shutdown

    static let lostMessage = "the data-processor that ran it ended; submit it again"

    /// The answer's JSON, at the latest after `wait`; `nil` for an unknown job.
    func answer(_ id: String, wait: Duration) async throws -> [UInt8]? {
        let deadline = ContinuousClock.now + wait
        if runner.holds(id) {
            await runner.waitForCompletion(of: id, upTo: wait, until: shutdown)
        } else if wait > .zero {
            try await poll(id, until: deadline)
        }
        guard let (head, json) = try await store.answer(id) else { return nil }
        if head.state.isFinal { return json }
        return try await failedIfLost(id, head) ?? json
    }

    /// Another replica has it: 33 bytes a look, less and less often.
    private func poll(_ id: String, until deadline: ContinuousClock.Instant) async throws {
        var pause = Duration.milliseconds(10)
        var sinceLeaseCheck = Duration.zero
        while let head = try await store.head(id), !head.state.isFinal {
            let left = deadline - .now
            guard left > .zero, await shutdown.sleep(for: min(pause, left)) else { return }
            sinceLeaseCheck += pause
            if sinceLeaseCheck > .seconds(1) {
                sinceLeaseCheck = .zero
                guard try await isAlive(head.owner, id) else { return }
            }
            pause = min(pause * 3 / 2, .milliseconds(200))
        }
    }

    private func isAlive(_ owner: String, _ id: String) async throws -> Bool {
        owner == runner.owner ? runner.holds(id) : try await store.hasLease(owner)
    }

    /// A job whose replica is gone fails here and now, for good. `nil` when it is alive, or has just ended.
    private func failedIfLost(_ id: String, _ head: JobAnswer.Head) async throws -> [UInt8]? {
        if try await isAlive(head.owner, id) { return nil }
        let failed = JobAnswer.failed(owner: head.owner, jobID: id, error: Self.lostMessage)
        try await store.replace(id, ifStill: head, by: failed)
        return try await store.answer(id)?.json
    }
}
