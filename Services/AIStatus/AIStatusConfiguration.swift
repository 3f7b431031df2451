import ServiceRuntime

/// All settings of ai-status. Each field's comment names its variable.
struct AIStatusConfiguration: Sendable {
    var service: ServiceSettings
    var database: DatabaseSettings

    init(from environment: Environment) throws(ConfigurationError) {
        var settings = ConfigurationReader(environment)
        service = ServiceSettings(&settings, port: 8005, gracePeriod: 30)
        database = DatabaseSettings(&settings)
        try settings.finish()
    }
}
