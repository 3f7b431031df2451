import ServiceRuntime
import Synchronization
import Testing

@testable import Embedder

struct ProviderGateTests {
    private let pauses = Pauses()
    private final class Pauses: Sendable {
        let all = Mutex<[Duration]>([])
        var list: [Duration] { all.withLock { $0 } }
    }
    private func gate(_ provider: FakeProvider) -> ProviderGate {
        ProviderGate(
            provider, metrics: Metrics(), log: .silent,
            sleep: { [pauses] pause in pauses.all.withLock { $0.append(pause) } })
    }
    private func call(_ texts: String...) -> EmbeddingCall {
        EmbeddingCall(texts: texts, model: "fake", dimensions: 4, task: .document)
    }

    @Test func waitsAsLongAsTheProviderAsks() async throws {
        let provider = FakeProvider { call, number in
            if number < 3 { throw EmbeddingError(.rateLimited, "slow down", retryAfter: .seconds(7)) }
            return FakeProvider.answer(call)
        }
        _ = try await gate(provider).embed(call("a"))
        #expect(provider.calls.count == 3)
        // each time the wait of the retry, and what is left of the pause that holds for all calls
        #expect(pauses.list.filter { $0 >= .seconds(7) && $0 <= .seconds(8) }.count == 2)
    }

    @Test(arguments: [
        (EmbeddingError.Kind.serverError, 3), (.timeout, 2), (.badVector, 2), (.authInvalid, 1), (.contextLength, 1),
    ])
    func triesAgainAsOftenAsItMayHelp(kind: EmbeddingError.Kind, calls: Int) async {
        let provider = FakeProvider { _, _ in throw EmbeddingError(kind, "no") }
        await #expect(throws: EmbeddingError.self) { try await gate(provider).embed(call("a")) }
        #expect(provider.calls.count == calls)
    }

    @Test func aWaitOfMinutesIsAnOutageAndNotARetry() async {
        let provider = FakeProvider { _, _ in throw EmbeddingError(.rateLimited, "tomorrow", retryAfter: .seconds(3600))
        }
        let gate = gate(provider)
        await #expect(throws: EmbeddingError.self) { try await gate.embed(call("a")) }
        #expect(provider.calls.count == 1)
        #expect(gate.outage?.error.kind == .rateLimited)
    }

    @Test func anOutageEndsWithTheFirstAnswer() async throws {
        let provider = FakeProvider { call, number in
            if number == 1 { throw EmbeddingError(.authInvalid, "key") }
            return FakeProvider.answer(call)
        }
        let gate = gate(provider)
        await #expect(throws: EmbeddingError.self) { try await gate.embed(call("a")) }
        #expect(gate.outage?.error.kind == .authInvalid)
        _ = try await gate.embed(call("a"))
        #expect(gate.outage == nil)
    }

    @Test func aRefusedTextIsNoOutage() async {
        let provider = FakeProvider { _, _ in throw EmbeddingError(.contextLength, "long") }
        let gate = gate(provider)
        await #expect(throws: EmbeddingError.self) { try await gate.embed(call("a")) }
        #expect(gate.outage == nil)
    }

    @Test func unwantedWorkIsNotSent() async {
        let provider = FakeProvider()
        await #expect(throws: EmbeddingError(.superseded, "the job has been replaced or ended")) {
            try await gate(provider).embed(call("a"), isWanted: { false })
        }
        #expect(provider.calls.isEmpty)
    }

    @Test func aProviderThatKeepsFailingIsLeftAlone() async {
        let provider = FakeProvider { _, _ in throw EmbeddingError(.overloaded, "503") }
        let gate = gate(provider)
        for _ in 0..<5 { await #expect(throws: EmbeddingError.self) { try await gate.embed(call("a")) } }
        #expect(provider.calls.count == 10)
        await #expect { try await gate.embed(call("a")) } throws: { ($0 as? EmbeddingError)?.kind == .circuitOpen }
    }
}

struct RateLimitTests {
    private let start = ContinuousClock.now

    @Test func requestsAreSpreadOverTheMinute() {
        var limit = RateLimit(requestsPerMinute: 60)
        let starts = (0..<4).map { _ in limit.reserve(tokens: 100, now: start) - start }
        #expect(starts == [.zero, .seconds(1), .seconds(2), .seconds(3)])
        #expect(limit.reserve(tokens: 1, now: start + .seconds(100)) == start + .seconds(100))
    }

    @Test func tokensCountTooAndAPauseHoldsForAll() {
        var limit = RateLimit(requestsPerMinute: 6000, tokensPerMinute: 60_000)
        #expect(limit.reserve(tokens: 5000, now: start) == start)
        #expect(limit.reserve(tokens: 1000, now: start) - start == .seconds(5))
        limit.pause(until: start + .seconds(30))
        #expect(limit.reserve(tokens: 1, now: start) - start == .seconds(30))
    }

    @Test func withoutLimitsNobodyWaits() {
        var limit = RateLimit()
        #expect((0..<1000).allSatisfy { _ in limit.reserve(tokens: 1_000_000, now: start) == start })
    }
}
