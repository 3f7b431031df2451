import Foundation
import Lexical
import Resilience
import ServiceRuntime
import SyncJobs
import WireProtocol
import WorkQueue

/// Takes batches from `queue:index` and applies them: one index transaction a claim, one store request a collection in it.
///
/// While PostgreSQL or the store is out, the claim is held and tried again; after `outageLimit` its jobs fail with the reason.
struct IndexWorker: Service {
    struct Settings: Sendable {
        /// Batches claimed at once.
        var claim = 32
        var outageLimit: Duration = .seconds(600)
        var outageBackoff = Backoff(base: .milliseconds(200), cap: .seconds(15), attempts: .max)
    }
    let consumer: QueueConsumer
    let jobs: SyncJobStore
    let store: any VectorStore
    var analyzer = LexicalAnalyzer()
    var settings = Settings()
    var failpoints = Failpoints.none
    let metrics: Metrics
    let log: Log

    func run(until shutdown: Shutdown) async throws {
        try await consumer.whileLeased {
            while !shutdown.isRequested {
                let deliveries = try await consumer.claim(upTo: settings.claim, wait: .seconds(1))
                if deliveries.isEmpty { continue }
                failpoints.reach("indexer.after-claim")
                await process(deliveries, until: shutdown)
            }
        }
    }

    /// Until every delivery was acknowledged, given back or put aside.
    func process(_ deliveries: [Delivery], until shutdown: Shutdown) async {
        let claimed = await consumer.batches(of: deliveries)
        let held = claimed.map(\.delivery)
        var batches: [RecordBatch] = []
        for batch in claimed.map(\.batch) {
            if let failure = batch.header.failure {
                await endJob(of: batch.header, because: failure.message)
            } else {
                batches.append(batch)
            }
        }
        var failures = 0
        let begun = ContinuousClock.now
        while consumer.stillHolds(held) {
            do {
                return await finish(held, replanned: try await apply(batches))
            } catch let fault {
                failures += 1
                let (attempts, ids) = (failures, batches.map { JSONValue.integer($0.header.batchID) })
                log.warning(
                    "batches.not_applied",
                    ["attempt": JSONValue(attempts), "batch_ids": .array(ids), "error": .string("\(fault)")])
                metrics.add(
                    "suite_indexer_apply_failures_total", help: "Index transactions that failed and are tried again.")
                if ContinuousClock.now - begun >= settings.outageLimit {
                    for batch in batches { await endJob(of: batch.header, because: "the store stayed out: \(fault)") }
                    return await finish(held, replanned: [])
                }
                if !(await shutdown.sleep(for: settings.outageBackoff.delay(afterFailures: failures) ?? .zero)) {
                    return await consumer.giveBack(held)
                }
            }
        }
        // The lease may only have looked lost while Redis was away: what is still in our list goes back to be read again.
        log.warning("batches.taken_away", ["count": JSONValue(held.count)])
        consumer.letGo(held)
        await consumer.giveBack(held)
    }

    /// Answers what is to be embedded first: payload changes whose point is missing.
    private func apply(_ batches: [RecordBatch]) async throws -> [QueuedBatch] {
        if batches.isEmpty { return [] }
        let known = try await knownCollections(of: batches)
        let present = batches.filter { known.contains($0.header.collection) }
        let started = ContinuousClock.now
        let applied = try await jobs.apply(present) { changes in
            failpoints.reach("indexer.in-transaction")
            let outcome = try await write(changes)
            failpoints.reach("indexer.after-store")
            return outcome
        }
        failpoints.reach("indexer.after-commit")
        report(applied, batches: present, took: ContinuousClock.now - started)
        let refused = Set(applied.refused)
        for header in present.map(\.header) where refused.contains(header.batchID) {
            await consumer.endEpoch(header.epoch, ofJob: header.jobID)
        }
        return applied.replanned
    }

    /// The collections that are there, each the one that PostgreSQL knows. A job whose collection is gone ends, and what was
    /// believed to be stored there is forgotten.
    private func knownCollections(of batches: [RecordBatch]) async throws -> Set<String> {
        var known = Set<String>()
        for name in Set(batches.map(\.header.collection)) {
            let before = try await jobs.storeMark(of: name)
            do {
                let found = try await store.collection(name).mark
                if try await jobs.recognise(found, of: name, known: before) {
                    log.error("store.replaced", ["collection": .string(name), "found": .string("\(found)")])
                }
                known.insert(name)
            } catch StoreError.collectionNotFound {
                log.error("store.collection_missing", ["collection": .string(name)])
                if let before { try await jobs.forgetCollection(physical: name, incarnation: before.incarnation) }
                for batch in batches where batch.header.collection == name {
                    await endJob(
                        of: batch.header, because: "the collection \(name) is not in the store any more: sync again")
                }
            }
        }
        return known
    }

