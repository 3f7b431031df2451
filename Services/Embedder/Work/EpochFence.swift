import Synchronization
import WorkQueue

/// Which epoch of a job Redis knows of, remembered for a moment: a hint that saves work for jobs that are gone. The indexer's
/// transaction is the fence that counts.
final class EpochFence: Sendable {
    private let queue: WorkQueue
    private let lifetime: Duration
    private let known = Mutex<[String: (epoch: Int?, at: ContinuousClock.Instant)]>([:])

    init(queue: WorkQueue, lifetime: Duration = .milliseconds(250)) {
        self.queue = queue
        self.lifetime = lifetime
    }

    func isCurrent(job: String, epoch: Int) async -> Bool {
        let remembered = known.withLock { $0[job].flatMap { .now - $0.at < lifetime ? $0 : nil } }
        if let remembered { return (remembered.epoch ?? epoch) <= epoch }
        let hint = await queue.epochHint(job: job)
        known.withLock { known in
            if known.count > 1000 { known = [:] }
            known[job] = (hint, .now)
        }
        return (hint ?? epoch) <= epoch
    }
}
