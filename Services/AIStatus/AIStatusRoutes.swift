import HTTPServer
import ServiceRuntime
import WireProtocol

/// The whole HTTP surface. `AIStatusDocument` describes it.
struct AIStatusRoutes: Sendable {
    let health: HealthChecks
    let metrics: Metrics
    let internalToken: String?

    func router(shutdown: Shutdown) -> Router {
        var router = Router()
        router.addOperationalRoutes(
            service: "ai-status", health: health, metrics: metrics, shutdown: shutdown)
        router.requireInternalToken(internalToken)
        router.on("GET", "/_ai_status", status)
        router.on("GET", "/ai_status", status)
        router.addDocument(AIStatusDocument.json)
        return router
    }

    /// No import hands its products over yet, so every task is unknown. Source: SPEC 6.1.
    @Sendable private func status(_ request: HTTPRequest) async throws -> HTTPResponse {
        guard let task = request.query("task_id"), !task.isEmpty else {
            throw Problem.badRequest(field: "task_id", "is required")
        }
        let idle: JSONValue = ["state": "IDLE"]
        return .json(idle, status: 404, headers: ["Cache-Control": "no-store"])
    }
}
