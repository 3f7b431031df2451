import Foundation
import HTTPServer
import Redis
import Resilience
import ServiceRuntime
import Synchronization
import WireProtocol

/// Takes jobs in, runs a few at a time, and knows when each is done. Bounded: a full queue refuses.
///
/// Invariant: a job that `accept` returned is finished before `run` returns, or its lease ends with the process and whoever
/// asks for it learns that it failed.
final class JobRunner: Service {
    struct Limits: Sendable {
        var concurrency = ProcessInfo.processInfo.activeProcessorCount
        /// Jobs accepted and not done.
        var jobs = 64
        /// Bytes of their requests.
        var bytes = 256 << 20
        var pipeline = Pipeline.Limits()
    }
    private struct Job: Sendable {
        var id: String
        var request: ProcessingRequest
        var bytes: Int
        var log: Log
    }
    private struct State {
        var isOpen = true
        var queue: [Job] = []
        /// Places taken, from before a job is written down until it is done.
        var places = 0
        var bytes = 0
        var idle: [CheckedContinuation<Job?, Never>] = []
        /// Requested when the job is done.
        var completions: [String: Shutdown] = [:]

        /// The idle workers, when there will be no more work for them.
        mutating func takeIdleIfDone() -> [CheckedContinuation<Job?, Never>] {
            guard !isOpen, places == 0 else { return [] }
            defer { idle = [] }
            return idle
        }
    }

    /// This replica, in what it stores.
    let owner: String
    private let store: JobStore
    private let limits: Limits
    private let failpoints: Failpoints
    private let log: Log
    private let metrics: ProcessorMetrics
    private let state = Mutex(State())

    init(store: JobStore, limits: Limits, failpoints: Failpoints = .none, log: Log, metrics: Metrics) {
        owner = UUID().uuidString.replacingOccurrences(of: "-", with: "").lowercased()
        self.store = store
        self.limits = limits
        self.failpoints = failpoints
        self.log = log
        self.metrics = ProcessorMetrics(metrics)
    }

    // MARK: - Taking in

    /// Checks a request (off the event loop) and queues it. Returns the job's id once it is written down.
    func accept(_ request: HTTPRequest, maximumRows: Int) async throws -> String {
        let bytes = request.body.count
        try takePlace(for: bytes)
        do {
            let checked = try await BlockingPool.run {
                let body = try request.json()
                do throws(ProcessingRequest.Invalid) {
                    return try ProcessingRequest(body, maximumRows: maximumRows)
                } catch {
                    throw Problem(error)
                }
            }
            let job = Job(
                id: UUID().uuidString.lowercased(), request: checked, bytes: bytes, log: log.with(request.trace))
            let answer = JobAnswer.stored(.init(state: .started, owner: owner), jobID: job.id, message: "Job started")
            switch try await store.accept(job.id, answer: answer, owner: owner, reserving: bytes) {
            case .accepted(let stored): metrics.storedBytes.set(Double(stored))
            case .full(let retryAfter):
                throw Problem.unavailable("the store of results is full", retryAfter: retryAfter)
            }
            failpoints.reach("processor.after-accept")
            enqueue(job)
            return job.id
        } catch {
            givePlaceBack(bytes)
            if let error = error as? RedisError {
                log.error("job.refused", ["error": .string("\(error)")])
                throw Problem.unavailable("the store of results does not answer", retryAfter: .seconds(2))
            }
            throw error
        }
    }

    private func takePlace(for bytes: Int) throws(Problem) {
        let refusal = state.withLock { state -> String? in
            guard state.isOpen else { return "the service is stopping" }
            // One job that is bigger than the limit may still run alone.
            guard state.places < limits.jobs, state.places == 0 || state.bytes + bytes <= limits.bytes else {
                return "too many jobs are waiting"
            }
            state.places += 1
            state.bytes += bytes
            return nil
        }
        guard let refusal else { return }
        metrics.refused.add()
        throw .unavailable(refusal, retryAfter: .seconds(1))
    }

    private func givePlaceBack(_ bytes: Int) {
        let idle = state.withLock { state -> [CheckedContinuation<Job?, Never>] in
            state.places -= 1
            state.bytes -= bytes
            return state.takeIdleIfDone()
        }
        for worker in idle { worker.resume(returning: nil) }
    }

    private func enqueue(_ job: Job) {
        metrics.waiting.add(1)
        let worker = state.withLock { state -> CheckedContinuation<Job?, Never>? in
            state.completions[job.id] = Shutdown()
            if let worker = state.idle.popLast() { return worker }
            state.queue.append(job)
            return nil
        }
        worker?.resume(returning: job)
    }

    // MARK: - Asking

    /// The job runs here, or waits to.
    func holds(_ id: String) -> Bool { state.withLock { $0.completions[id] != nil } }

