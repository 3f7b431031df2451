import Redis
import ServiceRuntime
import TestServers
import Testing
import WireProtocol

@testable import WorkQueue

struct QueueConsumerTests {
    @Test func claimsInOrderWithBodiesAndForgetsWhatIsAcknowledged() async throws {
        let fixture = try await QueueFixture()
        try await fixture.push(1...5)
        let consumer = try await fixture.consumer(of: .embed)
        let first = try await consumer.claim(upTo: 3, wait: .zero)
        #expect(first.map(\.message.batchID) == [1, 2, 3])
        #expect(first.map(\.body) == [[1, 1, 1], [2, 2, 2], [3, 3, 3]])
        #expect(consumer.stillHolds(first))
        #expect(await consumer.acknowledge(first) == 3)
        let rest = try await consumer.claim(upTo: 3, wait: .zero)
        #expect(rest.map(\.message.batchID) == [4, 5])
        await consumer.acknowledge(rest)
        #expect(try await consumer.claim(upTo: 3, wait: .zero).isEmpty)
        #expect(try await fixture.keys("body:*").isEmpty)
        #expect(try await fixture.keys("proc:*").isEmpty)
        #expect(consumer.held.count == 0)
    }

    @Test func anIdleConsumerWakesWhenSomethingIsPushed() async throws {
        let fixture = try await QueueFixture()
        let consumer = try await fixture.consumer(of: .embed)
        async let claimed = consumer.claim(upTo: 10, wait: .seconds(30))
        while try await fixture.redis.send("CLIENT", "LIST").string?.contains("cmd=blmove") != true {}
        try await fixture.push(1...4)
        var batches = try await claimed.map(\.message.batchID)
        while batches.count < 4 {
            batches += try await consumer.claim(upTo: 10, wait: .seconds(5)).map(\.message.batchID)
        }
        #expect(batches == [1, 2, 3, 4])
    }

    @Test func passingOnMovesMessagesAndBodies() async throws {
        let fixture = try await QueueFixture()
        try await fixture.push(1...2)
        let embedder = try await fixture.consumer(of: .embed)
        let indexer = try await fixture.consumer(of: .index)
        let claimed = try await embedder.claim(upTo: 10, wait: .zero)
        let large = [UInt8](repeating: 7, count: 500_000)
        try await embedder.pass(
            claimed, on: claimed.map { (fixture.message($0.message.batchID, kind: .index), large) }, to: .index)
        #expect(try await fixture.keys("body:*").sorted() == ["body:index:1", "body:index:2"])
        #expect(try await fixture.keys("staged:*").isEmpty)
        #expect(try await fixture.redis.send("TTL", "body:index:1").integer ?? 0 > 600_000)
        let arrived = try await indexer.claim(upTo: 10, wait: .zero)
        #expect(arrived.map(\.message.batchID) == [1, 2])
        #expect(arrived.map(\.body) == [large, large])
        #expect(embedder.held.count == 0)
    }

    @Test func stoppingGivesBackInOrder() async throws {
        let fixture = try await QueueFixture()
        try await fixture.push(1...4)
        let first = try await fixture.consumer(of: .embed)
        let claimed = try await first.claim(upTo: 3, wait: .zero)
        await first.giveBack([claimed[1]])
        await first.stop()
        #expect(try await first.claim(upTo: 3, wait: .seconds(9)).isEmpty)
        #expect(try await fixture.keys("lease:*").isEmpty)
        let second = try await fixture.consumer(of: .embed)
        let again = try await second.claim(upTo: 9, wait: .zero)
        #expect(again.map(\.message.batchID) == [1, 3, 2, 4])
        #expect(again.allSatisfy { $0.message.attempt == 1 })
    }

    @Test func whatIsLetGoComesAgainWhileItWasNotTakenAway() async throws {
        let fixture = try await QueueFixture()
        try await fixture.push(1...3)
        let consumer = try await fixture.consumer(of: .embed)
        let claimed = try await consumer.claim(upTo: 2, wait: .zero)
        consumer.letGo(claimed)
        #expect(consumer.held.count == 0)
        #expect(try await consumer.claim(upTo: 2, wait: .zero).map(\.message.batchID) == [1, 2])
        #expect(try await consumer.claim(upTo: 2, wait: .zero).map(\.message.batchID) == [3])
        #expect(try await fixture.queue.depth(of: .embed) == 0)
    }

    @Test func stoppingEndsAWait() async throws {
        let fixture = try await QueueFixture()
        let consumer = try await fixture.consumer(of: .embed)
        async let claimed = consumer.claim(upTo: 10, wait: .seconds(60))
        while try await fixture.redis.send("CLIENT", "LIST").string?.contains("cmd=blmove") != true {}
        await consumer.stop()
        #expect(try await claimed.isEmpty)
    }

