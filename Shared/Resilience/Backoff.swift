/// Exponential backoff with full jitter: wait u(0, min(cap, base * 2^n)) before attempt n + 1.
///
/// Source: "Exponential Backoff And Jitter", AWS Architecture Blog. A time the server names is kept: never earlier, and at
/// most a tenth (and a second) later.
package struct Backoff: Sendable, Equatable {
    package var base: Duration
    package var cap: Duration
    /// Attempts in all, the first included.
    package var attempts: Int

    package init(base: Duration = .milliseconds(500), cap: Duration = .seconds(30), attempts: Int = 4) {
        self.base = base
        self.cap = cap
        self.attempts = attempts
    }

    /// `failures` so far, at least 1. `nil` when no attempt is left.
    package func delay(
        afterFailures failures: Int, serverAsksFor: Duration? = nil,
        random: (ClosedRange<Double>) -> Double = { .random(in: $0) }
    ) -> Duration? {
        guard failures < attempts else { return nil }
        if let asked = serverAsksFor { return asked + min(.seconds(1), asked / 10) * random(0...1) }
        let exponent = min(failures - 1, 20)
        return min(cap, base * (1 << exponent)) * random(0...1)
    }
}

/// Runs `operation` until it succeeds, fails for good, or no attempt is left. `isRetryable` decides from the error.
package func retrying<Value: Sendable>(
    _ backoff: Backoff, isRetryable: (any Error) -> Bool,
    sleep: (Duration) async throws -> Void = { try await Task.sleep(for: $0) },
    operation: () async throws -> Value
) async throws -> Value {
    var failures = 0
    while true {
        do {
            return try await operation()
        } catch {
            failures += 1
            guard isRetryable(error), let delay = backoff.delay(afterFailures: failures) else { throw error }
            try await sleep(delay)
        }
    }
}
