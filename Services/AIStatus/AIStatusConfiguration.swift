import ServiceRuntime

/// All settings of ai-status. Each field's comment names its variable.
struct AIStatusConfiguration: Sendable {
    /// `HOST`, default 127.0.0.1
    var host: String
    /// `PORT`, default 8005
    var port: Int
    /// `DATABASE_URL`
    var databaseURL: String
    /// `DATABASE_POOL_SIZE`, connections, default 8
    var databasePoolSize: Int
    /// `REDIS_URL`
    var redisURL: String
    /// `INTERNAL_TOKEN`: asked of callers when set
    var internalToken: String?
    /// `GRACE_PERIOD_SECONDS`: time to finish after SIGTERM, default 30
    var gracePeriod: Duration
    /// `ACCESS_LOG`, default true
    var accessLog: Bool

    init(from environment: Environment) throws(ConfigurationError) {
        var settings = ConfigurationReader(environment)
        host = settings.string("HOST", default: "127.0.0.1")
        port = settings.integer("PORT", default: 8005, in: 0...65535)
        databaseURL = settings.url(
            "DATABASE_URL", default: "postgresql://suite:suite@127.0.0.1:5432/suite",
            schemes: ["postgresql", "postgres"])
        databasePoolSize = settings.integer("DATABASE_POOL_SIZE", default: 8, in: 2...200)
        redisURL = settings.url("REDIS_URL", default: "redis://127.0.0.1:6379", schemes: ["redis", "rediss", "unix"])
        internalToken = settings.secret("INTERNAL_TOKEN")
        gracePeriod = .seconds(settings.integer("GRACE_PERIOD_SECONDS", default: 30, in: 1...3600))
        accessLog = settings.flag("ACCESS_LOG", default: true)
        try settings.finish()
    }
}
