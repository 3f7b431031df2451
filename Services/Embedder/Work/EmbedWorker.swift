import Resilience
import ServiceRuntime
import WireProtocol
import WorkQueue

/// Takes batches from `queue:embed`, gives their records vectors and hands them on to `queue:index`.
///
/// A text nobody embeds fails alone, inside its record. While the provider is out, claims are held and tried again; after
/// `outageLimit`, or at once when waiting cannot help (a refused key), the batch goes on with a failure in its header,
/// which ends the job.
struct EmbedWorker: Service {
    struct Settings: Sendable {
        /// Messages claimed at once: their texts fill the provider's batches together.
        var claim = 16
        /// Claims under way at the same time; the next one is fetched while others are embedded.
        var claimsInFlight = 4
        var outageLimit: Duration = .seconds(600)
        /// Between tries while the provider is out.
        var outageBackoff = Backoff(base: .seconds(1), cap: .seconds(30), attempts: .max)
    }
    let consumer: QueueConsumer
    let queue: WorkQueue
    let service: EmbeddingService
    let fence: EpochFence
    var settings = Settings()
    var failpoints = Failpoints.none
    let metrics: Metrics
    let log: Log

    func run(until shutdown: Shutdown) async throws {
        let slots = CallSlots(settings.claimsInFlight)
        try await consumer.whileLeased {
            try await withThrowingDiscardingTaskGroup { group in
                while !shutdown.isRequested {
                    await slots.take(urgent: false)
                    let deliveries = try await consumer.claim(upTo: settings.claim, wait: .seconds(1))
                    if deliveries.isEmpty {
                        slots.giveBack()
                        continue
                    }
                    failpoints.reach("embedder.after-claim")
                    group.addTask {
                        defer { slots.giveBack() }
                        await process(deliveries, until: shutdown)
                    }
                }
            }
        }
    }

    func process(_ deliveries: [Delivery], until shutdown: Shutdown) async {
        let works = await consumer.batches(of: deliveries)
        let spaces = Dictionary(grouping: works) { $0.batch.header.space }
        await withTaskGroup(of: Void.self) { group in
            for (space, works) in spaces {
                for portion in Self.portions(works) {
                    group.addTask { await embed(portion, in: space, until: shutdown) }
                }
            }
        }
    }

    /// A slow provider's claim takes many seconds: what is ready goes on meanwhile, in portions of some provider batches.
    private static func portions(_ works: [ClaimedBatch], records: Int = 128) -> [[ClaimedBatch]] {
        var portions: [[ClaimedBatch]] = []
        var size = records
        for work in works {
            if size >= records {
                portions.append([])
                size = 0
            }
            portions[portions.count - 1].append(work)
            size += work.batch.records.count
        }
        return portions
    }

    /// Until every batch has gone on, was dropped, or was given back.
    private func embed(_ claimed: [ClaimedBatch], in space: EmbeddingSpace, until shutdown: Shutdown) async {
        var works = claimed
        var failures = 0
        let begun = ContinuousClock.now
        while true {
            works = await withoutReplaced(works)
            if works.isEmpty { return }
            let fault = await addVectors(to: &works, in: space, until: shutdown)
            let done = works.filter { !$0.needsVectors }
            works.removeAll { !$0.needsVectors }
            if !done.isEmpty {
                await pass(done, until: shutdown)
                failures = 0
            }
            guard !works.isEmpty, let fault else { return }
            if shutdown.isRequested { return await giveBack(works) }
            if fault.kind == .superseded { continue }
            failures += 1
            let outage = service.gate(space.provider)?.outage?.since ?? begun
            if fault.isPermanent || .now - outage >= settings.outageLimit {
                return await passFailed(works, because: fault, until: shutdown)
            }
            let pause = settings.outageBackoff.delay(afterFailures: failures) ?? .zero
            await shutdown.sleep(for: max(pause, min(fault.retryAfter ?? .zero, .seconds(60))))
        }
    }

    private func withoutReplaced(_ works: [ClaimedBatch]) async -> [ClaimedBatch] {
        var current: [ClaimedBatch] = []
        var replaced: [Delivery] = []
        for work in works {
            let message = work.delivery.message
            if await fence.isCurrent(job: message.jobID, epoch: message.epoch) {
                current.append(work)
            } else {
                replaced.append(work.delivery)
            }
        }
        if !replaced.isEmpty {
            metrics.add(
                "suite_embedder_batches_dropped_total", Double(replaced.count),
                help: "Batches of jobs that were replaced")
            await consumer.acknowledge(replaced)
        }
        return current
    }

