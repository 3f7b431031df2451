import HTTPServer
import Postgres
import Redis
import ServiceRuntime

/// The enrichment of imported products with AI, and its status.
@main
enum AIStatus {
    static func main() async {
        await run("ai-status") { log in
            try refuseWords(CommandLine.arguments)
            let configuration = try AIStatusConfiguration(from: Environment())
            let metrics = Metrics()
            let redis = RedisConnection(url: configuration.service.redisURL, log: log)
            let pool = PostgresPool(
                url: configuration.database.url, size: configuration.database.poolSize, log: log, metrics: metrics,
                applicationName: "ai-status")
            let health = HealthChecks()
            await health.add("postgresql", isRequired: true) { _ = try await pool.query("SELECT 1") }
            await health.add("redis", isRequired: true) { _ = try await redis.send("PING") }
            let shutdown = Shutdown()
            let routes = AIStatusRoutes(
                health: health, metrics: metrics, internalToken: configuration.service.internalToken)
            let server = HTTPServer(
                host: configuration.service.host, port: configuration.service.port,
                router: routes.router(shutdown: shutdown), log: log,
                metrics: metrics, accessLog: configuration.service.accessLog)
            try await ServiceGroup(
                [server], shutdown: shutdown, gracePeriod: configuration.service.gracePeriod, log: log
            ).run()
        }
    }
}
