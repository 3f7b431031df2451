import FastJSON
import HTTPClient
import HTTPServer
import ServiceRuntime
import WireProtocol

/// The health of the whole suite, service by dependency, in one answer.
struct SuiteHealth: Sendable {
    let services: [(name: String, url: String)]
    let own: HealthChecks
    let client: HTTPClient

    /// `GET /api/health/services`: 200 while every service can work, else 503.
    func all() async -> HTTPResponse {
        let answers = await withTaskGroup(of: (Int, JSONValue).self) { group in
            for (index, service) in services.enumerated() {
                group.addTask { (index, await ask(service.url)) }
            }
            return await group.reduce(into: [(Int, JSONValue)]()) { $0.append($1) }.sorted { $0.0 < $1.0 }
        }
        var members = JSONObject()
        members["orchestrator"] = await ownHealth()
        for (index, answer) in answers { members[services[index].name] = answer }
        let statuses = members.members.map { $0.value["status"]?.string ?? "fail" }
        let overall = statuses.contains("fail") ? "fail" : statuses.contains("warn") ? "warn" : "pass"
        return HTTPResponse.json(
            ["status": .string(overall), "services": .object(members)], status: overall == "fail" ? 503 : 200)
    }

    /// `GET /api/health`: the orchestrator and what it depends on.
    func summary() async -> HTTPResponse {
        let health = await ownHealth()
        return .bytes(
            health.serializedBytes, contentType: "application/health+json",
            status: health["status"] == "fail" ? 503 : 200)
    }

    /// `GET /api/health/database`, `/qdrant`, `/redis`: one dependency of the orchestrator.
    func one(_ name: String) async throws -> HTTPResponse {
        guard let result = await own.results().first(where: { $0.name == name }) else {
            throw Problem.notFound("no dependency is called \(name)")
        }
        return HTTPResponse.json(Self.describe(result), status: result.status == .pass ? 200 : 503)
    }

    private func ownHealth() async -> JSONValue {
        let results = await own.results()
        var checks = JSONObject()
        for result in results { checks[result.name] = Self.describe(result) }
        return ["status": .string(HealthChecks.overall(results).rawValue), "checks": .object(checks)]
    }

    private func ask(_ url: String) async -> JSONValue {
        let start = ContinuousClock.now
        do {
            let response = try await client.send(
                ClientRequest(method: "GET", url: url + "/health", timeout: .milliseconds(450)))
            var object = (try? JSONReader.parse(response.body))?.object ?? JSONObject()
            if object["status"] == nil { object["status"] = "fail" }
            object["latencyMs"] = .number(Self.milliseconds(since: start))
            return .object(object)
        } catch {
            return [
                "status": "fail", "output": .string("\(error)"), "latencyMs": .number(Self.milliseconds(since: start)),
            ]
        }
    }

    private static func describe(_ result: HealthChecks.Result) -> JSONValue {
        var object = JSONObject()
        object["status"] = .string(result.status.rawValue)
        object["latencyMs"] = .number(result.latency)
        object["output"] = result.output.map(JSONValue.string)
        return .object(object)
    }

    private static func milliseconds(since start: ContinuousClock.Instant) -> Double {
        let elapsed = (ContinuousClock.now - start).components
        return (Double(elapsed.seconds) * 1e6 + Double(elapsed.attoseconds / 1_000_000_000_000)).rounded() / 1000
    }
}
