import HTTPServer
import ServiceRuntime

/// The vector store: Qdrant's REST surface, and the last stage of the queue.
@main
enum Indexer {
    static func main() async {
        await run("indexer") { log in
            let configuration = try IndexerConfiguration(from: Environment(), arguments: CommandLine.arguments)
            let (metrics, shutdown, health) = (Metrics(), Shutdown(), HealthChecks())
            let queue =
                configuration.storeOnly
                ? nil
                : try await IndexQueue(configuration, arguments: CommandLine.arguments, metrics: metrics, log: log)
            if queue?.wasMigrationCommand == true { return }
            let store = try EmbeddedStore(folder: configuration.dataFolder, options: configuration.store, log: log)
            await queue?.add(to: health)
            let routes = IndexerRoutes(
                store: store, health: health, metrics: metrics, configuration: configuration,
                guardian: queue?.guardian ?? CollectionGuard())
            let server = HTTPServer(
                host: configuration.service.host, port: configuration.service.port,
                router: routes.router(shutdown: shutdown), log: log,
                metrics: metrics, accessLog: configuration.service.accessLog)
            var services: [any Service] = [server, store]
            if let queue { services += [queue.watch(over: store), queue.worker(writingTo: store)] }
            try await ServiceGroup(
                services, shutdown: shutdown, gracePeriod: configuration.service.gracePeriod, log: log
            ).run()
        }
    }
}
