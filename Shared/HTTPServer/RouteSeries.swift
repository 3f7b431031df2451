import ServiceRuntime
import Synchronization

/// The metrics of one route, looked up once: a request costs a few additions.
final class RouteSeries: Sendable {
    private let route: String
    private let method: String
    private let metrics: Metrics
    private let duration: Metrics.Series
    private let classes = Mutex<[Metrics.Series?]>(Array(repeating: nil, count: 6))

    init(route: String, method: String, metrics: Metrics) {
        self.route = route
        self.method = method
        self.metrics = metrics
        duration = metrics.histogram(
            "suite_http_request_duration_seconds",
            help: "Time from the end of a request's header to the end of its answer.",
            ["route": route, "method": method])
    }

    func count(status: Int, seconds: Double) {
        counter(of: min(max(status / 100, 1), 5)).add(1)
        duration.observe(seconds)
    }

    private func counter(of statusClass: Int) -> Metrics.Series {
        classes.withLock { classes in
            if let series = classes[statusClass] { return series }
            let series = metrics.counter(
                "suite_http_requests_total", help: "Requests by route and class of status.",
                ["route": route, "method": method, "status_class": "\(statusClass)xx"])
            classes[statusClass] = series
            return series
        }
    }
}
