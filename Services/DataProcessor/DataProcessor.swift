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
            let metrics = Metrics()
            let redis = RedisConnection(url: configuration.service.redisURL, log: log)
            let store = JobStore(
                redis: redis, lifetime: configuration.jobLifetime * 1000, budget: configuration.storeBytes,
                lease: configuration.lease * 1000)
            let runner = JobRunner(
                store: store, limits: configuration.limits, failpoints: configuration.service.failpoints, log: log,
                metrics: metrics)
            let health = HealthChecks()
            await health.add("redis", isRequired: true) { _ = try await redis.send("PING") }
            let shutdown = Shutdown()
            let routes = DataProcessorRoutes(
                runner: runner, reader: JobReader(store: store, runner: runner, shutdown: shutdown), health: health,
                metrics: metrics, configuration: configuration)
            let server = HTTPServer(
                host: configuration.service.host, port: configuration.service.port,
                router: routes.router(shutdown: shutdown), log: log,
                metrics: metrics, accessLog: configuration.service.accessLog)
            try await ServiceGroup(
                [server, runner], shutdown: shutdown, gracePeriod: configuration.service.gracePeriod, log: log
            ).run()
        }
    }
}
