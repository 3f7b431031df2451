import Resilience
import ServiceRuntime
import Synchronization

/// A provider behind its limits: concurrency, rate limits, retries with backoff that keep what the provider asks for, a
/// circuit breaker, metrics and cost.
final class ProviderGate: Sendable {
    let provider: any EmbeddingProvider
    var description: ProviderDescription { provider.description }
    private let slots: CallSlots
    private let backoff: Backoff
    private let metrics: Metrics
    private let log: Log
    private let sleep: @Sendable (Duration) async throws -> Void
    private struct State {
        var limit: RateLimit
        var breaker = CircuitBreaker()
        var failingSince: ContinuousClock.Instant?
        var lastError: EmbeddingError?
    }
    private let state: Mutex<State>
    /// A provider that asks for more than this is out of service, not busy.
    private static let longestWait: Duration = .seconds(120)

    init(
        _ provider: any EmbeddingProvider, backoff: Backoff = Backoff(), metrics: Metrics, log: Log,
        sleep: @escaping @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }
    ) {
        let limits = provider.description.limits
        self.provider = provider
        self.backoff = backoff
        self.metrics = metrics
        self.log = log
        self.sleep = sleep
        slots = CallSlots(limits.concurrency)
        state = Mutex(
            State(
                limit: RateLimit(requestsPerMinute: limits.requestsPerMinute, tokensPerMinute: limits.tokensPerMinute)))
    }

    /// Since when every call has failed for the provider's own reasons, and with what.
    var outage: (since: ContinuousClock.Instant, error: EmbeddingError)? {
        state.withLock { state in
            guard let since = state.failingSince, let error = state.lastError else { return nil }
            return (since, error)
        }
    }

    /// - Parameter isWanted: asked before each attempt; false ends the call with `superseded`.
    func embed(
        _ call: EmbeddingCall, isWanted: @Sendable () async -> Bool = { true }
    ) async throws(EmbeddingError) -> EmbeddingAnswer {
        var failures = 0
        while true {
            do {
                return try await attempt(call, isWanted: isWanted)
            } catch {
                failures += 1
                let asked = error.retryAfter ?? .zero
                guard failures <= error.retries, asked <= Self.longestWait,
                    let delay = backoff.delay(afterFailures: failures, serverAsksFor: error.retryAfter)
                else { throw error }
                metrics.add(
                    "suite_embedding_retries_total", help: "Calls to a provider made again, by the reason",
                    ["provider": description.name, "reason": error.kind.rawValue])
                try await wait(delay)
            }
        }
    }

    private func attempt(
        _ call: EmbeddingCall, isWanted: @Sendable () async -> Bool
    ) async throws(EmbeddingError) -> EmbeddingAnswer {
        await slots.take(urgent: call.isUrgent)
        defer { slots.giveBack() }
        let tokens = call.texts.reduce(0) { $0 + estimatedTokens(of: $1) }
        let now = ContinuousClock.now
        let start = state.withLock { $0.limit.reserve(tokens: tokens, now: now) }
        if start > now { try await wait(start - now) }
        guard await isWanted() else { throw EmbeddingError(.superseded, "the job has been replaced or ended") }
        let begun = ContinuousClock.now
        let permit: CircuitBreaker.Permit
        switch state.withLock({ $0.breaker.ask(at: begun) }) {
        case .allowed(let granted): permit = granted
        case .refused(let until): throw EmbeddingError(.circuitOpen, lastFailure, retryAfter: until - begun)
        }
        do {
            let answer = try await provider.embed(call)
            record(answer, of: call, permit: permit, seconds: begun.duration(to: .now).seconds)
            return answer
        } catch {
            record(error, permit: permit, seconds: begun.duration(to: .now).seconds)
            throw error
        }
    }

    private var lastFailure: String {
        "the provider is left alone for a while after: \(state.withLock { $0.lastError?.message } ?? "failures")"
    }

    private func wait(_ duration: Duration) async throws(EmbeddingError) {
        do { try await sleep(duration) } catch { throw EmbeddingError(.cancelled, "the wait was cancelled") }
    }

    private func record(
        _ answer: EmbeddingAnswer, of call: EmbeddingCall, permit: CircuitBreaker.Permit, seconds: Double
    ) {
        let recovered = state.withLock { state in
            state.breaker.report(.success, of: permit, at: .now)
            defer { (state.failingSince, state.lastError) = (nil, nil) }
            return state.failingSince != nil
        }
        if recovered { log.info("provider.recovered", ["provider": .string(description.name)]) }
        let tokens = Double(answer.tokens ?? call.texts.reduce(0) { $0 + estimatedTokens(of: $1) })
        count("ok", seconds: seconds)
        metrics.add("suite_embedding_texts_total", Double(call.texts.count), help: "Texts sent to a provider", labels)
        metrics.add("suite_embedding_tokens_total", tokens, help: "Tokens a provider used", labels)
        metrics.add(
            "suite_embedding_cost_dollars_total", tokens / 1e6 * description.limits.costPerMillionTokens,
            help: "What the tokens cost at the configured price", labels)
    }

    private func record(_ error: EmbeddingError, permit: CircuitBreaker.Permit, seconds: Double) {
        count(error.kind.rawValue, seconds: seconds)
        let isNew = state.withLock { state in
            state.breaker.report(error.outcome, of: permit, at: .now)
            if let wait = error.retryAfter { state.limit.pause(until: .now + wait) }
            guard !error.mayBeOneTexts || error.isTransientFault, error.kind != .superseded, error.kind != .cancelled
            else {
                return false
            }
            defer { state.lastError = error }
            guard state.failingSince == nil else { return false }
            state.failingSince = .now
            return true
        }
        if isNew {
            log.warning(
                "provider.failing",
                [
                    "provider": .string(description.name), "error_class": .string(error.kind.rawValue),
                    "error": .string(error.message),
                ])
        }
    }

    private var labels: KeyValuePairs<String, String> { ["provider": description.name] }
    private func count(_ outcome: String, seconds: Double) {
        metrics.add(
            "suite_embedding_requests_total", help: "Calls to a provider by outcome",
            ["provider": description.name, "outcome": outcome])
        metrics.observe("suite_embedding_request_seconds", seconds, help: "Time of a call to a provider", labels)
    }
}

extension EmbeddingError {
    /// A call that was the caller's own fault was answered all the same.
    fileprivate var outcome: CircuitBreaker.Outcome {
        if kind == .cancelled || kind == .superseded { return .ignored }
        return isTransientFault ? .failure : .success
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