    @Test func aZombieCannotPassOnNorAcknowledge() async throws {
        let fixture = try await QueueFixture()
        try await fixture.push(1...1)
        let zombie = try await fixture.consumer(of: .embed)
        let claimed = try await zombie.claim(upTo: 1, wait: .zero)
        var lost: [LostDelivery] = []
        while lost.isEmpty {  // its thread may renew the lease in between
            try await fixture.expire(zombie)
            lost = try await fixture.queue.reap()
        }
        #expect(lost.map(\.message.batchID) == [1])
        let other = try await fixture.consumer(of: .embed)
        let redelivered = try await other.claim(upTo: 1, wait: .zero)
        #expect(redelivered.map(\.message.attempt) == [2])
        await #expect(throws: WorkQueueError.notHeld) {
            try await zombie.pass(claimed, on: [(fixture.message(1, kind: .index), [9])], to: .index)
        }
        #expect(await zombie.acknowledge(claimed) == 0)
        #expect(try await fixture.keys("body:*") == ["body:embed:1"])
        #expect(try await fixture.keys("staged:*").isEmpty)
        #expect(try await fixture.queue.depth(of: .index) == 0)
        #expect(zombie.held.count == 0)
    }

    @Test func claimsNothingWithoutALeaseAndGivesBackWhatBLMOVEBrought() async throws {
        let fixture = try await QueueFixture()
        let consumer = try await fixture.consumer(of: .embed)
        consumer.lease.stop()
        _ = try await fixture.redis.send("DEL", RedisArgument("lease:\(consumer.id)"))
        try await fixture.push(1...2)
        _ = try await fixture.redis.send("LMOVE", "queue:embed", RedisArgument("proc:\(consumer.id)"), "RIGHT", "LEFT")
        let refused = try await fixture.redis.run(
            QueueScripts.claim,
            keys: ["queue:embed", "proc:\(consumer.id)", "lease:\(consumer.id)", "consumers"], arguments: ["5", "x"])
        #expect(refused.isNull)
        #expect(!consumer.lease.isHeld)
        #expect(try await consumer.claim(upTo: 5, wait: .milliseconds(50)).isEmpty)
        #expect(try await fixture.queue.depth(of: .embed) == 2)
    }

    @Test func findsWhatAReplyLostOnItsWayHadBrought() async throws {
        let fixture = try await QueueFixture()
        try await fixture.push(1...5)
        let consumer = try await fixture.consumer(of: .embed)
        let held = try await consumer.claim(upTo: 2, wait: .zero)
        for _ in 0..<2 {  // as a claim whose reply never came
            _ = try await fixture.redis.send(
                "LMOVE", "queue:embed", RedisArgument("proc:\(consumer.id)"), "RIGHT", "LEFT")
        }
        consumer.held.mustRecover()
        #expect(try await consumer.claim(upTo: 1, wait: .zero).map(\.message.batchID) == [3])
        #expect(try await consumer.claim(upTo: 9, wait: .zero).map(\.message.batchID) == [4])
        #expect(try await consumer.claim(upTo: 9, wait: .zero).map(\.message.batchID) == [5])
        #expect(await consumer.acknowledge(held) == 2)
    }

    @Test func losesAndDoublesNothingWhereverConsumersAreKilled() async throws {
        let fixture = try await QueueFixture()
        let total: Int64 = 60
        try await fixture.push(1...total)
        var random = SeededGenerator(seed: 42)
        var embedders: [QueueConsumer] = []
        var indexers: [QueueConsumer] = []
        var arrived: [Int64: Int] = [:]
        var deaths = 0
        while arrived.count < total {
            while embedders.count < 2 { embedders.append(try await fixture.consumer(of: .embed)) }
            while indexers.count < 2 { indexers.append(try await fixture.consumer(of: .index)) }
            let embedder = embedders[Int.random(in: 0..<2, using: &random)]
            let step = Int.random(in: 0..<6, using: &random)  // after which an embedder or indexer dies; 4, 5: nobody
            let claimed = try await embedder.claim(upTo: Int.random(in: 1...5, using: &random), wait: .zero)
            if step == 0 {
                try await fixture.kill(embedder)
                embedders.removeAll { $0 === embedder }
            } else if !claimed.isEmpty {
                try await embedder.pass(
                    claimed, on: claimed.map { (fixture.message($0.message.batchID, kind: .index), $0.body) },
                    to: .index)
                if step == 1 {
                    try await fixture.kill(embedder)
                    embedders.removeAll { $0 === embedder }
                }
            }
            let indexer = indexers[Int.random(in: 0..<2, using: &random)]
            let received = try await indexer.claim(upTo: 4, wait: .zero)
            if step == 2 {
                try await fixture.kill(indexer)
                indexers.removeAll { $0 === indexer }
            } else {
                for delivery in received {
                    #expect(
                        delivery.body
                            == [UInt8](repeating: UInt8(truncatingIfNeeded: delivery.message.batchID), count: 3))
                }
                for delivery in received where await indexer.acknowledge([delivery]) == 1 {
                    arrived[delivery.message.batchID, default: 0] += 1
                }
                if step == 3 {
                    try await fixture.kill(indexer)
                    indexers.removeAll { $0 === indexer }
                }
            }
            if step < 4 { deaths += 1 }
            _ = try await fixture.queue.reap()
        }
        #expect(deaths > 5)
        #expect(arrived.values.allSatisfy { $0 == 1 })
        #expect(try await fixture.keys("body:*").isEmpty)
        #expect(try await fixture.queue.queuedBatchIDs().isEmpty)
    }
}

/// SplitMix64: the same schedule in every run.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
