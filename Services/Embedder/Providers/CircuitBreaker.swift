/// Leaves a failing provider alone: open after half of at least ten calls within a minute have failed, for 5 s, then twice as
/// long each time up to 5 minutes; then one probe at a time, two good ones close it.
struct CircuitBreaker: Sendable {
    typealias Instant = ContinuousClock.Instant
    private static let window: Duration = .seconds(60)
    private static let minimumCalls = 10
    private enum State { case closed, open(until: Instant), halfOpen(probing: Bool, successes: Int) }
    private var state = State.closed
    private var calls: [(at: Instant, failed: Bool)] = []
    private var openings = 0
    private let jitter: @Sendable () -> Double

    init(jitter: @escaping @Sendable () -> Double = { .random(in: 0.8...1.2) }) { self.jitter = jitter }

    /// `nil`: go ahead (and `record` the outcome). Otherwise how long to wait before asking again.
    mutating func admit(at now: Instant) -> Duration? {
        switch state {
        case .closed: return nil
        case .open(let until):
            if now < until { return until - now }
            state = .halfOpen(probing: true, successes: 0)
            return nil
        case .halfOpen(let probing, let successes):
            if probing { return .seconds(1) }
            state = .halfOpen(probing: true, successes: successes)
            return nil
        }
    }

    /// An outcome that is neither (the caller's own fault) is a success here: the provider answered.
    mutating func record(success: Bool, at now: Instant) {
        switch state {
        case .halfOpen(_, let successes):
            if !success {
                open(at: now)
            } else if successes + 1 >= 2 {
                (state, calls, openings) = (.closed, [], 0)
            } else {
                state = .halfOpen(probing: false, successes: successes + 1)
            }
        case .open: break  // a call from before
        case .closed:
            calls.removeAll { now - $0.at > Self.window }
            calls.append((now, !success))
            if calls.count > 1000 { calls.removeFirst(500) }
            let failed = calls.count { $0.failed }
            if calls.count >= Self.minimumCalls && failed * 2 >= calls.count { open(at: now) }
        }
    }

    var isOpen: Bool { if case .open = state { true } else { false } }

    private mutating func open(at now: Instant) {
        let pause = min(.seconds(300), .seconds(5) * (1 << min(openings, 10)))
        openings += 1
        calls = []
        state = .open(until: now + pause * jitter())
    }
}
