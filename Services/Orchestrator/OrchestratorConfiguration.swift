import Crypto
import Foundation
import ServiceRuntime

/// All settings of the orchestrator. Each field's comment names its variable; `.env.example` lists them all.
struct OrchestratorConfiguration: Sendable {
    var service: ServiceSettings
    var database: DatabaseSettings
    /// `EMBEDDER_URL`, `INDEXER_URL`, `DATA_HARVESTER_URL`, `DATA_PROCESSOR_URL`, `AI_STATUS_URL`
    var embedderURL: String
    var indexerURL: String
    var harvesterURL: String
    var processorURL: String
    var aiStatusURL: String
    /// `QDRANT_API_KEY`: asked by the indexer's surface when set
    var qdrantAPIKey: String?
    /// `SECRETS_KEY`: 32 bytes as base64 or hex; several, the current one first
    var keyRing: KeyRing
    /// `ADMIN_API_KEY`: the first key, instead of a generated one
    var adminAPIKey: String?
    /// `CORS_ORIGINS`: origins separated by commas, default none
    var corsOrigins: [String]
    /// `MAX_UPLOAD_BYTES`, default 1 GiB
    var maximumUploadBytes: Int
    /// `QUEUE_LEASE_SECONDS`: what the lists' consumers hold without a sign of life, default 10
    var lease: Duration
    /// `JOB_PROGRESS_TIMEOUT_SECONDS`: a job without progress for that long fails, default 7200
    var progressTimeout: Duration
    /// `JOB_RETENTION_DAYS`: ended jobs are removed after that many days, default 90
    var jobRetentionDays: Int
    /// `ROLLBACK_RETENTION_HOURS`: so long the version before a switch is kept in step for a rollback, default 168
    var rollbackRetentionHours: Int

    init(from environment: Environment) throws {
        var settings = ConfigurationReader(environment)
        service = ServiceSettings(&settings, port: 8000)
        database = DatabaseSettings(&settings)
        let http = ["http", "https"]
        embedderURL = settings.url("EMBEDDER_URL", default: "http://127.0.0.1:8001", schemes: http)
        indexerURL = settings.url("INDEXER_URL", default: "http://127.0.0.1:8002", schemes: http)
        harvesterURL = settings.url("DATA_HARVESTER_URL", default: "http://127.0.0.1:8003", schemes: http)
        processorURL = settings.url("DATA_PROCESSOR_URL", default: "http://127.0.0.1:8004", schemes: http)
        aiStatusURL = settings.url("AI_STATUS_URL", default: "http://127.0.0.1:8005", schemes: http)
        qdrantAPIKey = settings.secret("QDRANT_API_KEY")
        adminAPIKey = settings.secret("ADMIN_API_KEY")
        if let key = adminAPIKey, key.utf8.count < 16 {
            settings.refuse("ADMIN_API_KEY must have at least 16 characters")
        }
        corsOrigins = settings.string("CORS_ORIGINS", default: "").split(separator: ",").map {
            $0.trimmingCharacters(in: .whitespaces)
        }
        for origin in corsOrigins where origin.wholeMatch(of: /https?:\/\/[^\/\s?#@*]+/) == nil {
            settings.refuse("CORS_ORIGINS: \(origin) is no origin like https://shop.example")
        }
        maximumUploadBytes = settings.integer("MAX_UPLOAD_BYTES", default: 1 << 30, in: 1...(1 << 40))
        lease = .seconds(settings.integer("QUEUE_LEASE_SECONDS", default: 10, in: 1...600))
        progressTimeout = .seconds(settings.integer("JOB_PROGRESS_TIMEOUT_SECONDS", default: 7200, in: 10...604_800))
        jobRetentionDays = settings.integer("JOB_RETENTION_DAYS", default: 90, in: 1...36500)
        rollbackRetentionHours = settings.integer("ROLLBACK_RETENTION_HOURS", default: 168, in: 0...87_600)
        var ring: KeyRing?
        if let specification = settings.secret("SECRETS_KEY") {
            do {
                ring = try KeyRing(specification: specification)
            } catch {
                settings.refuse("SECRETS_KEY: \(error)")
            }
        } else {
            settings.refuse(
                "SECRETS_KEY is not set (32 random bytes as base64, for example from: openssl rand -base64 32)")
        }
        try settings.finish()
        guard let ring else { throw ConfigurationError(problems: ["SECRETS_KEY is not usable"]) }
        keyRing = ring
    }
}
