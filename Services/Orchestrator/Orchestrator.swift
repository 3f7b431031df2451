import Datasources
import HTTPClient
import HTTPServer
import Postgres
import Redis
import ServiceClients
import ServiceRuntime
import SyncJobs
import WorkQueue

/// The public API: datasources, sync jobs, collections, search; starts, watches and ends jobs.
@main
enum Orchestrator {
    static func main() async {
        await run("orchestrator") { log in
            let command = try MigrationCommand(arguments: CommandLine.arguments)
            let configuration = try OrchestratorConfiguration(from: Environment())
            let metrics = Metrics()
            let pool = PostgresPool(
                url: configuration.database.url, size: configuration.database.poolSize, log: log, metrics: metrics,
                applicationName: "orchestrator")
            let migrators = OrchestratorParts.migrators(pool: pool)
            if let command { return try await command.run(migrators) }
            for migrator in migrators { _ = try await migrator.up() }

            let redis = RedisConnection(url: configuration.service.redisURL, log: log)
            try await checkQueuePolicy(of: redis, log: log)
            let parts = OrchestratorParts(configuration, pool: pool, redis: redis, metrics: metrics, log: log)
            if let key = try await parts.keys.bootstrap(preset: configuration.adminAPIKey) { parts.show(firstKey: key) }
            let shutdown = Shutdown()
            let server = HTTPServer(
                host: configuration.service.host, port: configuration.service.port,
                router: await parts.routes().router(metrics: metrics, shutdown: shutdown), log: log, metrics: metrics,
                accessLog: configuration.service.accessLog)
            try await ServiceGroup(
                [server, parts.supervisor, parts.versions], shutdown: shutdown,
                gracePeriod: configuration.service.gracePeriod, log: log
            ).run()
        }
    }
}
