import ServiceRuntime

/// The end of every `main`: serves `router` where the settings say, beside the process' `other` parts, until one of them fails or
/// SIGTERM or SIGINT asks all to stop.
package func serve(
    _ router: Router, beside others: [any Service] = [], settings: ServiceSettings, shutdown: Shutdown,
    metrics: Metrics,
    log: Log
) async throws {
    let server = HTTPServer(
        host: settings.host, port: settings.port, router: router, log: log, metrics: metrics,
        accessLog: settings.accessLog)
    try await ServiceGroup([server] + others, shutdown: shutdown, gracePeriod: settings.gracePeriod, log: log).run()
}
