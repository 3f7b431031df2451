import Crypto
import Foundation
import ServiceRuntime
import WorkQueue

/// All settings of the data-harvester. Each field's comment names its variable.
struct DataHarvesterConfiguration: Sendable {
    var service: ServiceSettings
    var database: DatabaseSettings
    /// `QUEUE_MAX_MESSAGES` (1000), `QUEUE_MAX_BYTES` (128 MiB): what may wait in a list before this service waits
    var queueLimits: QueueLimits
    /// `QUEUE_LEASE_SECONDS`: a replica silent for that long has its jobs taken over, default 10
    var lease: Duration
    /// `DATA_PROCESSOR_URL`
    var dataProcessorURL: String
    /// `SECRETS_KEY`: opens the datasources' secrets; required
    var keyRing: KeyRing
    /// `FILES_DIR`: the mounted folder of file sources; none by default. `ALLOW_SUPERUSER_SOURCES`, default false.
    /// `SOURCE_NETWORKS`: networks that sources may be in, as 10.0.0.0/8,...; default all but link-local ones.
    /// `SOURCE_STATEMENT_TIMEOUT_SECONDS`, default 60. `INCREMENTAL_OVERLAP_SECONDS`, default 300. `CSV_MAX_ROW_BYTES`, default 1 MiB
    var sources: SourceConnectors.Settings
    /// `HARVEST_PAGE_ROWS`, default 1000. `MASS_DELETE_SHARE`: more of a datasource's records are not deleted at once without
    /// allowMassDelete, default 0.2
    var harvest: HarvestRun.Settings
    /// `HARVEST_CONCURRENCY`: jobs at once, default 4
    var concurrency: Int

    init(from environment: Environment) throws(ConfigurationError) {
        var settings = ConfigurationReader(environment)
        service = ServiceSettings(&settings, port: 8003)
        database = DatabaseSettings(&settings)
        queueLimits = QueueLimits(
            messages: settings.integer("QUEUE_MAX_MESSAGES", default: 1000, in: 10...1_000_000),
            bytes: settings.integer("QUEUE_MAX_BYTES", default: 128 << 20, in: (1 << 20)...(1 << 36)))
        lease = .seconds(settings.integer("QUEUE_LEASE_SECONDS", default: 10, in: 1...600))
        dataProcessorURL = settings.url(
            "DATA_PROCESSOR_URL", default: "http://127.0.0.1:8004", schemes: ["http", "https"])
        sources = .init()
        sources.folder = settings.string("FILES_DIR")
        sources.allowSuperuser = settings.flag("ALLOW_SUPERUSER_SOURCES", default: false)
        sources.statementTimeout = .seconds(
            settings.integer("SOURCE_STATEMENT_TIMEOUT_SECONDS", default: 60, in: 1...3600))
        sources.overlap = .seconds(settings.integer("INCREMENTAL_OVERLAP_SECONDS", default: 300, in: 0...604_800))
        sources.csv.rowBytes = settings.integer("CSV_MAX_ROW_BYTES", default: 1 << 20, in: 1024...(256 << 20))
        let networks = (settings.string("SOURCE_NETWORKS") ?? "").split(separator: ",").map { $0.filter { $0 != " " } }
        let parsed = networks.map { NetworkPolicy.Network($0) }
        for (text, network) in zip(networks, parsed) where network == nil {
            settings.refuse("SOURCE_NETWORKS: \(text) is not a network like 10.0.0.0/8")
        }
        sources.policy = NetworkPolicy(allowed: parsed.compactMap { $0 })
        harvest = .init()
        harvest.pageRows = settings.integer("HARVEST_PAGE_ROWS", default: 1000, in: 1...10_000)
        harvest.massDeleteShare = settings.number("MASS_DELETE_SHARE", default: 0.2, in: 0...1)
        concurrency = settings.integer("HARVEST_CONCURRENCY", default: 4, in: 1...100)
        var opened: KeyRing?
        let key = settings.required("SECRETS_KEY", example: "the output of openssl rand -base64 32")
        if !key.isEmpty {
            do {
                opened = try KeyRing(specification: key)
            } catch {
                settings.refuse("SECRETS_KEY: \(error)")
            }
        }
        try settings.finish()
        guard let opened else { throw ConfigurationError(problems: ["SECRETS_KEY cannot be used"]) }
        keyRing = opened
    }
}
