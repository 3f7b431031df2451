import Crypto
import Datasources
import Foundation
import Postgres
import Redis
import ServiceRuntime
import SyncJobs
import Synchronization
import TestServers
import WireProtocol
import WorkQueue

@testable import DataHarvester

/// A suite's database, a list of harvests and a source of products; batches are applied as an indexer would, without a store.
struct HarvestFixture {
    let source: SourceFixture
    let pool: PostgresPool
    let datasources: DatasourceStore
    let jobs: SyncJobStore
    let redisURL: String
    let queue: WorkQueue
    let processor = FakeProcessor()
    let lines = Lines()
    var log: Log { Log(service: "test", level: .debug, write: { [lines] in lines.add($0) }) }

    init() async throws {
        source = try await SourceFixture()
        pool = PostgresPool(
            url: try await PostgresServer.shared().createDatabase("harvest"), size: 8, log: .silent, metrics: nil,
            applicationName: "test")
        try await datasourcesMigrator(pool: pool).up()
        try await syncJobsMigrator(pool: pool).up()
        datasources = DatasourceStore(
            pool: pool, keyRing: try KeyRing(specification: Hex.encode(Array(repeating: 7, count: 32))))
        jobs = SyncJobStore(pool: pool, log: .silent)
        redisURL = try await RedisServer.shared().createDatabase()
        queue = WorkQueue(redis: RedisConnection(url: redisURL, log: .silent), metrics: Metrics(), log: .silent)
    }

    func datasource(_ changes: [String: JSONValue] = [:]) async throws -> Datasource {
        var connection = source.connection
        connection["table"] = "products"
        var body = JSONObject([
            ("name", "Products"), ("type", "postgresql"), ("connectionConfig", .object(connection)),
            ("fieldMapping", ["id": "id", "title": "name", "sku": "sku", "price": "price"]),
            ("embeddingFields", ["title"]),
            ("qdrantCollection", "products"),
        ])
        for (name, value) in changes { body[name] = value }
        return try await datasources.create(DatasourceDraft(.object(body))).datasource
    }

    func start(_ datasource: Datasource, _ type: SyncJob.Kind = .full, _ options: SyncOptions = SyncOptions())
        async throws -> SyncJob
    {
        let job = try await jobs.create(
            datasourceID: datasource.id, collection: "products", space: .example, type: type, options: options)
        try await queue.push([(job.harvestMessage, nil)], to: .harvest)
        return job
    }

    func worker(
        settings: HarvestRun.Settings = .init(), folder: String? = nil, failpoints: Failpoints = .none
    ) -> HarvestWorker {
        var sources = SourceConnectors.Settings()
        sources.folder = folder
        return HarvestWorker(
            consumer: QueueConsumer(
                queue: .harvest, service: "test", redisURL: redisURL, lease: .seconds(10), metrics: Metrics(),
                log: .silent),
            queue: queue, jobs: jobs, datasources: datasources,
            connectors: SourceConnectors(settings: sources, datasources: datasources), processor: processor,
            settings: settings,
            concurrency: 4, failpoints: failpoints, metrics: Metrics(), log: log)
    }

    /// Harvests until `event` is logged (default: the end of one job), then stops the worker.
    func harvest(_ worker: HarvestWorker? = nil, until event: String? = nil) async throws {
        let worker = worker ?? self.worker()
        let shutdown = Shutdown()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await worker.run(until: shutdown) }
            let ends =
                event.map { [$0] } ?? [
                    "harvest.finished", "harvest.failed", "harvest.dropped", "harvest.replaced", "harvest.taken_away",
                ]
            try await lines.wait(forAny: ends)
            shutdown.request()
            try await group.waitForAll()
        }
    }

    /// Applies all batches of both lists, as embedder and indexer would. Gives what was written, by operation.
    @discardableResult
    func drain() async throws -> [RecordBatch.Operation: [ProcessedRecord]] {
        let written = Mutex<[RecordBatch.Operation: [ProcessedRecord]]>([:])
        for list in [QueueName.embed, .index] {
            let consumer = QueueConsumer(
                queue: list, service: "test", redisURL: redisURL, metrics: Metrics(), log: .silent)
            await consumer.start()
            while case let deliveries = try await consumer.claim(upTo: 32, wait: .milliseconds(1)), !deliveries.isEmpty
            {
                let batches = try deliveries.map { delivery in
                    var batch = try RecordBatch(decoding: delivery.body ?? [])
                    if batch.header.operation == .upsert {
                        let vector = [Float](repeating: 0.05, count: batch.header.space.dimensions)
                        for index in batch.records.indices { batch.records[index].vector = vector }
                    }
                    return batch
                }
                _ = try await jobs.apply(batches) { changes in
                    written.withLock { written in
                        for change in changes { written[change.operation, default: []].append(change.record) }
                    }
                    return StoreOutcome()
                }
                await consumer.acknowledge(deliveries)
            }
            await consumer.stop()
        }
        return written.withLock { $0 }
    }

    /// Harvests, applies and ends one job.
    func sync(
        _ datasource: Datasource, _ type: SyncJob.Kind = .full, _ options: SyncOptions = SyncOptions(),
        folder: String? = nil
    ) async throws -> (job: SyncJob, written: [RecordBatch.Operation: [ProcessedRecord]]) {
        let job = try await start(datasource, type, options)
        lines.clear()
        try await harvest(worker(folder: folder))
        let written = try await drain()
        return (try await jobs.reconcile(id: job.id), written)
    }

    func execute(_ sql: String) async throws { try await source.execute(sql) }
}

/// Log lines, waited for.
final class Lines: Sendable {
    private struct State {
        var lines: [String] = []
        var waiters: [(events: [String], continuation: CheckedContinuation<Void, Never>)] = []
    }
    private let state = Mutex(State())
    var all: [String] { state.withLock { $0.lines } }
    func clear() { state.withLock { $0.lines = [] } }

    func add(_ line: String) {
        let woken = state.withLock { state in
            state.lines.append(line)
            let woken = state.waiters.filter { $0.events.contains { line.contains("\"\($0)\"") } }
            state.waiters.removeAll { $0.events.contains { line.contains("\"\($0)\"") } }
            return woken
        }
        woken.forEach { $0.continuation.resume() }
    }

    func wait(forAny events: [String]) async throws {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.lines.contains(where: { line in events.contains { line.contains("\"\($0)\"") } }) {
                    return true
                }
                state.waiters.append((events, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }
}

/// Does what a test tells it with each page.
final class FakeProcessor: PageProcessor {
    typealias Work = @Sendable ([JSONObject]) async throws -> ProcessedRows
    private let work = Mutex<Work>({ ProcessedRows(rows: $0, errors: []) })
    let calls = Mutex(0)
    func set(_ new: @escaping Work) { work.withLock { $0 = new } }
    func process(_ rows: [JSONObject], _ operations: [JSONValue], trace: TraceContext?) async throws -> ProcessedRows {
        calls.withLock { $0 += 1 }
        return try await work.withLock { $0 }(rows)
    }
}
