import Redis
import ServiceRuntime
import Synchronization
import TestServers
import Testing

@testable import Embedder

struct EmbeddingLaneTests {
    @Test func whatWasEmbeddedOnceIsNotAskedForAgain() async throws {
        let fixture = try await LaneFixture(FakeProvider(limits: LaneFixture.limits(batch: 256)))
        let first = await fixture.lane.embed(["a", "b", "c"])
        #expect(first.map(\.isCached) == [false, false, false])
        #expect(first.reduce(0) { $0 + $1.tokens } == 30)
        let second = await fixture.lane.embed(["c", "d", "a"])
        #expect(second.map(\.isCached) == [true, false, true])
        #expect(second[0].vector == first[2].vector)
        #expect(fixture.provider.calls.map(\.texts) == [["a", "b", "c"], ["d"]])
    }

    @Test func identicalTextsInOneBatchAreEmbeddedOnce() async throws {
        let fixture = try await LaneFixture(FakeProvider())
        let outcomes = await fixture.lane.embed(["a", "b", "a", "a"])
        #expect(fixture.provider.calls.map(\.texts) == [["a", "b"]])
        #expect(outcomes.map(\.isCached) == [false, false, true, true])
        #expect(outcomes.allSatisfy { $0.vector != nil })
    }

    @Test func identicalTextsOfTwoCallersAreEmbeddedOnce() async throws {
        let (reached, released) = (Shutdown(), Shutdown())
        let provider = FakeProvider { call, _ in
            reached.request()
            await released.wait()
            return FakeProvider.answer(call)
        }
        let fixture = try await LaneFixture(provider)
        async let first = fixture.lane.embed(["a", "b"])
        await reached.wait()
        async let second = fixture.lane.embed(["b", "a"])
        // the second is in before the first is released: what it shares is under way
        while fixture.lane.waiters(of: "a") < 2 { await Task.yield() }
        released.request()
        let both = await (first, second)
        #expect(both.0[0].vector == both.1[1].vector)
        #expect(both.1.map(\.isCached) == [true, true])
        #expect(provider.calls.count == 1)
    }

    @Test func batchesAreFilledAcrossCallers() async throws {
        let fixture = try await LaneFixture(
            FakeProvider(limits: ProviderLimits(batchSize: 100, concurrency: 2, linger: .seconds(60))))
        await withTaskGroup(of: Void.self) { group in
            for caller in 0..<10 {
                group.addTask {
                    let outcomes = await fixture.lane.embed((0..<50).map { "text \(caller) \($0)" })
                    #expect(outcomes.allSatisfy { $0.vector != nil })
                }
            }
        }
        #expect(fixture.provider.calls.map(\.texts.count) == [100, 100, 100, 100, 100])
    }

    @Test func aBatchHoldsNoMoreTokensThanTheProviderTakes() async throws {
        var limits = LaneFixture.limits(batch: 100)
        limits.batchTokens = 1000
        let fixture = try await LaneFixture(FakeProvider(limits: limits))
        let outcomes = await fixture.lane.embed((0..<10).map { String(repeating: "x", count: 900 + $0) })
        #expect(outcomes.allSatisfy { $0.vector != nil })
        #expect(fixture.provider.calls.allSatisfy { $0.texts.count <= 3 })
    }

    @Test func oneBadTextFailsAloneAndTheRestIsCached() async throws {
        let provider = FakeProvider { call, _ in
            if call.texts.contains("bad") { throw EmbeddingError(.contextLength, "too long") }
            return FakeProvider.answer(call)
        }
        let fixture = try await LaneFixture(provider)
        let outcomes = await fixture.lane.embed(["a", "bad", "b", "c"])
        #expect(outcomes.map { $0.vector != nil } == [true, false, true, true])
        #expect(provider.calls.count <= 5)
        #expect(await fixture.lane.embed(["a", "b", "c"]).map(\.isCached) == [true, true, true])
    }

    @Test func aKeyWithAnythingElseInItIsAMiss() async throws {
        let fixture = try await LaneFixture(FakeProvider())
        _ = await fixture.lane.embed(["a"])
        let keys = try await fixture.redis.send("KEYS", "emb:*").array ?? []
        #expect(keys.count == 1)
        #expect(keys[0].string?.hasPrefix("emb:openai|fake|4|any|") == true)
        _ = try await fixture.redis.send("SET", RedisArgument(keys[0].bytes ?? []), "short")
        #expect(await fixture.lane.embed(["a"]).map(\.isCached) == [false])
        #expect(fixture.provider.calls.count == 2)
    }

