import Foundation
import HTTPServer
import ServiceRuntime

/// The vector store: Qdrant's REST surface, and the queue's last stage.
@main
enum Indexer {
    static func main() async {
        await run("indexer") { log in
            let configuration = try IndexerConfiguration(from: Environment(), arguments: CommandLine.arguments)
            let metrics = Metrics()
            let store = try EmbeddedStore(folder: configuration.dataFolder, options: configuration.store, log: log, metrics: metrics)
            let health = HealthChecks()
            let shutdown = Shutdown()
            let routes = IndexerRoutes(
                store: store, health: health, metrics: metrics, configuration: configuration, guardian: CollectionGuard())
            let server = HTTPServer(
                host: configuration.host, port: configuration.port, router: routes.router(shutdown: shutdown), log: log,
                metrics: metrics, accessLog: configuration.accessLog)
            try await ServiceGroup([server, store], shutdown: shutdown, gracePeriod: configuration.gracePeriod, log: log).run()
        }
    }
}
