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
            let (metrics, shutdown, health) = (Metrics(), Shutdown(), HealthChecks())
            await health.add(PostgresPool(configuration.database, service: "ai-status", metrics: metrics, log: log))
            await health.add(RedisConnection(url: configuration.service.redisURL, log: log))
            let routes = AIStatusRoutes(
                health: health, metrics: metrics, internalToken: configuration.service.internalToken)
            try await serve(
                routes.router(shutdown: shutdown), settings: configuration.service, shutdown: shutdown,
                metrics: metrics, log: log)
        }
    }
}
