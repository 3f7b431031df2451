import HTTPClient
import HTTPServer
import Redis
import ServiceRuntime
import WireProtocol
import WorkQueue

/// Gives texts vectors: those of the batches on `queue:embed`, and those of `POST /embed`.
@main
enum Embedder {
    static func main() async {
        await run("embedder") { log in
            try refuseWords(CommandLine.arguments)
            let configuration = try EmbedderConfiguration(from: Environment())
            let (metrics, shutdown, health) = (Metrics(), Shutdown(), HealthChecks())
            let redis = RedisConnection(url: configuration.service.redisURL, log: log)
            do {
                try await checkQueuePolicy(of: redis, log: log)
            } catch let error as RedisError where error.isRetryable {
                log.warning("redis.unreachable", ["error": .string("\(error)")])  // the worker waits for it
            }
            let cacheRedis =
                configuration.cacheURL == configuration.service.redisURL
                ? redis : RedisConnection(url: configuration.cacheURL, log: log)
            let queue = WorkQueue(redis: redis, metrics: metrics, log: log)
            let service = EmbeddingService(
                gates: try EmbeddingProviders(configuration, metrics: metrics, log: log).gates,
                cache: EmbeddingCache(redis: cacheRedis, settings: configuration.cache, metrics: metrics, log: log),
                failpoints: configuration.service.failpoints, metrics: metrics)
            await health.add(service, redis: redis, cache: cacheRedis)
            let worker = EmbedWorker(
                consumer: QueueConsumer(
                    queue: .embed, service: "embedder", redisURL: configuration.service.redisURL,
                    lease: configuration.lease, metrics: metrics, log: log),
                queue: queue, service: service, fence: EpochFence(queue: queue), settings: configuration.worker,
                failpoints: configuration.service.failpoints, metrics: metrics, log: log)
            let routes = EmbedderRoutes(
                service: service, health: health, metrics: metrics, configuration: configuration)
            try await serve(
                routes.router(shutdown: shutdown), beside: [worker], settings: configuration.service,
                shutdown: shutdown, metrics: metrics, log: log)
        }
    }
}