    /// Returns when the job is done here, after `limit`, or when `shutdown` is requested.
    func waitForCompletion(of id: String, upTo limit: Duration, until shutdown: Shutdown) async {
        guard let completion = state.withLock({ $0.completions[id] }) else { return }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await completion.sleep(for: limit) }
            group.addTask { await shutdown.wait() }
            await group.next()
            group.cancelAll()
        }
    }

    // MARK: - Running

    func run(until shutdown: Shutdown) async throws {
        shutdown.onRequest { [self] in close() }
        let drained = Shutdown()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.keepLease(until: drained) }
            group.addTask {
                await withTaskGroup(of: Void.self) { workers in
                    for _ in 0..<self.limits.concurrency {
                        workers.addTask {
                            while let job = await self.next() { await self.perform(job) }
                        }
                    }
                }
                drained.request()
            }
        }
        do {
            try await store.endLease(of: owner)
        } catch {
            log.debug("lease.not_ended", ["error": .string("\(error)")])  // it ends by itself
        }
    }

    private func close() {
        let idle = state.withLock { state -> [CheckedContinuation<Job?, Never>] in
            state.isOpen = false
            return state.takeIdleIfDone()
        }
        for worker in idle { worker.resume(returning: nil) }
    }

    /// `nil` when the service stops and nothing is left to do.
    private func next() async -> Job? {
        await withCheckedContinuation { continuation in
            let decided = state.withLock { state -> Job?? in
                if !state.queue.isEmpty { return .some(state.queue.removeFirst()) }
                if !state.isOpen, state.places == 0 { return .some(nil) }
                state.idle.append(continuation)
                return nil
            }
            if let decided { continuation.resume(returning: decided) }
        }
    }

    private func perform(_ job: Job) async {
        metrics.waiting.add(-1)
        metrics.running.add(1)
        let start = ContinuousClock.now
        let answer: [UInt8]
        let outcome: String
        do {
            let head = JobAnswer.Head(state: .started, owner: owner)
            let message =
                "Processing \(job.request.dataset.count) items with \(job.request.operations.count) operations"
            let processing = JobAnswer.stored(.init(state: .processing, owner: owner), jobID: job.id, message: message)
            try await store.replace(job.id, ifStill: head, by: processing)
            answer = try await compute(job)
            outcome = "completed"
        } catch {
            let reason = (error as? JobFailure)?.message ?? "the service failed: \(error)"
            answer = JobAnswer.failed(owner: owner, jobID: job.id, error: reason)
            outcome = "failed"
        }
        failpoints.reach("processor.before-result")
        let ended = await finish(job, answer, outcome)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        metrics.record(outcome: ended, rows: job.request.dataset.count, seconds: seconds)
        metrics.running.add(-1)
        job.log.info(
            "job.ended",
            [
                "job_id": .string(job.id), "outcome": .string(ended), "rows": JSONValue(job.request.dataset.count),
                "operations": JSONValue(job.request.operations.count), "seconds": .number(seconds),
            ])
        let completion = state.withLock { $0.completions.removeValue(forKey: job.id) }
        completion?.request()
        givePlaceBack(job.bytes)
    }

    private func compute(_ job: Job) async throws -> [UInt8] {
        let (limits, owner, metrics) = (limits.pipeline, owner, metrics)
        return try await BlockingPool.run {
            let request = job.request
            let pipeline = Pipeline(
                operations: request.operations, failsOnRowError: request.failsOnRowError, limits: limits)
            let outcome = try pipeline.run(request.dataset)
            metrics.rowErrors.add(Double(outcome.errors.count))
            return try JobAnswer.completed(
                outcome, owner: owner, jobID: job.id, items: request.dataset.count,
                operations: request.operations.count,
                limit: limits.resultBytes)
        }
    }

    /// Stores the answer, through a Redis that is away for a while. Returns what became of the job.
    private func finish(_ job: Job, _ answer: [UInt8], _ outcome: String) async -> String {
        do {
            let backoff = Backoff(base: .milliseconds(200), cap: .seconds(5), attempts: 12)
            return try await retrying(backoff, isRetryable: { ($0 as? RedisError)?.isRetryable ?? false }) {
                switch try await store.finish(job.id, answer: answer, owner: owner) {
                case .stored: return outcome
                case .replaced: return "replaced"
                case .full:
                    let failed = JobAnswer.failed(owner: owner, jobID: job.id, error: "the store of results is full")
                    _ = try await store.finish(job.id, answer: failed, owner: owner)
                    return "failed"
                }
            }
        } catch {
            job.log.error("job.lost", ["job_id": .string(job.id), "error": .string("\(error)")])
            return "lost"
        }
    }

    private func keepLease(until drained: Shutdown) async {
        repeat {
            do {
                try await store.renewLease(of: owner)
            } catch {
                log.warning("lease.not_renewed", ["error": .string("\(error)")])
            }
        } while await drained.sleep(for: .milliseconds(store.lease / 4))
    }
}

extension Problem {
    init(_ invalid: ProcessingRequest.Invalid) {
        let first =
            invalid.failures.first.map { [$0.path, $0.message].filter { !$0.isEmpty }.joined(separator: " ") } ?? ""
        let more = invalid.failures.count > 1 ? " (and \(invalid.failures.count - 1) more)" : ""
        self = .badRequest(
            first + more, errors: invalid.failures.map { FieldError(field: $0.path, message: $0.message) })
    }
}
