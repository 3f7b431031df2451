import Testing

@testable import Resilience

struct CircuitBreakerTests {
    private let start = ContinuousClock.now
    private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }
    private let middle: (ClosedRange<Double>) -> Double = { ($0.lowerBound + $0.upperBound) / 2 }

    private func call(_ breaker: inout CircuitBreaker, _ outcome: CircuitBreaker.Outcome, at seconds: Double) {
        guard case .allowed(let permit) = breaker.ask(at: at(seconds)) else { return }
        breaker.report(outcome, of: permit, at: at(seconds), random: middle)
    }

    @Test func opensWhenHalfOfTenCallsFailed() {
        var breaker = CircuitBreaker()
        for n in 0..<5 { call(&breaker, .success, at: Double(n)) }
        for n in 5..<9 { call(&breaker, .failure, at: Double(n)) }
        #expect(breaker.state == .closed)
        call(&breaker, .failure, at: 9)
        #expect(breaker.state == .open(until: at(14)))
        #expect(breaker.ask(at: at(13)) == .refused(until: at(14)))
    }

    @Test func fewCallsAndCancelledOnesAndOldFailuresDoNotOpen() {
        var breaker = CircuitBreaker()
        for n in 0..<9 { call(&breaker, .failure, at: Double(n)) }
        for n in 0..<50 { call(&breaker, .ignored, at: 9 + Double(n) / 10) }
        #expect(breaker.state == .closed)
        for n in 0..<9 { call(&breaker, .failure, at: 120 + Double(n)) }
        #expect(breaker.state == .closed)
    }

    @Test func closesAfterTwoProbesInARow() {
        var breaker = opened()
        guard case .allowed(let probe) = breaker.ask(at: at(6)) else { return #expect(Bool(false)) }
        #expect(breaker.ask(at: at(6)) == .refused(until: at(7)), "one probe at a time")
        breaker.report(.success, of: probe, at: at(7))
        #expect(breaker.state == .halfOpen(successes: 1))
        call(&breaker, .success, at: 8)
        #expect(breaker.state == .closed)
    }

    @Test func thePauseDoublesUpToItsLimit() {
        var breaker = opened()
        var now = 5.0
        for pause in [10.0, 20, 40, 80, 160, 300, 300] {
            call(&breaker, .failure, at: now)
            #expect(breaker.state == .open(until: at(now + pause)))
            now += pause
        }
        call(&breaker, .success, at: now)
        call(&breaker, .success, at: now)
        for _ in 0..<10 { call(&breaker, .failure, at: now) }
        #expect(breaker.state == .open(until: at(now + 5)))
    }

    @Test func aCancelledProbeMakesRoomForTheNext() {
        var breaker = opened()
        call(&breaker, .ignored, at: 5)
        #expect(breaker.state == .halfOpen(successes: 0))
        guard case .allowed = breaker.ask(at: at(5)) else { return #expect(Bool(false)) }
    }

    @Test func lateOutcomesOfAnEarlierStateChangeNothing() {
        var breaker = CircuitBreaker()
        guard case .allowed(let early) = breaker.ask(at: at(0)) else { return #expect(Bool(false)) }
        for _ in 0..<10 { call(&breaker, .failure, at: 0) }
        breaker.report(.success, of: early, at: at(1))
        #expect(breaker.state == .open(until: at(5)))
    }

    @Test func failuresSpreadOverALongTimeDoNotOpen() {
        var breaker = CircuitBreaker()
        for n in 0..<20 { call(&breaker, .failure, at: Double(n) * 10) }
        #expect(breaker.state == .closed)
    }

    private func opened() -> CircuitBreaker {
        var breaker = CircuitBreaker()
        for _ in 0..<10 { call(&breaker, .failure, at: 0) }
        return breaker
    }
}