    @Test func pastTheBudgetVectorsAreKeptForMinutes() async throws {
        func timeToLive(share: Double) async throws -> Int64 {
            let fixture = try await LaneFixture(FakeProvider(), cache: .init(share: share))
            _ = await fixture.lane.embed(["a"])
            let keys = try await fixture.redis.send("KEYS", "emb:*").array ?? []
            return try await fixture.redis.send("TTL", RedisArgument(keys[0].bytes ?? [])).integer ?? 0
        }
        #expect(try await timeToLive(share: 0.9) > 86_400)
        let short = try await timeToLive(share: 1e-9)
        #expect((1...900).contains(short))
    }

    @Test func worksWithoutItsCache() async throws {
        let server = try await RedisServer()
        let fixture = try await LaneFixture(FakeProvider(), url: server.url, cache: .init(patience: .zero))
        try await server.kill()
        #expect(await fixture.lane.embed(["a"]).allSatisfy { $0.vector != nil })
    }

    @Test func whatTheCacheDidNotTakeIsNotPaidAgainAndSavedLater() async throws {
        let server = try await RedisServer()
        let fixture = try await LaneFixture(FakeProvider(), url: server.url)
        try await server.kill()
        let first = await fixture.lane.embed(["a", "b"], isUrgent: true)
        let second = await fixture.lane.embed(["b", "a"], isUrgent: true)
        #expect(second.map(\.isCached) == [true, true] && second.map(\.vector) == first.reversed().map(\.vector))
        #expect(fixture.provider.calls.count == 1)
        try await server.start()
        _ = await fixture.lane.embed(["c"])
        let other = try await LaneFixture(FakeProvider(), url: server.url)
        #expect(await other.lane.embed(["a", "b", "c"]).map(\.isCached) == [true, true, true])
    }

    @Test func vectorsThatTheCacheDidNotTakeAreKeptUpToALimit() async throws {
        let server = try await RedisServer()
        let fixture = try await LaneFixture(
            FakeProvider(), url: server.url, cache: .init(patience: .zero, unsavedMemory: 1))
        try await server.kill()
        _ = await fixture.lane.embed(["a"])
        _ = await fixture.lane.embed(["b"])
        #expect(await fixture.lane.embed(["a", "b"]).map(\.isCached) == [true, false])
    }

    @Test func aCacheThatIsAwayForAMomentIsWaitedForButNotByQueries() async throws {
        let server = try await RedisServer()
        _ = await (try await LaneFixture(FakeProvider(), url: server.url)).lane.embed(["a"])
        let fixture = try await LaneFixture(FakeProvider(), url: server.url)
        try await server.kill()
        #expect(await fixture.lane.embed(["q"], isUrgent: true)[0].vector != nil)
        let returns = Shutdown()
        let waited = await fixture.lane.embed(["a"]) {
            // Asked after the first read that failed.
            if !returns.isRequested {
                returns.request()
                try? await server.start()
            }
            return true
        }
        #expect(waited.map(\.isCached) == [true])
        #expect(fixture.provider.calls.map(\.texts) == [["q"]])
    }

    @Test func nobodysWorkIsNotSent() async throws {
        let fixture = try await LaneFixture(FakeProvider())
        let outcomes = await fixture.lane.embed(["a"], isWanted: { false })
        guard case .failure(let error) = outcomes[0].result else { throw error(outcomes) }
        #expect(error.kind == .superseded)
        #expect(fixture.provider.calls.isEmpty)
    }
    private func error(_ outcomes: [Embedding]) -> EmbeddingError {
        EmbeddingError(.cancelled, "\(outcomes.count) came")
    }

    @Test func queriesAndDocumentsOfOneSchemeShareTheirVectors() async throws {
        let fixture = try await LaneFixture(FakeProvider())
        let query = try fixture.service.lane(fixture.gate, model: nil, dimensions: nil, task: .query)
        #expect(query === fixture.lane)
        #expect(throws: EmbeddingError.self) {
            try fixture.service.lane(fixture.gate, model: "other", dimensions: nil, task: .query)
        }
    }
}
