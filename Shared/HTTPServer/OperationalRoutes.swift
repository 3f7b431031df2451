import Foundation
import ServiceRuntime
import WireProtocol

extension Router {
    /// `/health`, `/livez`, `/readyz` and `/metrics`, without authentication: add them before a middleware that asks for it.
    /// `live` and `ready` are answered by the two probes when all is well.
    package mutating func addOperationalRoutes(
        service: String, health: HealthChecks, metrics: Metrics, shutdown: Shutdown,
        live: HTTPResponse = .json(["status": "pass"] as JSONValue),
        ready: HTTPResponse = .json(["status": "pass"] as JSONValue)
    ) {
        on("GET", "/livez") { _ in live }
        on("GET", "/health") { _ in
            let results = await health.results()
            return HealthReport(service: service, results: results).response
        }
        on("GET", "/readyz") { _ in
            if shutdown.isRequested { throw Problem.unavailable("the service is stopping") }
            let results = await health.results()
            let failing = results.filter { $0.status == .fail && $0.isRequired }.map(\.name)
            guard failing.isEmpty else { throw Problem.unavailable("not working: \(failing.joined(separator: ", "))") }
            return ready
        }
        let process = ProcessMetrics(service: service, metrics: metrics)
        on("GET", "/metrics") { _ in
            let text = try await BlockingPool.run {
                process.update()
                return metrics.exposition()
            }
            return .text(text, contentType: "text/plain; version=0.0.4; charset=utf-8")
        }
    }
}

/// The answer of `/health`. Source: draft-inadarei-api-health-check-06.
private struct HealthReport {
    var service: String
    var results: [HealthChecks.Result]
    private var status: HealthChecks.Status { HealthChecks.overall(results) }

    private var body: JSONValue {
        let now = JSONValue.string(Timestamp.now.text)
        var checks = JSONObject()
        for result in results {
            var check = JSONObject(unique: [
                ("componentType", "component"), ("status", .string(result.status.rawValue)),
                ("observedValue", .number((result.latency * 1000).rounded() / 1000)), ("observedUnit", "ms"),
                ("time", now),
            ])
            if let output = result.output { check["output"] = .string(output) }
            checks["\(result.name):responseTime"] = .array([.object(check)])
        }
        return .object(
            JSONObject(unique: [
                ("status", .string(status.rawValue)), ("serviceId", .string(service)),
                ("version", .string(suiteVersion)), ("releaseId", .string(suiteVersion)), ("checks", .object(checks)),
            ]))
    }

    var response: HTTPResponse {
        .bytes(
            body.serializedBytes, contentType: "application/health+json", status: status == .fail ? 503 : 200,
            headers: ["Cache-Control": "no-store"])
    }
}

/// What every Prometheus client library tells of its process.
private struct ProcessMetrics {
    private let resident: Metrics.Series
    private let processor: Metrics.Series

    init(service: String, metrics: Metrics) {
        metrics.set(
            "suite_build_info", 1, help: "What is running; always 1.", ["service": service, "version": suiteVersion])
        resident = metrics.gauge("process_resident_memory_bytes", help: "Resident memory size in bytes.")
        processor = metrics.counter(
            "process_cpu_seconds_total", help: "Total user and system CPU time spent in seconds.")
        metrics.set(
            "process_start_time_seconds", Double(Timestamp.now.milliseconds) / 1000,
            help: "Start time of the process since unix epoch in seconds.")
    }

    func update() {
        var usage = rusage()
        if getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 {
            processor.set(Self.seconds(usage.ru_utime) + Self.seconds(usage.ru_stime))
        }
        // Second field: resident pages.
        if let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8),
            let pages = text.split(separator: " ").dropFirst().first.flatMap({ Double($0) })
        {
            resident.set(pages * Double(sysconf(Int32(_SC_PAGESIZE))))
        }
    }

    private static func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
}
