import HTTPClient
import HTTPServer
import ServiceRuntime

/// The vector store: Qdrant's REST surface, and the last stage of the queue.
@main
enum Indexer {
    static func main() async {
        await TransferCommand.runIfAsked(CommandLine.arguments)
        await run("indexer") { log in
            let command = try IndexQueue.command(CommandLine.arguments)
            let configuration = try IndexerConfiguration(from: Environment(), arguments: CommandLine.arguments)
            let (metrics, shutdown, health) = (Metrics(), Shutdown(), HealthChecks())
            let queue =
                configuration.storeOnly && command == nil
                ? nil : IndexQueue(configuration, metrics: metrics, log: log)
            if let command, let queue { return try await command.run(queue.migrators) }
            try await queue?.prepare()
            await queue?.add(to: health)
            let guardian = queue?.guardian ?? CollectionGuard()
            let (store, router): (any VectorStore, Router)
            var services: [any Service] = []
            if let url = configuration.qdrantURL {
                let client = HTTPClient(metrics: metrics, log: log)
                let qdrant = QdrantConnection(url: url, client: client, apiKey: configuration.apiKey)
                let remote = QdrantStore(qdrant: qdrant)
                await health.add("qdrant", isRequired: true) { try await qdrant.ping() }
                router = ForwardingRoutes(
                    store: remote, client: HTTPClient(metrics: metrics, log: log, maximumConnectionsPerHost: 64),
                    health: health, metrics: metrics, configuration: configuration, guardian: guardian
                ).router(shutdown: shutdown)
                store = remote
            } else {
                OpenFiles.allowMost()
                let embedded = try EmbeddedStore(
                    folder: configuration.dataFolder, options: configuration.store, log: log)
                metrics.beforeScrape {
                    $0.set(
                        "collections_total", Double(embedded.collectionNames().count), help: "number of collections")
                }
                router = IndexerRoutes(
                    store: embedded, health: health, metrics: metrics, configuration: configuration, guardian: guardian
                ).router(shutdown: shutdown)
                store = embedded
                services.append(embedded)
            }
            if let queue { services += [queue.watch(over: store), queue.worker(writingTo: store)] }
            try await serve(
                router, beside: services, settings: configuration.service, shutdown: shutdown, metrics: metrics,
                log: log)
        }
    }
}
