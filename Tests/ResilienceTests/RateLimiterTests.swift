import Testing

@testable import Resilience

struct RateLimiterTests {
    private let start = ContinuousClock.now
    private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

    @Test func allowsTheBurstAndThenTheRate() {
        var limiter = RateLimiter(perMinute: 60, burst: 3, at: start)
        for _ in 0..<3 { #expect(limiter.reserve(at: start) == .zero) }
        #expect(limiter.reserve(at: start) == .seconds(1))
        #expect(limiter.reserve(at: start) == .seconds(2))
        #expect(limiter.reserve(at: at(2)) == .seconds(1))
        #expect(limiter.reserve(at: at(100)) == .zero)
    }

    @Test func takesOnlyWhatIsThere() {
        var limiter = RateLimiter(perMinute: 60, burst: 2, at: start)
        #expect(limiter.take(3, at: start) == false)
        #expect(limiter.take(2, at: start) == true)
        #expect(limiter.take(at: at(0.5)) == false)
        #expect(limiter.take(at: at(1)) == true)
    }

    @Test func settlesEstimates() {
        var limiter = RateLimiter(perMinute: 600, burst: 100, at: start)
        #expect(limiter.reserve(100, at: start) == .zero)
        limiter.settle(reserved: 100, used: 40, at: start)
        #expect(limiter.take(60, at: start) == true)
        limiter.settle(reserved: 60, used: 70, at: start)
        #expect(limiter.reserve(0, at: start) == .seconds(1))
    }

    @Test func keepsAPauseTheServerAskedFor() {
        var limiter = RateLimiter(perMinute: 60, burst: 5, at: start)
        limiter.pause(until: at(30), at: start)
        #expect(limiter.reserve(at: start) == .seconds(30))
        #expect(limiter.take(at: at(30)) == false)
        #expect(limiter.take(at: at(31)) == true)
    }

    @Test func aClockThatDoesNotMoveGivesNothing() {
        var limiter = RateLimiter(perMinute: 60, burst: 1, at: at(10))
        #expect(limiter.take(at: at(10)) == true)
        #expect(limiter.take(at: at(9)) == false)
        #expect(limiter.take(at: at(11)) == true)
    }
}
