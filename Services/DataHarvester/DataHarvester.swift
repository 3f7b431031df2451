import Datasources
import HTTPClient
import HTTPServer
import Postgres
import Redis
import ServiceClients
import ServiceRuntime
import SyncJobs
import WorkQueue

/// Reads sources page by page into batches for the embedder, and tests and previews them for the orchestrator.
@main
enum DataHarvester {
    static func main() async {
        await run("data-harvester") { log in
            let command = try MigrationCommand(arguments: CommandLine.arguments)
            let configuration = try DataHarvesterConfiguration(from: Environment())
            let (metrics, shutdown, health) = (Metrics(), Shutdown(), HealthChecks())
            let pool = PostgresPool(configuration.database, service: "data-harvester", metrics: metrics, log: log)
            let migrators = [datasourcesMigrator(pool: pool), syncJobsMigrator(pool: pool)]
            if let command { return try await command.run(migrators) }
            let redis = RedisConnection(url: configuration.service.redisURL, log: log)
            try await preparing(log: log) {
                for migrator in migrators { try await migrator.up() }
                try await checkQueuePolicy(of: redis, log: log)
            }
            await health.add(pool)
            await health.add(redis)

            let datasources = DatasourceStore(pool: pool, keyRing: configuration.keyRing)
            let connectors = SourceConnectors(settings: configuration.sources, datasources: datasources)
            let processor = RemotePageProcessor(
                client: DataProcessorClient(
                    client: HTTPClient(metrics: metrics, log: log), url: configuration.dataProcessorURL,
                    internalToken: configuration.service.internalToken))
            let worker = HarvestWorker(
                consumer: QueueConsumer(
                    queue: .harvest, service: "data-harvester", redisURL: configuration.service.redisURL,
                    lease: configuration.lease, metrics: metrics, log: log, limits: configuration.queueLimits),
                queue: WorkQueue(redis: redis, metrics: metrics, log: log, limits: configuration.queueLimits),
                jobs: SyncJobStore(pool: pool, log: log), datasources: datasources, connectors: connectors,
                processor: processor, settings: configuration.harvest, concurrency: configuration.concurrency,
                failpoints: configuration.service.failpoints, metrics: metrics, log: log)
            let routes = DataHarvesterRoutes(
                connectors: connectors, processor: processor, health: health, metrics: metrics,
                internalToken: configuration.service.internalToken)
            try await serve(
                routes.router(shutdown: shutdown), beside: [worker], settings: configuration.service,
                shutdown: shutdown, metrics: metrics, log: log)
        }
    }
}
