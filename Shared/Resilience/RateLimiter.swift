/// A token bucket: so many units a minute, with a burst. A unit is whatever is limited: requests, items, tokens.
///
/// Reservations are kept in order: an amount that does not fit now is lent, and the caller waits until it is paid back.
package struct RateLimiter: Sendable {
    package typealias Instant = ContinuousClock.Instant
    package let perMinute: Double
    package let burst: Double
    /// Less than zero when more has been reserved than there was.
    private var available: Double
    private var updatedAt: Instant

    /// `burst` is what can be taken at once after a rest; by default ten seconds' worth, at least one.
    package init(perMinute: Double, burst: Double? = nil, at now: Instant) {
        precondition(perMinute > 0)
        self.perMinute = perMinute
        self.burst = burst ?? max(1, perMinute / 6)
        available = self.burst
        updatedAt = now
    }

    /// Takes the amount and answers how long to wait before using it. More than the burst is allowed, and waits longer.
    package mutating func reserve(_ amount: Double = 1, at now: Instant) -> Duration {
        refill(at: now)
        available -= amount
        return available >= 0 ? .zero : .seconds(-available * 60 / perMinute)
    }

    /// Takes the amount only when it is there now.
    package mutating func take(_ amount: Double = 1, at now: Instant) -> Bool {
        refill(at: now)
        guard available >= amount else { return false }
        available -= amount
        return true
    }

    /// After the call: what it really used, where `reserve` took an estimate.
    package mutating func settle(reserved: Double, used: Double, at now: Instant) {
        refill(at: now)
        available = min(burst, available + reserved - used)
    }

    /// The other side said when it will listen again: nothing is available until then.
    package mutating func pause(until instant: Instant, at now: Instant) {
        refill(at: now)
        guard instant > now else { return }
        let deficit = (instant - now) / .seconds(60) * perMinute
        available = min(available, -deficit + min(1, burst))
    }

    private mutating func refill(at now: Instant) {
        guard now > updatedAt else { return }
        available = min(burst, available + (now - updatedAt) / .seconds(60) * perMinute)
        updatedAt = now
    }
}
