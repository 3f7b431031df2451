import HTTPClient
import HTTPServer
import ServiceRuntime

@testable import Indexer

/// An indexer alone, with its REST surface on a port: what `QdrantStore` takes for a Qdrant.
final class PlayedQdrant: Sendable {
    let folder: StoreFolder
    let store: EmbeddedStore
    let url: String
    let connection: QdrantConnection
    private let port: Int
    private let shutdown = Shutdown()
    private let serving: Task<Void, any Error>

    init(key: String? = nil) async throws {
        folder = try StoreFolder()
        store = try folder.open()
        var settings = ["DATA_DIR": folder.path, "STORE_ONLY": "true"]
        settings["QDRANT_API_KEY"] = key
        let routes = IndexerRoutes(
            store: store, health: HealthChecks(), metrics: Metrics(),
            configuration: try IndexerConfiguration(from: Environment(settings)), guardian: CollectionGuard())
        let server = HTTPServer(
            host: "127.0.0.1", port: 0, router: routes.router(shutdown: shutdown), log: .silent, metrics: Metrics(),
            accessLog: false)
        port = try await server.start()
        url = "http://127.0.0.1:\(port)"
        connection = QdrantConnection(url: url, client: HTTPClient(log: .silent), apiKey: key)
        serving = Task { [shutdown] in try await server.run(until: shutdown) }
    }
    deinit { shutdown.request() }

    /// The port that it listened on.
    func stopped() async throws -> Int {
        shutdown.request()
        try await serving.value
        return port
    }
}
