/// What every service is told in the same way.
package struct ServiceSettings: Sendable {
    /// `HOST`, default 127.0.0.1
    package var host: String
    /// `PORT`, default the service's own
    package var port: Int
    /// `REDIS_URL`
    package var redisURL: String
    /// `INTERNAL_TOKEN`: carried on calls between services, and asked of them, when set
    package var internalToken: String?
    /// `GRACE_PERIOD_SECONDS`: time to finish what is in hand after SIGTERM
    package var gracePeriod: Duration
    /// `ACCESS_LOG`, default true
    package var accessLog: Bool
    /// `FAILPOINT`: tests only
    package var failpoints: Failpoints

    package init(_ settings: inout ConfigurationReader, port ownPort: Int, gracePeriod seconds: Int = 10) {
        host = settings.string("HOST", default: "127.0.0.1")
        port = settings.integer("PORT", default: ownPort, in: 0...65535)
        redisURL = settings.url("REDIS_URL", default: "redis://127.0.0.1:6379", schemes: ["redis", "unix"])
        internalToken = settings.secret("INTERNAL_TOKEN")
        gracePeriod = .seconds(settings.integer("GRACE_PERIOD_SECONDS", default: seconds, in: 1...3600))
        accessLog = settings.flag("ACCESS_LOG", default: true)
        if settings.string("OTEL_EXPORTER_OTLP_ENDPOINT") != nil {
            settings.refuse(
                "OTEL_EXPORTER_OTLP_ENDPOINT is set, but this version exports no spans: unset it; logs carry trace ids")
        }
        failpoints = .none
        do {
            failpoints = try Failpoints(settings.string("FAILPOINT"))
        } catch {
            error.problems.forEach { settings.refuse($0) }
        }
    }
}

/// How a service that needs PostgreSQL reaches it.
package struct DatabaseSettings: Sendable {
    /// `DATABASE_URL`
    package var url: String
    /// `DATABASE_POOL_SIZE`, connections
    package var poolSize: Int

    package init(_ settings: inout ConfigurationReader, poolSize ownSize: Int = 8) {
        url = settings.url(
            "DATABASE_URL", default: "postgresql://suite:suite@127.0.0.1:5432/suite",
            schemes: ["postgresql", "postgres"])
        poolSize = settings.integer("DATABASE_POOL_SIZE", default: ownSize, in: 1...200)
    }
}
