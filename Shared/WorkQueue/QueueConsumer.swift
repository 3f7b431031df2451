import Foundation
import Redis
import Resilience
import ServiceRuntime
import Synchronization
import WireProtocol

/// One process' hands on one list: what it claims lies in its own list in Redis until it is acknowledged, passed on or given
/// back. If the process dies, its lease runs out and the reaper gives everything back.
///
/// Invariant: an element is in the queue or in exactly one consumer's list at every instant, until it is acknowledged.
package final class QueueConsumer: Sendable {
    package let queue: QueueName
    /// `<stage>:<host>:<pid>:<random>`, new at each start.
    package let id: String
    private let redis: RedisConnection
    private let waiting: RedisBlockingConnection
    let lease: Lease
    let held = HeldElements()
    private let claimTurn = Turn()
    private let stopping = Mutex(false)
    private let work: WorkQueue
    private let metrics: Metrics
    let log: Log
    /// How long one BLMOVE waits at most, so that a stop or a lost lease is noticed.
    private static let longestWait = Duration.seconds(1)
    private static let backoff = Backoff(base: .milliseconds(50), cap: .seconds(2), attempts: 8)

    package init(
        queue: QueueName, service: String, redisURL: String, lease: Duration = .seconds(10), metrics: Metrics, log: Log,
        limits: QueueLimits = QueueLimits()
    ) {
        self.queue = queue
        id = "\(queue.stage):\(Self.hostName):\(getpid()):\(String(UInt64.random(in: .min ... .max), radix: 36))"
        let log = log.with(["consumer": .string(id), "consumer_service": .string(service)])
        redis = RedisConnection(url: redisURL, log: log)
        waiting = RedisBlockingConnection(url: redisURL, log: log)
        self.lease = Lease(id: id, redisURL: redisURL, duration: lease, log: log)
        work = WorkQueue(redis: redis, metrics: metrics, log: log, limits: limits)
        self.metrics = metrics
        self.log = log
    }

    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, name.count - 1)
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The same for deliveries: false as well when the lease was lost since they were claimed.
    package func stillHolds(_ deliveries: [Delivery]) -> Bool {
        let generation = lease.generation
        return lease.isHeld && deliveries.allSatisfy { $0.leaseGeneration >= generation }
    }

    /// Holds the lease while `work` runs; however that ends, what is still held then is given back.
    package func whileLeased(_ work: () async throws -> Void) async throws {
        await start()
        do {
            try await work()
        } catch {
            await stop()
            throw error
        }
        await stop()
    }

    /// Takes the lease and begins to renew it. Redis may be away: claims then come back empty until it is there.
    package func start() async { await lease.start() }

    /// Gives back what is still held, ends the lease. Finish what you can before.
    package func stop() async {
        stopping.withLock { $0 = true }
        waiting.close()
        await claimTurn.take()
        lease.stop()
        do {
            _ = try await redis.run(
                QueueScripts.leave,
                keys: [QueueKey.processing(id), queue.rawValue, QueueKey.lease(id), QueueKey.consumers],
                arguments: [RedisArgument(id)])
        } catch {
            log.warning("queue.not_left", ["error": .string("\(error)")])  // the reaper will do it
        }
        held.removeAll()
        redis.close()
        claimTurn.give()
    }

    // MARK: - Claiming

    /// Up to `limit` messages with their bodies, oldest first; waits up to `wait` for the first. Empty when nothing came, a
    /// stop was requested, or Redis or the lease is away. Callers take turns.
    ///
    /// Throws: only what trying again does not change.
    package func claim(upTo limit: Int, wait: Duration) async throws -> [Delivery] {
        await claimTurn.take()
        defer { claimTurn.give() }
        let deadline = ContinuousClock.now + wait
        while !isStopping {
            do {
                let deliveries = try await claimOnce(upTo: limit, until: deadline)
                if !deliveries.isEmpty { return deliveries }
            } catch let error as RedisError {
                held.mustRecover()
                if isStopping { return [] }
                guard error.isRetryable || error == .closed else { throw error }
                try? await Task.sleep(for: min(.milliseconds(100), max(deadline - .now, .zero)))
            }
            if ContinuousClock.now >= deadline { return [] }
        }
        return []
    }

    private var isStopping: Bool { Task.isCancelled || stopping.withLock { $0 } }

    private func claimOnce(upTo limit: Int, until deadline: ContinuousClock.Instant) async throws -> [Delivery] {
        guard lease.isHeld else {
            lease.renewSoon()
            try? await Task.sleep(for: min(.milliseconds(20), max(deadline - .now, .zero)))
            return []
        }
        var generation = lease.generation
        var elements = try await recover(upTo: limit)
        if elements.isEmpty, let taken = try await take(upTo: limit) { (generation, elements) = taken }
        let rest = min(deadline - .now, Self.longestWait)
        if elements.isEmpty, rest > .zero, !isStopping, let first = try await waitForOne(rest) {
            guard let more = try await take(upTo: limit - 1) else { return [] }
            (generation, elements) = (more.generation, [first] + more.elements)
        }
        return try await deliveries(of: elements, generation: generation)
    }

    /// `nil` without a lease: then everything has been given back.
    private func take(upTo limit: Int) async throws(RedisError) -> (generation: Int, elements: [[UInt8]])? {
        let reply = try await redis.run(
            QueueScripts.claim,
            keys: [queue.rawValue, QueueKey.processing(id), QueueKey.lease(id), QueueKey.consumers],
            arguments: [RedisArgument(limit), RedisArgument(id)])
        guard let values = reply.array, let generation = values.first?.integer else {
            lease.renewSoon()
            return nil
        }
        lease.sawGeneration(Int(generation))
        return (Int(generation), values.dropFirst().compactMap(\.bytes))
    }

    private func waitForOne(_ time: Duration) async throws(RedisError) -> [UInt8]? {
        do throws(RedisError) {
            return try await waiting.send(
                [
                    "BLMOVE", RedisArgument(queue.rawValue), RedisArgument(QueueKey.processing(id)), "RIGHT", "LEFT",
                    RedisArgument("\(max(0.001, time / .seconds(1)))"),
                ], timeout: time
            ).bytes
        } catch {
            guard error.isOutOfMemory else { throw error }  // a full server refuses BLMOVE, but not the script
            try? await Task.sleep(for: min(time, .milliseconds(100)))
            return nil
        }
    }

    /// What lies in our list although nobody here holds it: a reply was lost on its way.
    private func recover(upTo limit: Int) async throws(RedisError) -> [[UInt8]] {
        guard let before = held.recovering() else { return [] }
        let list = try await redis.send("LRANGE", RedisArgument(QueueKey.processing(id)), "0", "-1").array ?? []
        let found = held.unheld(among: list.compactMap(\.bytes).reversed(), heldBefore: before)
        if found.count > limit { held.mustRecover() }
        return Array(found.prefix(limit))
    }

    private func deliveries(of elements: [[UInt8]], generation: Int) async throws(RedisError) -> [Delivery] {
        var messages: [(raw: [UInt8], message: WorkMessage)] = []
        for raw in elements {
            if let message = WorkMessage(bytes: raw) {
                messages.append((raw, message))
            } else {
                _ = try await work.bury(
                    raw, from: queue, heldBy: id, reason: "not a message of a version this service knows")
            }
        }
        let withBody = messages.indices.filter { messages[$0].message.batchID != 0 }
        let replies = try await redis.pipeline(
            withBody.map { ["GET", RedisArgument(queue.bodyKey(messages[$0].message.batchID))] })
        var bodies = [[UInt8]?](repeating: nil, count: messages.count)
        for (index, reply) in zip(withBody, replies) { bodies[index] = reply.bytes }
        held.add(messages.map(\.raw))
        count("suite_queue_claimed_total", messages.count, "Messages claimed from a list")
        let now = Timestamp.now.milliseconds
        if let oldest = messages.first {
            metrics.observe(
                "suite_queue_wait_seconds", max(0, Double(now - oldest.message.enqueuedAt) / 1000),
                help: "Time the oldest message of a claim has waited", ["queue": queue.stage])
        }
        return zip(messages, bodies).map {
            Delivery(message: $0.message, raw: $0.raw, body: $1, leaseGeneration: generation)
        }
    }

    /// Nobody need do, or pay for, more of this job in this epoch. Only a hint.
    package func endEpoch(_ epoch: Int, ofJob job: String) async {
        await work.raiseEpoch(ofJob: job, to: epoch + 1)
    }

    // MARK: - Finishing

    /// The work is done: elements and bodies go, in one round trip. Answers how many were still held here.
    @discardableResult
    package func acknowledge(_ deliveries: [Delivery]) async -> Int {
        let removed = await settle("acknowledge", deliveries) { [self] in
            try await redis.run(
                QueueScripts.acknowledge,
                keys: [QueueKey.processing(id)] + deliveries.map { queue.bodyKey($0.message.batchID) },
                arguments: deliveries.map { RedisArgument($0.raw) })
        }
        count("suite_queue_acknowledged_total", removed, "Messages acknowledged")
        return removed
    }

    /// Moves the work on: `items` with their bodies go on the next list and the deliveries go, all or nothing.
    ///
    /// Throws: `WorkQueueError.notHeld` when the deliveries were taken away meanwhile (nothing was pushed);
    /// `WorkQueueError.outOfMemory` when Redis is full (still held, try again); `RedisError` when it stays away (they will be
    /// delivered again).
    package func pass(
        _ deliveries: [Delivery], on items: [(message: WorkMessage, body: [UInt8]?)], to next: QueueName
    ) async throws {
        let withBody = items.filter { $0.body != nil }
        func staged(_ item: (message: WorkMessage, body: [UInt8]?)) -> String {
            "staged:\(id):\(next.stage):\(item.message.batchID)"
        }
        // Bodies go beside the script, not through it: Lua would copy each twice. A rename puts them in place.
        let staging: [[RedisArgument]] = withBody.map { item in
            ["SET", RedisArgument(staged(item)), RedisArgument(item.body ?? []), "PX", "120000"]
        }
        let keys =
            [QueueKey.processing(id), next.rawValue] + deliveries.map { queue.bodyKey($0.message.batchID) }
            + withBody.flatMap { [staged($0), next.bodyKey($0.message.batchID)] }
        let counts = [
            RedisArgument(deliveries.count), RedisArgument(withBody.count),
            RedisArgument(work.limits.bodyLifetime.components.seconds),
        ]
        let arguments =
            counts + deliveries.map { RedisArgument($0.raw) } + items.map { RedisArgument($0.message.bytes) }
        let mayHaveHappened = Mutex(false)
        let outcome = try await finish(deliveries, expecting: 1) { [self] in
            do {
                let result = try await redis.pipeline(
                    staging, then: QueueScripts.pass, keys: keys, arguments: arguments
                ).result
                if result.integer == -1 { throw WorkQueueError.outOfMemory }
                return result
            } catch let error as RedisError {
                if error.isAmbiguous { mayHaveHappened.withLock { $0 = true } }
                throw error
            }
        }
        if outcome == 1 {
            count("suite_queue_passed_total", deliveries.count, "Messages passed on to the next list")
        } else if !mayHaveHappened.withLock({ $0 }) {
            throw WorkQueueError.notHeld
        }
    }

    /// Back to the end that is read next, not counted as a lost delivery.
    package func giveBack(_ deliveries: [Delivery]) async {
        let returned = await settle("give_back", deliveries) { [self] in
            try await redis.run(
                QueueScripts.giveBack, keys: [QueueKey.processing(id), queue.rawValue],
                arguments: deliveries.reversed().map { RedisArgument($0.raw) })
        }
        count("suite_queue_given_back_total", returned, "Messages given back undone")
    }

    /// Nothing more is done with these here. What was not taken away meanwhile comes again with the next claims: a lease that
    /// seemed lost may not have been.
    package func letGo(_ deliveries: [Delivery]) {
        held.mustRecover()
        held.remove(deliveries.map(\.raw))
    }

    /// Away from the list, for people to look at.
    package func deadLetter(_ delivery: Delivery, reason: String) async {
        _ = await settle("dead_letter", [delivery], expecting: 1) { [self] in
            .integer(try await work.bury(delivery.raw, from: queue, heldBy: id, reason: reason))
        }
    }

    /// What fails here is delivered again: the log says so, and there is nothing that a caller could do.
    private func settle(
        _ operation: String, _ deliveries: [Delivery], expecting expected: Int? = nil,
        _ script: () async throws -> RedisValue
    ) async -> Int {
        do {
            return Int(try await finish(deliveries, expecting: expected, script))
        } catch {
            let jobs = Set(deliveries.map(\.message.jobID)).sorted().map(JSONValue.string)
            log.warning(
                "queue.failed",
                ["operation": .string(operation), "job_ids": .array(jobs), "error": .string("\(error)")])
            return 0
        }
    }

    /// Runs a script that is harmless to repeat until Redis answers. Whatever comes of it, the deliveries are out of hand
    /// afterwards (but for a full Redis); those that are still in our list are found again at the next claim.
    private func finish(
        _ deliveries: [Delivery], expecting expected: Int? = nil, _ operation: () async throws -> RedisValue
    ) async throws -> Int64 {
        if deliveries.isEmpty { return 0 }
        do {
            let reply = try await retrying(Self.backoff, isRetryable: { ($0 as? RedisError)?.isRetryable == true }) {
                try await operation()
            }
            let outcome = reply.integer ?? 0
            if outcome < expected ?? deliveries.count { held.mustRecover() }
            held.remove(deliveries.map(\.raw))
            return outcome
        } catch WorkQueueError.outOfMemory {
            throw WorkQueueError.outOfMemory
        } catch {
            held.mustRecover()
            held.remove(deliveries.map(\.raw))
            throw error
        }
    }

    private func count(_ name: String, _ amount: Int, _ help: String) {
        if amount > 0 { metrics.add(name, Double(amount), help: help, ["queue": queue.stage]) }
    }
}
