import Foundation
import ServiceRuntime

/// All settings of the indexer. Each field's comment names its variable.
struct IndexerConfiguration: Sendable {
    /// `HOST`, default 127.0.0.1
    var host: String
    /// `PORT`, default 8002
    var port: Int
    /// `DATA_DIR`: the folder of the embedded store, default `data`
    var dataFolder: String
    /// `STORE_ONLY`: the vector store alone, without PostgreSQL, Redis and the queue; default false
    var storeOnly: Bool
    /// `DATABASE_URL`
    var databaseURL: String
    /// `DATABASE_POOL_SIZE`, default 4
    var databasePoolSize: Int
    /// `REDIS_URL`
    var redisURL: String
    /// `QDRANT_API_KEY`: asked of clients when set
    var apiKey: String?
    /// `INTERNAL_TOKEN`: accepted as well
    var internalToken: String?
    /// `INDEXER_BODY_BYTES`: a request of points may be that long, default 64 MiB
    var bodyBytes: Int
    /// `QUEUE_LEASE_SECONDS`: a replica silent for that long has its batches taken over, default 10
    var lease: Duration
    /// `INDEXER_CLAIM`: batches in one index transaction, default 32
    var claim: Int
    /// `INDEXER_CHECKPOINT_BYTES` (256 MiB), `INDEXER_CHECKPOINT_SECONDS` (300), `INDEXER_SCAN_THREADS` (one a core); `--accept-loss`
    /// on the command line goes on over damage
    var store: EmbeddedStore.Options
    /// `GRACE_PERIOD_SECONDS`: time to finish what is in hand after SIGTERM, default 10
    var gracePeriod: Duration
    /// `ACCESS_LOG`, default true
    var accessLog: Bool
    /// `FAILPOINT`: tests only
    var failpoints: Failpoints

    init(from environment: Environment, arguments: [String] = []) throws(ConfigurationError) {
        var settings = ConfigurationReader(environment)
        host = settings.string("HOST", default: "127.0.0.1")
        port = settings.integer("PORT", default: 8002, in: 0...65535)
        dataFolder = settings.string("DATA_DIR", default: "data")
        storeOnly = settings.flag("STORE_ONLY", default: false)
        databaseURL = settings.url(
            "DATABASE_URL", default: "postgresql://suite:suite@127.0.0.1:5432/suite",
            schemes: ["postgresql", "postgres"])
        databasePoolSize = settings.integer("DATABASE_POOL_SIZE", default: 4, in: 1...100)
        redisURL = settings.url("REDIS_URL", default: "redis://127.0.0.1:6379", schemes: ["redis", "rediss", "unix"])
        apiKey = settings.secret("QDRANT_API_KEY")
        internalToken = settings.secret("INTERNAL_TOKEN")
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
        gracePeriod = .seconds(settings.integer("GRACE_PERIOD_SECONDS", default: 10, in: 1...3600))
        accessLog = settings.flag("ACCESS_LOG", default: true)
        failpoints = .none
        do {
            failpoints = try Failpoints(environment.values["FAILPOINT"])
        } catch {
            error.problems.forEach { settings.refuse($0) }
        }
        if environment.values["QDRANT_URL"]?.isEmpty == false {
            settings.refuse("QDRANT_URL: a real Qdrant behind the indexer is not supported yet; leave it unset")
        }
        try settings.finish()
    }
}