    /// The provider's failure, when there was one; the texts that have vectors nevertheless keep them.
    private func addVectors(
        to works: inout [ClaimedBatch], in space: EmbeddingSpace, until shutdown: Shutdown
    ) async -> EmbeddingError? {
        var places: [(work: Int, record: Int)] = []
        var texts: [String] = []
        for index in works.indices where works[index].needsVectors {
            for record in works[index].batch.records.indices where works[index].batch.records[record].needsVector {
                let text = works[index].batch.records[record].text
                if text.allSatisfy(\.isWhitespace) {
                    works[index].batch.records[record].failure = .init(
                        type: "embedding_rejected", message: "the text is empty")
                } else {
                    places.append((index, record))
                    texts.append(text)
                }
            }
        }
        if texts.isEmpty { return nil }
        let lane: EmbeddingLane
        do { lane = try service.lane(space, task: .document) } catch { return error }
        let jobs = Dictionary(
            works.map { ($0.delivery.message.jobID, $0.delivery.message.epoch) }, uniquingKeysWith: max)
        let outcomes = await lane.embed(texts) { [fence] in
            if shutdown.isRequested { return false }
            for (job, epoch) in jobs where await fence.isCurrent(job: job, epoch: epoch) { return true }
            return false
        }
        var fault: EmbeddingError?
        for (place, outcome) in zip(places, outcomes) {
            switch outcome.result {
            case .success(let vector): works[place.work].batch.records[place.record].vector = vector
            case .failure(let error) where error.isTextsAlone:
                works[place.work].batch.records[place.record].failure = .init(
                    type: "embedding_rejected", message: error.description)
            case .failure(let error):
                fault = error
                continue
            }
            var usage = works[place.work].batch.header.usage ?? .init()
            usage.requested += 1
            usage.cached += outcome.isCached ? 1 : 0
            usage.billedTokens += Int64(outcome.tokens)
            usage.cost += Double(outcome.tokens) / 1e6 * lane.gate.description.limits.costPerMillionTokens
            works[place.work].batch.header.usage = usage
        }
        return fault
    }

    // MARK: - Handing on

    private func pass(_ works: [ClaimedBatch], until shutdown: Shutdown) async {
        var items: [(message: WorkMessage, body: [UInt8]?)] = []
        for work in works {
            var message = work.delivery.message
            message.kind = .index
            message.attempt = 1
            message.enqueuedAt = Timestamp.now.milliseconds
            do {
                items.append((message, try work.batch.encoded()))
            } catch {
                log.error("batch.not_encoded", ["batch_id": .integer(message.batchID), "error": .string("\(error)")])
                return await giveBack(works)
            }
        }
        let deliveries = works.map(\.delivery)
        while true {
            do {
                try await queue.waitForRoom(in: .index, for: items.count, until: shutdown)
                try await consumer.pass(deliveries, on: items, to: .index)
                failpoints.reach("embedder.after-push")
                return report(works)
            } catch WorkQueueError.outOfMemory {
                log.warning("queue.full", ["queue": .string(QueueName.index.rawValue)])
                if await shutdown.sleep(for: .seconds(1)) { continue }
                return await giveBack(works)  // the vectors are in the cache
            } catch is CancellationError {
                return await giveBack(works)
            } catch {
                // Taken away or unreachable: what is still in our list goes back, and whoever reads it finds the vectors in the cache.
                log.warning("batch.not_passed", ["count": JSONValue(works.count), "error": .string("\(error)")])
                return await giveBack(works)
            }
        }
    }

    private func report(_ works: [ClaimedBatch]) {
        let records = works.reduce(0) { $0 + $1.batch.records.count }
        let failed = works.reduce(0) { $0 + $1.batch.records.count { $0.failure != nil } }
        metrics.add("suite_embedder_batches_total", Double(works.count), help: "Batches passed on to the index")
        metrics.add("suite_embedder_records_total", Double(records), help: "Records passed on to the index")
        metrics.add("suite_embedder_records_failed_total", Double(failed), help: "Records passed on without a vector")
        for work in works {
            log.with(work.delivery.message).debug(
                "batch.embedded", ["records": JSONValue(work.batch.records.count)])
        }
    }

    private func passFailed(_ works: [ClaimedBatch], because fault: EmbeddingError, until shutdown: Shutdown) async {
        log.error(
            "batch.failed",
            [
                "job_id": .string(works[0].delivery.message.jobID), "batches": JSONValue(works.count),
                "error_class": .string(fault.kind.rawValue), "error": .string(fault.message),
            ])
        metrics.add(
            "suite_embedder_batches_failed_total", Double(works.count),
            help: "Batches that end their job: the provider failed")
        let failed = works.map { work in
            var work = work
            work.batch.header.failure = .init(type: "embedding_\(fault.kind.rawValue)", message: fault.message)
            return work
        }
        await pass(failed, until: shutdown)
    }

    private func giveBack(_ works: [ClaimedBatch]) async {
        await consumer.giveBack(works.map(\.delivery))
    }
}

extension ClaimedBatch {
    fileprivate var needsVectors: Bool {
        batch.header.operation == .upsert && batch.records.contains(where: \.needsVector)
    }
}

extension ProcessedRecord {
    fileprivate var needsVector: Bool { failure == nil && vector.isEmpty }
}
