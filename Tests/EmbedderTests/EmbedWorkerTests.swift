import Redis
import Resilience
import ServiceRuntime
import Synchronization
import TestServers
import Testing
import WireProtocol
import WorkQueue

@testable import Embedder

/// The worker over a real Redis.
struct EmbedWorkerTests {
    private struct Fixture {
        let lane: LaneFixture
        let queue: WorkQueue
        let worker: EmbedWorker
        let shutdown = Shutdown()

        init(
            _ provider: FakeProvider, beside: FakeProvider? = nil, outageLimit: Duration = .seconds(600),
            claim: Int = 16
        ) async throws {
            lane = try await LaneFixture(provider, beside: beside)
            queue = WorkQueue(redis: lane.redis, metrics: Metrics(), log: .silent)
            worker = EmbedWorker(
                consumer: QueueConsumer(
                    queue: .embed, service: "embedder", redisURL: lane.url, metrics: Metrics(), log: .silent),
                queue: queue, service: lane.service, fence: EpochFence(queue: queue, lifetime: .zero),
                settings: .init(
                    claim: claim, outageLimit: outageLimit,
                    outageBackoff: Backoff(base: .milliseconds(1), cap: .milliseconds(5), attempts: .max)),
                metrics: Metrics(), log: .silent)
        }

        func message(_ batch: Int64, epoch: Int = 1) -> WorkMessage {
            WorkMessage(jobID: "job", epoch: epoch, batchID: batch, kind: .embed, enqueuedAt: 0)
        }

        func push(_ batch: Int64, _ texts: [String], epoch: Int = 1, dimensions: Int = 4, provider: String = "openai")
            async throws
        {
            let header = RecordBatch.Header(
                jobID: "job", epoch: epoch, batchID: batch, operation: .upsert, datasourceID: "source", collection: "c",
                space: EmbeddingSpace(provider: provider, model: "fake", dimensions: dimensions), readSequence: 1)
            let records = texts.enumerated().map {
                ProcessedRecord(
                    key: "\($0)", contentHash: [1], textHash: [2], text: $1, payload: Array(#"{"a":1}"#.utf8))
            }
            let body = try RecordBatch(header: header, records: records).encoded()
            try await queue.push([(message(batch, epoch: epoch), body)], to: .embed)
        }

        /// Runs the worker until `count` batches lie in `queue:index`, and answers them.
        func results(_ count: Int) async throws -> [RecordBatch] {
            let reader = QueueConsumer(
                queue: .index, service: "test", redisURL: lane.url, metrics: Metrics(), log: .silent)
            await reader.start()
            var batches: [RecordBatch] = []
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run(until: shutdown) }
                while batches.count < count {
                    let deliveries = try await reader.claim(upTo: 100, wait: .seconds(1))
                    for delivery in deliveries {
                        #expect(delivery.message.kind == .index && delivery.message.attempt == 1)
                        batches.append(try RecordBatch(decoding: delivery.body ?? []))
                    }
                    await reader.acknowledge(deliveries)
                }
                shutdown.request()
                try await group.waitForAll()
            }
            await reader.stop()
            return batches.sorted { $0.header.batchID < $1.header.batchID }
        }

        func isEmpty() async throws -> Bool {
            let keys = try await lane.redis.send("KEYS", "*").array?.compactMap(\.string) ?? []
            return !keys.contains { $0.hasPrefix("body:") || $0.hasPrefix("queue:") || $0.hasPrefix("processing:") }
        }
    }

    @Test func batchesGoOnWithTheirVectors() async throws {
        let fixture = try await Fixture(
            FakeProvider(limits: ProviderLimits(batchSize: 100, concurrency: 2, linger: .seconds(60))))
        for batch in 1...10 { try await fixture.push(Int64(batch), (0..<10).map { "text \(batch) \($0)" }) }
        let batches = try await fixture.results(10)
        #expect(batches.map(\.header.batchID) == Array(1...10))
        for batch in batches {
            for record in batch.records {
                #expect(record.vector == FakeProvider.vector(of: record.text))
                #expect(record.payload == Array(#"{"a":1}"#.utf8))
            }
            #expect(batch.header.usage == .init(requested: 10, cached: 0, billedTokens: 100, cost: 0))
        }
        #expect(fixture.lane.provider.calls.map(\.texts.count) == [100])
        #expect(try await fixture.isEmpty())
    }

