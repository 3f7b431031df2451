import HTTPServer
import Redis
import ServiceRuntime

/// Applies declared operations to datasets: `POST /process`, then `GET /jobs/{job_id}`.
@main
enum DataProcessor {
    static func main() async {
        await run("data-processor") { log in
            try refuseWords(CommandLine.arguments)
            let configuration = try DataProcessorConfiguration(from: Environment())
            let (metrics, shutdown, health) = (Metrics(), Shutdown(), HealthChecks())
            let redis = RedisConnection(url: configuration.service.redisURL, log: log)
            await health.add(redis)
            let store = JobStore(
                redis: redis, lifetime: configuration.jobLifetime * 1000, budget: configuration.storeBytes,
                lease: configuration.lease * 1000)
            let runner = JobRunner(
                store: store, limits: configuration.limits, failpoints: configuration.service.failpoints, log: log,
                metrics: metrics)
            let routes = DataProcessorRoutes(
                runner: runner, reader: JobReader(store: store, runner: runner, shutdown: shutdown), health: health,
                metrics: metrics, configuration: configuration)
            try await serve(
                routes.router(shutdown: shutdown), beside: [runner], settings: configuration.service,
                shutdown: shutdown, metrics: metrics, log: log)
        }
    }
}
