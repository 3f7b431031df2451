import HTTPServer
import Redis
import ServiceRuntime
import WireProtocol

/// The whole HTTP surface. `DataProcessorDocument` describes it.
struct DataProcessorRoutes: Sendable {
    let runner: JobRunner
    let reader: JobReader
    let health: HealthChecks
    let metrics: Metrics
    let configuration: DataProcessorConfiguration

    func router(shutdown: Shutdown) -> Router {
        let operations = OperationCatalogue.description.serializedBytes
        var router = Router()
        router.addOperationalRoutes(
            service: "data-processor", health: health, metrics: metrics, shutdown: shutdown)
        router.requireInternalToken(configuration.service.internalToken)
        router.on("POST", "/process", body: .buffered(limit: configuration.bodyBytes), process)
        router.on("GET", "/jobs/:job_id", job)
        router.on("GET", "/operations") { _ in .bytes(operations, contentType: "application/json") }
        router.addDocument(DataProcessorDocument.json(bodyBytes: configuration.bodyBytes))
        return router
    }

    @Sendable private func process(_ request: HTTPRequest) async throws -> HTTPResponse {
        let id = try await runner.accept(request, maximumRows: configuration.maximumRows)
        let answer: JSONValue = [
            "job_id": .string(id), "status": "started", "message": .string("Job started; ask for it at /jobs/\(id)"),
        ]
        return .json(answer, status: 202, headers: ["Location": "/jobs/\(id)"])
    }

    @Sendable private func job(_ request: HTTPRequest) async throws -> HTTPResponse {
        let seconds = try request.queryInteger("wait", default: 0, in: 0...30)
        let id = request.parameters["job_id"] ?? ""
        do {
            guard id.utf8.count <= 64, let json = try await reader.answer(id, wait: .seconds(seconds)) else {
                throw Problem.notFound(
                    "there is no such job; results are kept for \(configuration.jobLifetime) seconds")
            }
            return .bytes(json, contentType: "application/json", headers: ["Cache-Control": "no-store"])
        } catch is RedisError {
            throw Problem.unavailable("the store of results does not answer", retryAfter: .seconds(2))
        }
    }
}
