import Datasources
import Postgres
import Redis
import ServiceRuntime
import SyncJobs
import WorkQueue

/// What the indexer has beside its store when it does not stand alone: PostgreSQL, Redis, and the worker between them.
struct IndexQueue: Sendable {
    private let configuration: IndexerConfiguration
    private let pool: PostgresPool
    private let redis: RedisConnection
    private let metrics: Metrics
    private let log: Log

    /// What the command line asks for instead of the service. Throws: `UsageError`.
    static func command(_ arguments: [String]) throws(UsageError) -> MigrationCommand? {
        try MigrationCommand(
            arguments: arguments, options: ["--accept-loss"], others: TransferCommand.words.map { "\($0) ..." })
    }

    init(_ configuration: IndexerConfiguration, metrics: Metrics, log: Log) {
        self.configuration = configuration
        self.metrics = metrics
        self.log = log
        pool = PostgresPool(configuration.database, service: "indexer", metrics: metrics, log: log)
        redis = RedisConnection(url: configuration.service.redisURL, log: log)
    }

    /// The tables it uses.
    var migrators: [Migrator] { [syncJobsMigrator(pool: pool), datasourcesMigrator(pool: pool)] }

    /// Migrates; refuses a Redis that evicts. Waits for both servers.
    func prepare() async throws {
        try await preparing(log: log) {
            for migrator in migrators { try await migrator.up() }
            try await checkQueuePolicy(of: redis, log: log)
        }
    }

    func add(to health: HealthChecks) async {
        await health.add(pool)
        await health.add(redis)
    }

    /// The physical collections of datasources.
    var guardian: CollectionGuard {
        let collections = VectorCollectionStore(pool: pool)
        return CollectionGuard(internalToken: configuration.service.internalToken) {
            try await collections.filledPhysicalNames()
        }
    }

    func watch(over store: any VectorStore) -> StoreWatch {
        StoreWatch(jobs: SyncJobStore(pool: pool, log: log), store: store, log: log)
    }

    func worker(writingTo store: any VectorStore) -> IndexWorker {
        IndexWorker(
            consumer: QueueConsumer(
                queue: .index, service: "indexer", redisURL: configuration.service.redisURL, lease: configuration.lease,
                metrics: metrics, log: log),
            jobs: SyncJobStore(pool: pool, log: log), store: store,
            settings: IndexWorker.Settings(claim: configuration.claim),
            failpoints: configuration.service.failpoints, metrics: metrics, log: log)
    }
}
