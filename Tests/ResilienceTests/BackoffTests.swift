import Resilience
import Testing

struct BackoffTests {
    private let backoff = Backoff(base: .milliseconds(500), cap: .seconds(3), attempts: 5)

    @Test func theLongestWaitDoublesUpToTheCap() {
        let longest = (1...4).map { backoff.delay(afterFailures: $0) { $0.upperBound } }
        #expect(longest == [.milliseconds(500), .seconds(1), .seconds(2), .seconds(3)])
    }

    @Test func noAttemptIsLeftAfterTheLast() { #expect(backoff.delay(afterFailures: 5) == nil) }

    @Test func aTimeTheServerNamesIsNeverCutShort() {
        #expect(backoff.delay(afterFailures: 1, serverAsksFor: .seconds(7)) { $0.lowerBound } == .seconds(7))
        #expect(backoff.delay(afterFailures: 1, serverAsksFor: .zero) { $0.upperBound } == .zero)
    }

    private struct Transient: Error {}
    private struct Final: Error {}

    @Test func onlyWhatCanBeCuredIsTriedAgain() async throws {
        var calls = 0
        let value = try await retrying(backoff, isRetryable: { $0 is Transient }, sleep: { _ in }) {
            calls += 1
            if calls < 3 { throw Transient() }
            return calls
        }
        #expect(value == 3)
        await #expect(throws: Final.self) {
            try await retrying(backoff, isRetryable: { $0 is Transient }, sleep: { _ in }) { throw Final() }
        }
    }
}
