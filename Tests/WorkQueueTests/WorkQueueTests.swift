import Redis
import ServiceRuntime
import TestServers
import Testing
import WireProtocol

@testable import WorkQueue

struct WorkQueueTests {
    @Test func aMessageIsReadBackAsItWasWritten() throws {
        #expect(WorkMessage(bytes: WorkMessage.example.bytes) == .example)
        var plain = WorkMessage.example
        plain.traceparent = nil
        #expect(WorkMessage(bytes: plain.bytes) == plain)
        #expect(WorkMessage(bytes: Array("{\"v\":2}".utf8)) == nil)
        #expect(WorkMessage(bytes: Array("nonsense".utf8)) == nil)
    }

    @Test func manyReapersReportEachLostDeliveryOnce() async throws {
        let fixture = try await QueueFixture()
        try await fixture.push(1...30)
        for _ in 0..<3 {
            let consumer = try await fixture.consumer(of: .embed)
            _ = try await consumer.claim(upTo: 10, wait: .zero)
            try await fixture.kill(consumer)
        }
        let living = try await fixture.consumer(of: .embed)
        let lost = try await withThrowingTaskGroup(of: [LostDelivery].self) { group in
            for _ in 0..<8 { group.addTask { try await fixture.queue.reap() } }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(lost.map(\.message.batchID).sorted() == Array(1...30))
        #expect(lost.allSatisfy { $0.queue == .embed && $0.message.attempt == 1 })
        let again = try await living.claim(upTo: 99, wait: .zero)
        #expect(again.count == 30)
        #expect(again.allSatisfy { $0.message.attempt == 2 && $0.body != nil })
        #expect(try await fixture.queue.reap().isEmpty)
    }

    @Test func knowsWhatIsQueuedAndWhatIsHeld() async throws {
        let fixture = try await QueueFixture()
        try await fixture.push(1...3)
        try await fixture.push(7...8, to: .index)
        try await fixture.queue.push([(fixture.message(0, kind: .harvest, job: "other"), nil)], to: .harvest)
        let consumer = try await fixture.consumer(of: .embed)
        _ = try await consumer.claim(upTo: 2, wait: .zero)
        #expect(try await fixture.queue.queuedBatchIDs() == [1, 2, 3, 7, 8])
        #expect(try await fixture.queue.queuedJobIDs(in: .harvest) == ["other"])
        #expect(try await fixture.queue.queuedJobIDs(in: .embed) == ["job"])
    }

    @Test func producersWaitForRoomByNumberAndByBytes() async throws {
        let fixture = try await QueueFixture(limits: QueueLimits(messages: 10, bytes: 1000))
        #expect(try await fixture.queue.hasRoom(in: .embed, for: 50))
        try await fixture.push(1...8)
        #expect(try await fixture.queue.hasRoom(in: .embed, for: 2))
        #expect(try await !fixture.queue.hasRoom(in: .embed, for: 3))
        let consumer = try await fixture.consumer(of: .embed)
        let shutdown = Shutdown()
        async let room: Void = fixture.queue.waitForRoom(in: .embed, for: 3, until: shutdown)
        await consumer.acknowledge(try await consumer.claim(upTo: 8, wait: .zero))
        try await room
        try await fixture.push(1...3, bytes: 300)
        #expect(try await !fixture.queue.hasRoom(in: .embed, for: 1))
        shutdown.request()
        await #expect(throws: CancellationError.self) {
            try await fixture.queue.waitForRoom(in: .embed, for: 1, until: shutdown)
        }
    }

    @Test func deadLettersAreListedAndReplayed() async throws {
        let fixture = try await QueueFixture(limits: QueueLimits(deadLetters: 3))
        try await fixture.push(1...1)
        _ = try await fixture.redis.send("LPUSH", "queue:embed", "{not ours")
        let consumer = try await fixture.consumer(of: .embed)
        let claimed = try await consumer.claim(upTo: 9, wait: .zero)
        #expect(claimed.map(\.message.batchID) == [1])
        for _ in 1...2 { await consumer.deadLetter(claimed[0], reason: "poison") }
        let (letters, total) = try await fixture.queue.deadLetters()
        #expect(total == 2)
        #expect(letters.map(\.reason) == ["poison", "not a message of a version this service knows"])
        #expect(letters.map(\.message?.batchID) == [1, nil])
        #expect(try await fixture.queue.replay(id: letters[0].id))
        #expect(try await !fixture.queue.replay(id: letters[0].id))
        #expect(try await consumer.claim(upTo: 9, wait: .zero).map(\.body) == [[1, 1, 1]])
        try await fixture.push(2...6)
        for delivery in try await consumer.claim(upTo: 5, wait: .zero) {
            await consumer.deadLetter(delivery, reason: "x")
        }
        #expect(try await fixture.queue.deadLetters(limit: 2).items.map(\.message?.batchID) == [6, 5])
        #expect(try await fixture.queue.deadLetters().total == 3)
    }

    @Test func aLostDeliveryIsTakenOffItsListAlthoughItsAttemptHasGrown() async throws {
        let fixture = try await QueueFixture()
        try await fixture.push(4...4)
        try await fixture.push(41...42)
        let consumer = try await fixture.consumer(of: .embed)
        _ = try await consumer.claim(upTo: 3, wait: .zero)
        try await fixture.kill(consumer)
        let lost = try await fixture.queue.reap()
        let poison = try #require(lost.first { $0.message.batchID == 4 })
        try await fixture.queue.remove(poison.message, from: poison.queue)
        #expect(try await fixture.queue.queuedBatchIDs() == [41, 42])
        #expect(try await fixture.keys("body:*").sorted() == ["body:embed:41", "body:embed:42"])
    }

    @Test func keepsEpochHints() async throws {
        let fixture = try await QueueFixture()
        #expect(await fixture.queue.epochHint(job: "a") == nil)
        await fixture.queue.raiseEpoch(ofJob: "a", to: 3)
        #expect(await fixture.queue.epochHint(job: "a") == 3)
        await fixture.queue.raiseEpoch(ofJob: "a", to: 2)  // of a worker that comes late
        #expect(await fixture.queue.epochHint(job: "a") == 3)
    }
}
