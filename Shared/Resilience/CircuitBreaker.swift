/// Stops calling what fails, and finds out with single probes when it works again. A pure state machine: the caller keeps it,
/// asks before each call and reports after it.
///
/// closed -> open: at least ten calls within a minute, of which half failed. open -> half open: the pause is over; one probe at
/// a time. half open -> closed: two probes in a row succeeded; one that fails opens it again, for twice as long.
package struct CircuitBreaker: Sendable {
    package typealias Instant = ContinuousClock.Instant

    private static let window = Duration.seconds(60)
    private static let minimumCalls = 10
    private static let firstPause = Duration.seconds(5)
    private static let longestPause = Duration.seconds(300)
    private static let successesToClose = 2
    /// While a probe is out; its outcome is not far.
    private static let pauseDuringProbe = Duration.seconds(1)

    package enum State: Sendable, Equatable {
        case closed
        case open(until: Instant)
        case halfOpen(successes: Int)
    }

    package enum Outcome: Sendable {
        /// An answer, if only that the call was wrong.
        case success
        /// Overload, server error, timeout, connection: what may pass.
        case failure
        /// Cancelled: says nothing about the other side.
        case ignored
    }

    /// Allows one call, and must be handed back with its outcome. An outcome of an earlier state changes nothing.
    package struct Permit: Sendable, Equatable {
        fileprivate let generation: Int
    }
    package enum Answer: Sendable, Equatable {
        case allowed(Permit)
        /// When to ask again.
        case refused(until: Instant)
    }

    private struct Slice: Sendable {
        var start: Instant
        var calls = 0
        var failures = 0
    }

    package private(set) var state = State.closed
    private var isProbing = false
    private var generation = 0
    private var openings = 0
    private var slices: [Slice] = []

    package init() {}

    package mutating func ask(at now: Instant) -> Answer {
        if case .open(let until) = state {
            if now < until { return .refused(until: until) }
            change(to: .halfOpen(successes: 0))
        }
        if case .halfOpen = state {
            if isProbing { return .refused(until: now + Self.pauseDuringProbe) }
            isProbing = true
        }
        return .allowed(Permit(generation: generation))
    }

    /// - Parameter random: makes a pause up to a fifth longer or shorter, so that replicas do not probe together.
    package mutating func report(
        _ outcome: Outcome, of permit: Permit, at now: Instant,
        random: (ClosedRange<Double>) -> Double = { .random(in: $0) }
    ) {
        guard permit.generation == generation else { return }
        isProbing = false
        switch (state, outcome) {
        case (.open, _), (_, .ignored): break
        case (.closed, _):
            count(failed: outcome == .failure, at: now)
            if isTooMuch { open(at: now, random: random) }
        case (.halfOpen(let successes), .success):
            if successes + 1 < Self.successesToClose {
                state = .halfOpen(successes: successes + 1)
            } else {
                openings = 0
                change(to: .closed)
            }
        case (.halfOpen, .failure): open(at: now, random: random)
        }
    }

    private mutating func open(at now: Instant, random: (ClosedRange<Double>) -> Double) {
        let pause = min(Self.longestPause, Self.firstPause * (1 << min(openings, 20)))
        openings += 1
        change(to: .open(until: now + pause * random(0.8...1.2)))
    }

    private mutating func change(to next: State) {
        state = next
        generation += 1
        slices = []
    }

    /// Twelve slices make the window: bounded memory, and the oldest calls leave it a twelfth at a time.
    private mutating func count(failed: Bool, at now: Instant) {
        slices.removeAll { now - $0.start >= Self.window }
        if slices.last.map({ now - $0.start >= Self.window / 12 }) ?? true { slices.append(Slice(start: now)) }
        let newest = slices.count - 1
        slices[newest].calls += 1
        if failed { slices[newest].failures += 1 }
    }

    private var isTooMuch: Bool {
        let calls = slices.reduce(0) { $0 + $1.calls }
        let failures = slices.reduce(0) { $0 + $1.failures }
        return calls >= Self.minimumCalls && failures * 2 >= calls
    }
}
