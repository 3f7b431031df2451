import HTTPServer
import ServiceRuntime
import WireProtocol

/// The whole HTTP surface of the orchestrator on one page.
struct OrchestratorRoutes: Sendable {
    let authentication: Authentication
    let crossOrigin: CrossOrigin
    let health: SuiteHealth
    let datasources: DatasourceRoutes
    let sync: SyncRoutes
    let collections: CollectionRoutes
    let modelChange: ModelChangeRoutes
    let search: SearchRoutes
    let deadLetters: DeadLetterRoutes
    let aiStatus: Forwarding

    func router(metrics: Metrics, shutdown: Shutdown) -> Router {
        var router = Router()
        router.errorForm = { error, request in Problem(describing: error).response(instance: request.path) }
        router.use { try await crossOrigin.handle($0, next: $1) }
        router.addOperationalRoutes(
            service: "orchestrator", health: health.own, metrics: metrics, shutdown: shutdown)
        router.on("GET", "/api/health") { _ in await health.summary() }
        router.on("GET", "/api/health/services") { _ in await health.all() }
        router.on("GET", "/api/health/database") { _ in try await health.one("database") }
        router.on("GET", "/api/health/redis") { _ in try await health.one("redis") }
        router.on("GET", "/api/health/qdrant") { _ in try await health.one("qdrant") }

        router.use { try await authentication.handle($0, next: $1) }
        router.on("GET", "/api/openapi.json") { _ in Self.openAPI }
        router.on("GET", "/openapi.json") { _ in Self.openAPI }
        datasources.add(to: &router)
        sync.add(to: &router)
        collections.add(to: &router)
        modelChange.add(to: &router)
        search.add(to: &router)
        deadLetters.add(to: &router)
        router.on("GET", "/_ai_status") { try await aiStatus.handle($0) }
        router.on("GET", "/ai_status") { try await aiStatus.handle($0) }
        return router
    }

    private static let openAPI = HTTPResponse.bytes(PackageResources.openapi_json, contentType: "application/json")
}
