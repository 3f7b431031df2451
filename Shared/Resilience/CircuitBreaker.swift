/// Stops calling what fails, and finds out with single probes when it works again. A pure state machine: the caller keeps it,
/// asks before each call and reports after it.
///
/// closed -> open: enough calls in the window, of which too many failed; the pause doubles from opening to opening.
/// open -> half open: the pause is over; one probe at a time. half open -> closed: enough probes in a row succeeded.
package struct CircuitBreaker: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package struct Policy: Sendable, Equatable {
        package var window = Duration.seconds(60)
        package var minimumCalls = 10
        package var failureShare = 0.5
        package var firstPause = Duration.seconds(5)
        package var longestPause = Duration.seconds(300)
        /// Each pause is this share longer or shorter, so that replicas do not probe together.
        package var jitter = 0.2
        package var successesToClose = 2
        /// A probe that has not reported after this long is given up.
        package var probeLimit = Duration.seconds(60)
        package init() {}
    }

    package enum State: Sendable, Equatable {
        case closed
        /// `until` is nil where only a change of configuration helps.
        case open(until: Instant?)
        case halfOpen(successes: Int)
    }

    package enum Outcome: Sendable {
        case success
        /// Overload, server error, timeout, connection: what may pass.
        case failure
        /// The caller's own fault (4xx), or cancelled: says nothing about the other side.
        case ignored
        /// Wrong key, no quota, no such model: open at once, until the stated reset or a new configuration.
        case blocked(until: Instant?)
    }

    /// Allows one call; handed back with its outcome. An outcome of an earlier state changes nothing.
    package struct Permit: Sendable, Equatable {
        fileprivate let generation: Int
        package let isProbe: Bool
    }
    package enum Answer: Sendable, Equatable {
        case allowed(Permit)
        /// When to ask again; nil: not before the configuration changes.
        case refused(until: Instant?)
    }

    private struct Slice: Sendable {
        var start: Instant
        var calls = 0
        var failures = 0
    }

    package private(set) var state = State.closed
    private let policy: Policy
    private var generation = 0
    private var openings = 0
    private var slices: [Slice] = []
    private var probeSince: Instant?

    package init(_ policy: Policy = Policy()) { self.policy = policy }

    package mutating func ask(at now: Instant) -> Answer {
        if case .open(let until) = state {
            guard let until, until <= now else { return .refused(until: until) }
            change(to: .halfOpen(successes: 0))
        }
        guard case .halfOpen = state else { return .allowed(Permit(generation: generation, isProbe: false)) }
        if let since = probeSince, now - since < policy.probeLimit { return .refused(until: since + policy.probeLimit) }
        probeSince = now
        generation += 1  // a probe that was given up reports in vain
        return .allowed(Permit(generation: generation, isProbe: true))
    }

    package mutating func report(
        _ outcome: Outcome, of permit: Permit, at now: Instant,
        random: (ClosedRange<Double>) -> Double = { .random(in: $0) }
    ) {
        guard permit.generation == generation else { return }
        switch (state, outcome) {
        case (.open, _): break
        case (_, .blocked(let until)): change(to: .open(until: until))
        case (_, .ignored): probeSince = nil
        case (.closed, .success): count(failed: false, at: now)
        case (.closed, .failure):
            count(failed: true, at: now)
            if isTooMuch { open(at: now, random: random) }
        case (.halfOpen(let successes), .success):
            probeSince = nil
            if successes + 1 < policy.successesToClose {
                state = .halfOpen(successes: successes + 1)
            } else {
                openings = 0
                change(to: .closed)
            }
        case (.halfOpen, .failure): open(at: now, random: random)
        }
    }

    /// The configuration has changed: begin anew.
    package mutating func reset() {
        openings = 0
        change(to: .closed)
    }

    private mutating func open(at now: Instant, random: (ClosedRange<Double>) -> Double) {
        let pause = min(policy.longestPause, policy.firstPause * (1 << min(openings, 20)))
        openings += 1
        change(to: .open(until: now + pause * random(1 - policy.jitter...1 + policy.jitter)))
    }

    private mutating func change(to next: State) {
        state = next
        generation += 1
        slices = []
        probeSince = nil
    }

    /// Twelve slices make the window: bounded memory, and the oldest calls leave it a twelfth at a time.
    private mutating func count(failed: Bool, at now: Instant) {
        let window = policy.window
        slices.removeAll { now - $0.start >= window }
        if slices.last.map({ now - $0.start >= policy.window / 12 }) ?? true { slices.append(Slice(start: now)) }
        let newest = slices.count - 1
        slices[newest].calls += 1
        if failed { slices[newest].failures += 1 }
    }

    private var isTooMuch: Bool {
        let calls = slices.reduce(0) { $0 + $1.calls }
        let failures = slices.reduce(0) { $0 + $1.failures }
        return calls >= policy.minimumCalls && Double(failures) >= policy.failureShare * Double(calls)
    }
}
