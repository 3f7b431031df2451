import Datasources
import Foundation
import HTTPClient
import HTTPServer
import Lexical
import Postgres
import Redis
import ServiceClients
import ServiceRuntime
import SyncJobs
import WorkQueue

/// Everything the orchestrator is made of, put together once.
struct OrchestratorParts: Sendable {
    let keys: APIKeyStore
    let supervisor: Supervisor
    let versions: VersionKeeper
    private let configuration: OrchestratorConfiguration
    private let pool: PostgresPool
    private let redis: RedisConnection
    private let client: HTTPClient
    private let indexer: IndexerClient
    private let embedder: EmbedderClient
    private let jobs: SyncJobStore
    private let queue: WorkQueue
    private let collections: CollectionService
    private let datasources: DatasourceStore
    private let starter: SyncStarter
    private let modelChange: ModelChange
    private let log: Log

    static func migrators(pool: PostgresPool) -> [Migrator] {
        [
            syncJobsMigrator(pool: pool), datasourcesMigrator(pool: pool),
            Migrator(
                pool: pool, module: "orchestrator",
                migrations: [
                    Migration(
                        1, "api_keys", up: PackageResources.m0001_api_keys_up_sql,
                        down: PackageResources.m0001_api_keys_down_sql)
                ]),
        ]
    }

    init(
        _ configuration: OrchestratorConfiguration, pool: PostgresPool, redis: RedisConnection, metrics: Metrics,
        log: Log
    ) {
        self.configuration = configuration
        self.pool = pool
        self.redis = redis
        self.log = log
        client = HTTPClient(metrics: metrics, log: log)
        keys = APIKeyStore(pool: pool)
        jobs = SyncJobStore(pool: pool, log: log)
        queue = WorkQueue(redis: redis, metrics: metrics, log: log)
        let token = configuration.service.internalToken
        indexer = IndexerClient(
            client: client, url: configuration.indexerURL, apiKey: configuration.qdrantAPIKey, internalToken: token)
        embedder = EmbedderClient(client: client, url: configuration.embedderURL, internalToken: token)
        collections = CollectionService(
            store: VectorCollectionStore(pool: pool), indexer: indexer, jobs: jobs,
            failpoints: configuration.service.failpoints, log: log)
        supervisor = Supervisor(
            pool: pool, jobs: jobs, queue: queue, collections: collections,
            timing: Supervisor.Timing(
                pushAge: configuration.lease * 1.5,
                progressTimeout: configuration.progressTimeout,
                retention: .seconds(configuration.jobRetentionDays * 86_400)),
            failpoints: configuration.service.failpoints, metrics: metrics, log: log)
        datasources = DatasourceStore(pool: pool, keyRing: configuration.keyRing)
        starter = SyncStarter(
            jobs: jobs, datasources: datasources, collections: collections, embedder: embedder, queue: queue,
            failpoints: configuration.service.failpoints, log: log)
        modelChange = ModelChange(
            collections: collections, datasources: datasources, jobs: jobs, starter: starter, embedder: embedder,
            indexer: indexer, failpoints: configuration.service.failpoints, log: log)
        versions = VersionKeeper(
            pool: pool, change: modelChange,
            timing: VersionKeeper.Timing(rollbackRetention: .seconds(configuration.rollbackRetentionHours * 3600)),
            log: log)
    }

    func routes() async -> OrchestratorRoutes {
        let token = configuration.service.internalToken
        let search = SearchService(embedder: embedder, indexer: indexer, analyzer: LexicalAnalyzer(), log: log)
        return OrchestratorRoutes(
            authentication: Authentication(keys: keys), crossOrigin: CrossOrigin(origins: configuration.corsOrigins),
            health: SuiteHealth(services: serviceURLs, own: await healthChecks(), client: client),
            datasources: DatasourceRoutes(
                store: datasources, jobs: jobs, collections: collections,
                harvester: DataHarvesterClient(client: client, url: configuration.harvesterURL, internalToken: token),
                maximumUploadBytes: configuration.maximumUploadBytes, log: log),
            sync: SyncRoutes(datasources: datasources, jobs: jobs, starter: starter, supervisor: supervisor),
            collections: CollectionRoutes(collections: collections, indexer: indexer),
            modelChange: ModelChangeRoutes(change: modelChange, search: search),
            search: SearchRoutes(
                collections: collections,
                search: search),
            deadLetters: DeadLetterRoutes(queue: queue),
            aiStatus: Forwarding(target: configuration.aiStatusURL, client: client, internalToken: token))
    }

    private var serviceURLs: [(name: String, url: String)] {
        [
            ("embedder", configuration.embedderURL), ("indexer", configuration.indexerURL),
            ("data-harvester", configuration.harvesterURL), ("data-processor", configuration.processorURL),
            ("ai-status", configuration.aiStatusURL),
        ]
    }

    private func healthChecks() async -> HealthChecks {
        let checks = HealthChecks()
        await checks.add(pool, as: "database")
        await checks.add(redis)
        await checks.add("qdrant", isRequired: false) { [indexer] in try await indexer.ping() }
        return checks
    }

    /// Written for a person at a terminal, not into the log: it is shown this once.
    func show(firstKey key: String) {
        let text = "\nThe first API key (administrator). It is shown only now, keep it:\n\n    \(key)\n\n"
        FileHandle.standardError.write(Data(text.utf8))
    }
}
