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
            let (metrics, shutdown) = (Metrics(), Shutdown())
            let pool = PostgresPool(configuration.database, service: "orchestrator", metrics: metrics, log: log)
            let migrators = OrchestratorParts.migrators(pool: pool)
            if let command { return try await command.run(migrators) }
            let redis = RedisConnection(url: configuration.service.redisURL, log: log)
            try await preparing(log: log) {
                for migrator in migrators { try await migrator.up() }
                try await checkQueuePolicy(of: redis, log: log)
            }
            let parts = OrchestratorParts(configuration, pool: pool, redis: redis, metrics: metrics, log: log)
            if let key = try await parts.keys.bootstrap(preset: configuration.adminAPIKey) { parts.show(firstKey: key) }
            try await serve(
                await parts.routes().router(metrics: metrics, shutdown: shutdown),
                beside: [parts.supervisor, parts.versions], settings: configuration.service, shutdown: shutdown,
                metrics: metrics, log: log)
        }
    }
}
