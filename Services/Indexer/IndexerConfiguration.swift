import Foundation
import ServiceRuntime

/// All settings of the indexer. Each field's comment names its variable.
struct IndexerConfiguration: Sendable {
    var service: ServiceSettings
    var database: DatabaseSettings
    /// `DATA_DIR`: the folder of the embedded store, default `data`
    var dataFolder: String
    /// `STORE_ONLY`: the vector store alone, without PostgreSQL, Redis and the queue; default false
    var storeOnly: Bool
    /// `QDRANT_URL`: a real Qdrant is the store, and `DATA_DIR` is not used; default none
    var qdrantURL: String?
    /// `QDRANT_API_KEY`: asked of clients when set; Qdrant is asked with it
    var apiKey: String?
    /// `INDEXER_BODY_BYTES`: a request of points may be that long, default 64 MiB
    var bodyBytes: Int
    /// `QUEUE_LEASE_SECONDS`: a replica silent for that long has its batches taken over, default 10
    var lease: Duration
    /// `INDEXER_CLAIM`: batches in one index transaction, default 32
    var claim: Int
    /// `INDEXER_CHECKPOINT_BYTES` (256 MiB), `INDEXER_CHECKPOINT_SECONDS` (300), `INDEXER_SCAN_THREADS` (one a core); `--accept-loss`
    /// on the command line goes on over damage
    var store: EmbeddedStore.Options

    init(from environment: Environment, arguments: [String] = []) throws(ConfigurationError) {
        var settings = ConfigurationReader(environment)
        service = ServiceSettings(&settings, port: 8002)
        database = DatabaseSettings(&settings, poolSize: 4)
        dataFolder = settings.string("DATA_DIR", default: "data")
        storeOnly = settings.flag("STORE_ONLY", default: false)
        apiKey = settings.secret("QDRANT_API_KEY")
        bodyBytes = settings.integer("INDEXER_BODY_BYTES", default: 64 << 20, in: 1024...(1 << 30))
        lease = .seconds(settings.integer("QUEUE_LEASE_SECONDS", default: 10, in: 1...600))
        claim = settings.integer("INDEXER_CLAIM", default: 32, in: 1...1000)
        store = EmbeddedStore.Options()
        store.acceptLoss = arguments.contains("--accept-loss")
        store.checkpointBytes = settings.integer("INDEXER_CHECKPOINT_BYTES", default: 256 << 20, in: 1024...(1 << 40))
        store.checkpointInterval = .seconds(
            settings.integer("INDEXER_CHECKPOINT_SECONDS", default: 300, in: 1...86_400))
        store.scanThreads = settings.integer(
            "INDEXER_SCAN_THREADS", default: ProcessInfo.processInfo.activeProcessorCount, in: 1...256)
        qdrantURL = settings.url("QDRANT_URL", schemes: ["http", "https"])
        if storeOnly, qdrantURL != nil {
            settings.refuse("STORE_ONLY and QDRANT_URL exclude each other: alone, Qdrant needs no indexer")
        }
        try settings.finish()
    }
}