    @Test func aBadTextTravelsAsItsRecordsFailure() async throws {
        let provider = FakeProvider { call, _ in
            if call.texts.contains("bad") { throw EmbeddingError(.contextLength, "status 400: too long") }
            return FakeProvider.answer(call)
        }
        let fixture = try await Fixture(provider)
        try await fixture.push(1, ["a", "bad", "  ", "c"])
        let records = try await fixture.results(1)[0].records
        #expect(records.map(\.failure?.type) == [nil, "embedding_rejected", "embedding_rejected", nil])
        #expect(records[1].failure?.message.contains("context_length") == true)
        #expect(records.map(\.vector.isEmpty) == [false, true, true, false])
    }

    @Test func workOfAnOldEpochIsDropped() async throws {
        let fixture = try await Fixture(FakeProvider())
        await fixture.queue.raiseEpoch(ofJob: "job", to: 2)
        try await fixture.push(1, ["old"], epoch: 1)
        try await fixture.push(2, ["new"], epoch: 2)
        let batches = try await fixture.results(1)
        #expect(batches.map(\.header.batchID) == [2])
        #expect(fixture.lane.provider.calls.flatMap(\.texts) == ["new"])
        #expect(try await fixture.isEmpty())
    }

    @Test func anOutageIsWaitedOut() async throws {
        let provider = FakeProvider { call, number in
            if number <= 8 { throw EmbeddingError(.connection, "refused") }
            return FakeProvider.answer(call)
        }
        let fixture = try await Fixture(provider)
        try await fixture.push(1, ["a", "b"])
        let batch = try await fixture.results(1)[0]
        #expect(batch.header.failure == nil)
        #expect(batch.records.allSatisfy { $0.vector.count == 4 })
    }

    @Test func anOutagePastItsLimitEndsTheJob() async throws {
        let provider = FakeProvider { _, _ in throw EmbeddingError(.connection, "refused") }
        let fixture = try await Fixture(provider, outageLimit: .milliseconds(50))
        try await fixture.push(1, ["a"])
        let batch = try await fixture.results(1)[0]
        #expect(batch.header.failure?.type.hasPrefix("embedding_") == true)
        #expect(batch.records[0].failure == nil && batch.records[0].vector.isEmpty)
    }

    @Test func whatWaitingCannotHelpEndsTheJobAtOnce() async throws {
        let refused = try await Fixture(
            FakeProvider { _, _ in throw EmbeddingError(.authInvalid, "status 401: wrong key") })
        try await refused.push(1, ["a"])
        #expect(
            try await refused.results(1)[0].header.failure
                == .init(type: "embedding_auth_invalid", message: "status 401: wrong key"))
        let otherSpace = try await Fixture(FakeProvider())
        try await otherSpace.push(1, ["a"], dimensions: 768)
        #expect(try await otherSpace.results(1)[0].header.failure?.type == "embedding_space_unavailable")
        #expect(otherSpace.lane.provider.calls.isEmpty)
    }

    @Test func aStopGivesBackWhatIsHeld() async throws {
        let reached = Shutdown()
        let provider = FakeProvider { _, _ in
            reached.request()
            throw EmbeddingError(.connection, "refused")
        }
        let fixture = try await Fixture(provider)
        try await fixture.push(1, ["a"])
        async let run: Void = fixture.worker.run(until: fixture.shutdown)
        await reached.wait()
        fixture.shutdown.request()
        try await run
        #expect(try await fixture.queue.depth(of: .embed) == 1)
        let held = try await fixture.lane.redis.send("KEYS", "processing:*").array ?? []
        #expect(held.isEmpty)
    }

    @Test func anUnreadableBatchBecomesADeadLetter() async throws {
        let fixture = try await Fixture(FakeProvider())
        try await fixture.queue.push([(fixture.message(1), [1, 2, 3])], to: .embed)
        try await fixture.push(2, ["a"])
        #expect(try await fixture.results(1).map(\.header.batchID) == [2])
        #expect(try await fixture.queue.deadLetters().total == 1)
    }

    /// A collection is filled with one model while its next version is filled with another.
    @Test func eachBatchIsEmbeddedInItsOwnSpace() async throws {
        let fixture = try await Fixture(
            FakeProvider(name: "openai"), beside: FakeProvider(name: "hashing", dimensions: 8))
        try await fixture.push(1, ["a lamp", "a chair"])
        try await fixture.push(2, ["a lamp", "a chair"], dimensions: 8, provider: "hashing")
        try await fixture.push(3, ["a table"], dimensions: 8, provider: "nobody")
        let batches = try await fixture.results(3).sorted { $0.header.batchID < $1.header.batchID }
        for (batch, dimensions) in zip(batches, [4, 8]) {
            #expect(
                batch.records.map(\.vector)
                    == ["a lamp", "a chair"].map { FakeProvider.vector(of: $0, dimensions: dimensions) })
        }
        #expect(batches[2].header.failure?.type == "embedding_space_unavailable")
    }
}
