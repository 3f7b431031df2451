import Datasources
import Postgres
import Redis
import ServiceRuntime
import SyncJobs
import Synchronization
import WireProtocol
import WorkQueue

/// Takes jobs from the list of harvests and harvests them, several at once.
struct HarvestWorker: Service {
    let consumer: QueueConsumer
    let queue: WorkQueue
    let jobs: SyncJobStore
    let datasources: DatasourceStore
    let connectors: SourceConnectors
    let processor: any PageProcessor
    let settings: HarvestRun.Settings
    let concurrency: Int
    let failpoints: Failpoints
    let metrics: Metrics
    let log: Log

    func run(until shutdown: Shutdown) async throws {
        try await consumer.whileLeased {
            try await withThrowingTaskGroup(of: Void.self) { group in
                var running = 0
                while !shutdown.isRequested {
                    if running >= concurrency {
                        try await group.next()
                        running -= 1
                    }
                    for delivery in try await consumer.claim(upTo: 1, wait: .seconds(1)) {
                        if shutdown.isRequested {
                            await consumer.giveBack([delivery])
                            continue
                        }
                        running += 1
                        group.addTask { await harvest(delivery, until: shutdown) }
                    }
                }
                // Those that run see the request after the page they are at.
                try await group.waitForAll()
            }
        }
    }

    private func harvest(_ delivery: Delivery, until shutdown: Shutdown) async {
        let message = delivery.message
        let log = log.with(message)
        failpoints.reach("harvester.after-claim")
        do {
            guard let state = try await jobs.begin(jobID: message.jobID, epoch: message.epoch) else {
                log.info("harvest.dropped")  // cancelled, over, or of an older epoch
                await consumer.acknowledge([delivery])
                return
            }
            do {
                try await harvest(state, delivery, shutdown, log)
                log.info("harvest.finished")
            } catch let error where Self.isFatal(error) {
                log.error("harvest.failed", ["reason": .string("\(error)")])
                _ = try await jobs.fail(id: message.jobID, epoch: message.epoch, reason: "\(error)")
                await consumer.endEpoch(message.epoch, ofJob: message.jobID)
            }
            await consumer.acknowledge([delivery])  // or it comes again, and is dropped
        } catch is LeaseLost {
            log.warning("harvest.taken_away")  // or not: then it comes again
            consumer.letGo([delivery])
        } catch is CancellationError {
            log.info("harvest.given_back")
            await consumer.giveBack([delivery])
        } catch let error as SyncJobsError {
            // Cancelled, failed, resumed elsewhere, or another harvester goes on: nothing of ours has an effect any more.
            log.info("harvest.replaced", ["reason": .string("\(error)")])
            if await isOver(message) { await consumer.endEpoch(message.epoch, ofJob: message.jobID) }
            await consumer.acknowledge([delivery])
        } catch {
            // Our own database or Redis is away: from the last checkpoint, later.
            log.warning("harvest.interrupted", ["error": .string("\(error)")])
            await shutdown.sleep(for: .seconds(1))
            await consumer.giveBack([delivery])
        }
    }

    private func harvest(_ state: HarvestState, _ delivery: Delivery, _ shutdown: Shutdown, _ log: Log) async throws {
        guard
            let datasource = try await datasources.datasource(
                id: state.job.datasourceID, filling: state.job.collection)
        else {
            throw DatasourcesError.notFound(id: state.job.datasourceID)
        }
        let connector = try await connectors.connector(for: datasource)
        let trace = delivery.message.traceparent.flatMap(TraceContext.init(traceparent:))?.child() ?? TraceContext()
        var log = log.with(["datasource_id": .string(datasource.id)])
        if delivery.message.traceparent == nil { log = log.with(["trace_id": .string(trace.traceID)]) }
        log.info(
            "harvest.started", ["type": .string(state.job.type.rawValue), "source": .string(datasource.type.rawValue)])
        let run = HarvestRun(
            state: state, connector: connector,
            maker: RecordMaker(datasource, space: state.job.space, processor: processor),
            jobs: jobs, queue: queue, settings: settings, failpoints: failpoints, metrics: metrics, trace: trace,
            stillHolds: { consumer.stillHolds([delivery]) }, shutdown: shutdown, log: log)
        do {
            try await run.run()
        } catch {
            await connector.close()
            throw error
        }
        await connector.close()
    }

    /// The source, its description or its processing fails: another try changes nothing.
    private static func isFatal(_ error: any Error) -> Bool {
        error is SourceError || error is ProcessingError || error is DatasourcesError
    }

    private func isOver(_ message: WorkMessage) async -> Bool {
        (try? await jobs.heartbeat(jobID: message.jobID, epoch: message.epoch)) == false
    }
}