    /// One atomic request for each collection.
    private func write(_ changes: [RecordChange]) async throws -> StoreOutcome {
        var outcome = StoreOutcome()
        for (collection, positions) in Dictionary(grouping: changes.indices, by: { changes[$0].collection }) {
            let description = try await store.collection(collection)
            let checker = try PayloadChecker()
            var points = ChangeList()
            for position in positions {
                do throws(RecordRefusal) {
                    points.append(
                        try VectorPoint.changes(
                            changes[position], in: description.configuration, checker: checker, analyzer: analyzer),
                        from: position)
                } catch {
                    outcome.failures[position] = error.failure
                }
            }
            let sources = points.finish()
            let written = try await store.apply(.changes(points.changes), to: collection, wait: true)
            if description.sequence != nil { outcome.sequences[collection] = written.sequence }
            for missing in written.missing where changes[sources[missing]].operation == .payload {
                outcome.missing.insert(sources[missing])
            }
        }
        return outcome
    }

    private func finish(_ deliveries: [Delivery], replanned: [QueuedBatch]) async {
        failpoints.reach("indexer.before-ack")
        if replanned.isEmpty {
            await consumer.acknowledge(deliveries)
        } else {
            let items = replanned.map { (message: $0.message, body: [UInt8]?.some($0.body)) }
            do {
                try await consumer.pass(deliveries, on: items, to: .embed)
            } catch {
                log.warning("queue.failed", ["operation": "pass", "error": .string("\(error)")])
                consumer.letGo(deliveries)  // applied before when they come again; PostgreSQL has what was to be passed
            }
        }
    }

    private func endJob(of header: RecordBatch.Header, because reason: String) async {
        do {
            _ = try await jobs.fail(id: header.jobID, epoch: header.epoch, reason: reason)
        } catch SyncJobsError.wrongStatus, SyncJobsError.replaced {  // it has ended, or goes on without this batch
        } catch {
            return log.with(header).warning(
                "job.not_failed", ["reason": .string(reason), "error": .string("\(error)")])
        }
        await consumer.endEpoch(header.epoch, ofJob: header.jobID)
    }

    private func report(_ applied: Checkpoint, batches: [RecordBatch], took duration: Duration) {
        for (outcome, count) in [
            ("done", applied.done.count), ("refused", applied.refused.count),
            ("repeated", applied.finishedBefore.count),
            ("replanned", applied.replanned.count),
        ] where count > 0 {
            metrics.add("suite_indexer_batches_total", Double(count), help: "Batches by outcome.", ["outcome": outcome])
        }
        for (outcome, count) in [
            ("ok", applied.ok), ("skipped", applied.skipped), ("failed", applied.failed), ("deleted", applied.deleted),
        ] where count > 0 {
            metrics.add("suite_indexer_records_total", Double(count), help: "Records by outcome.", ["outcome": outcome])
        }
        metrics.observe(
            "suite_indexer_apply_seconds", Double(duration.milliseconds) / 1000,
            help: "Index transactions with their store writes.")
        for batch in batches {
            log.with(batch.header).debug("batch.applied", ["records": JSONValue(batch.records.count)])
        }
    }
}

/// Changes of points, where one record may make several: those of different records are put so that a store finds many points without
/// repetition in a row, which it applies at once, and those of one point stay in order.
private struct ChangeList {
    private(set) var changes: [PointChange] = []
    /// Where each change comes from.
    private var sources: [Int] = []
    private var later: [(change: PointChange, source: Int)] = []
    private var seen = Set<PointID>()

    mutating func append(_ made: [PointChange], from source: Int) {
        if let id = made.first?.id, !seen.insert(id).inserted {
            flush()
            seen = [id]
        }
        changes += made.prefix(1)
        sources += made.prefix(1).map { _ in source }
        later += made.dropFirst().map { ($0, source) }
    }

    mutating func finish() -> [Int] {
        flush()
        return sources
    }

    private mutating func flush() {
        changes += later.map(\.change)
        sources += later.map(\.source)
        later.removeAll()
    }
}
