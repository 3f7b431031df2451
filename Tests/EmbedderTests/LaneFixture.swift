import Redis
import ServiceRuntime
import TestServers

@testable import Embedder

/// A lane over a fake provider and a Redis database of its own.
struct LaneFixture {
    let url: String
    let redis: RedisConnection
    let provider: FakeProvider
    let gate: ProviderGate
    let service: EmbeddingService
    let lane: EmbeddingLane

    init(
        _ provider: FakeProvider, beside: FakeProvider? = nil, url: String? = nil,
        cache: EmbeddingCache.Settings = .init()
    ) async throws {
        if let url { self.url = url } else { self.url = try await RedisServer.shared().createDatabase() }
        redis = RedisConnection(url: self.url, log: .silent)
        self.provider = provider
        gate = ProviderGate(provider, metrics: Metrics(), log: .silent, sleep: { _ in await Task.yield() })
        service = EmbeddingService(
            gates: [gate] + (beside.map { [ProviderGate($0, metrics: Metrics(), log: .silent)] } ?? []),
            cache: EmbeddingCache(redis: redis, settings: cache, metrics: Metrics(), log: .silent),
            metrics: Metrics())
        lane = try service.lane(gate, model: nil, dimensions: nil, task: .document)
    }

    static func limits(batch: Int, concurrency: Int = 4) -> ProviderLimits {
        ProviderLimits(batchSize: batch, concurrency: concurrency, linger: .milliseconds(20))
    }
}

extension Embedding {
    var vector: [Float]? { try? result.get() }
}
