import Redis
import ServiceRuntime
import TestServers
import Testing
import WireProtocol

@testable import WorkQueue

/// The queue while Redis forgets, dies or is full.
struct RedisFaultTests {
    @Test func consumersGoOnAfterEverythingWasFlushed() async throws {
        let server = try await RedisServer()
        let fixture = QueueFixture(url: server.url)
        try await fixture.push(1...2)
        let consumer = try await fixture.consumer(of: .embed, lease: .seconds(4))
        let before = try await consumer.claim(upTo: 2, wait: .seconds(5))
        #expect(before.count == 2)
        try await server.flush()
        try await fixture.push(5...6)
        let after = try await consumer.claim(upTo: 9, wait: .seconds(10))
        #expect(after.map(\.message.batchID) == [5, 6])
        #expect(!consumer.stillHolds(before))
        #expect(consumer.stillHolds(after))
        #expect(await consumer.acknowledge(before) == 0)
        #expect(await consumer.acknowledge(after) == 2)
    }

    @Test func nothingIsLostWhenRedisIsKilled() async throws {
        let server = try await RedisServer()
        let fixture = QueueFixture(url: server.url)
        try await fixture.push(1...4)
        let consumer = try await fixture.consumer(of: .embed)
        let held = try await consumer.claim(upTo: 2, wait: .seconds(5))
        async let waiting = consumer.claim(upTo: 9, wait: .seconds(30))
        _ = try await waiting  // 3 and 4
        try await server.kill()
        async let next = consumer.claim(upTo: 9, wait: .seconds(30))
        try await server.start()
        #expect(await consumer.acknowledge(held) == 2)
        try await fixture.push(5...5)
        #expect(try await next.map(\.message.batchID) == [5])
        #expect(try await fixture.queue.queuedBatchIDs() == [3, 4, 5])
    }

    @Test func aFullRedisStillDrainsAndIsNotTakenForDeath() async throws {
        let server = try await RedisServer()
        let fixture = QueueFixture(url: server.url)
        try await fixture.push(1...6, bytes: 1000)
        let living = try await fixture.consumer(of: .embed, lease: .seconds(30))
        let dead = try await fixture.consumer(of: .embed)
        let held = try await living.claim(upTo: 2, wait: .zero)
        _ = try await dead.claim(upTo: 2, wait: .zero)
        try await fixture.kill(dead)
        _ = try await fixture.redis.send("CONFIG", "SET", "maxmemory", "1")
        #expect(try await fixture.queue.reap().isEmpty)
        await #expect(throws: WorkQueueError.outOfMemory) { try await fixture.push(9...9) }
        let message = fixture.message(1, kind: .index)
        await #expect(throws: WorkQueueError.outOfMemory) {
            try await living.pass([held[0]], on: [(message, [1, 2, 3])], to: .index)
        }
        living.lease.renewSoon()
        let more = try await living.claim(upTo: 1, wait: .seconds(5))
        #expect(more.map(\.message.batchID) == [5])
        #expect(await living.acknowledge([held[1]] + more) == 2)
        let newcomer = try await fixture.consumer(of: .embed)
        #expect(try await newcomer.claim(upTo: 9, wait: .seconds(5)).map(\.message.batchID) == [6])

        _ = try await fixture.redis.send("CONFIG", "SET", "maxmemory", "0")
        try await living.pass([held[0]], on: [(message, [1, 2, 3])], to: .index)
        #expect(try await fixture.queue.reap().map(\.message.batchID).sorted() == [3, 4])
        #expect(try await fixture.queue.depth(of: .index) == 1)
    }
}
