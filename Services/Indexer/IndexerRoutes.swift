import Crypto
import FastJSON
import Foundation
import HTTPServer
import ServiceRuntime
import WireProtocol

/// The whole HTTP surface: the part of Qdrant's REST API that the suite and Qdrant's clients need.
/// Source: `qdrant-openapi.json`. Paths, forms, texts and status codes are Qdrant's; what is not supported answers 4xx and says so.
struct IndexerRoutes: Sendable {
    let store: any VectorStore
    let health: HealthChecks
    let metrics: Metrics
    let configuration: IndexerConfiguration
    /// Which collections a datasource fills: REST does not write there.
    let guardian: CollectionGuard
    let ledger = RequestLedger()
    let limits = RateLimits()
    /// Of this process, for telemetry: nothing remembers them.
    let instance = UUID()
    let startup = Timestamp.now

    /// The Qdrant release whose behaviour this is: clients compare it with their own.
    static let qdrantVersion = "1.19.0"

    func router(shutdown: Shutdown) -> Router {
        var router = Router()
        router.errorForm = { error, _ in QdrantErrors.answer(error) }
        router.addOperationalRoutes(
            service: "indexer", health: health, metrics: metrics, shutdown: shutdown,
            live: .text("healthz check passed"), ready: .text("all shards are ready"))
        router.on("GET", "/healthz") { _ in .text("healthz check passed") }
        router.on("GET", "/") { _ in
            .json(["title": "qdrant - vector search engine", "version": .string(Self.qdrantVersion)])
        }
        metrics.set(
            "app_info", 1, help: "information about qdrant server", ["name": "qdrant", "version": Self.qdrantVersion])
        router.use(ledger.middleware)
        router.requireAPIKey(configuration.apiKey, internalToken: configuration.service.internalToken)
        router.use(Self.checkParameters)
        router.addDocument(IndexerDocument.json)
        router.on("GET", "/telemetry", telemetry)

        router.on("GET", "/collections", listCollections)
        router.on("GET", "/collections/:collection", getCollection)
        router.on("PUT", "/collections/:collection", createCollection)
        router.on("PATCH", "/collections/:collection", updateCollection)
        router.on("DELETE", "/collections/:collection", deleteCollection)
        router.on("GET", "/collections/:collection/exists", collectionExists)
        router.on("POST", "/collections/aliases", changeAliases)
        router.on("GET", "/aliases", listAliases)
        router.on("GET", "/collections/:collection/aliases", listAliases)
        router.on("PUT", "/collections/:collection/index", createIndex)
        router.on("DELETE", "/collections/:collection/index/:field", deleteIndex)
        router.on("PUT", "/collections/:collection/vectors/:vector", addVector)
        router.on("DELETE", "/collections/:collection/vectors/:vector", removeVector)

        router.on("GET", "/collections/:collection/cluster", collectionCluster)
        router.on("GET", "/collections/:collection/optimizations", optimizations)
        router.on("GET", "/cluster", cluster)
        router.on("GET", "/issues", issues)
        router.on("DELETE", "/issues", clearIssues)

        let large = BodyMode.buffered(limit: configuration.bodyBytes)
        router.group("/collections/:collection") { router in
            router.on("POST", "/facet", facet)
            router.group("/points") { router in
                router.on("PUT", "", body: large, upsert)
                router.on("POST", "", retrieve)
                router.on("GET", "/:id", getPoint)
                router.on("POST", "/delete", deletePoints)
                router.on("PUT", "/vectors", body: large, updateVectors)
                router.on("POST", "/vectors/delete", deleteVectors)
                router.on("POST", "/payload", setPayload)
                router.on("PUT", "/payload", overwritePayload)
                router.on("POST", "/payload/delete", deletePayload)
                router.on("POST", "/payload/clear", clearPayload)
                router.on("POST", "/batch", body: large, updateBatch)
                router.on("POST", "/scroll", scroll)
                router.on("POST", "/count", count)
                router.on("POST", "/query", query)
                router.on("POST", "/query/batch", body: large, queryBatch)
                router.on("POST", "/query/groups", queryGroups)
                router.on("POST", "/search", search)
                router.on("POST", "/search/batch", body: large, searchBatch)
                router.on("POST", "/search/groups", searchGroups)
                router.on("POST", "/search/matrix/pairs", matrixPairs)
                router.on("POST", "/search/matrix/offsets", matrixOffsets)
                router.on("POST", "/recommend", recommend)
                router.on("POST", "/recommend/batch", body: large, recommendBatch)
                router.on("POST", "/recommend/groups", recommendGroups)
                router.on("POST", "/discover", discover)
                router.on("POST", "/discover/batch", discoverBatch)
            }
        }
        for operation in UnsupportedOperation.all { router.on(operation.method, operation.path, operation.refuse) }
        return router
    }

    /// What every path may have: a collection's name, and `?timeout`, which this store needs for nothing.
    private static let checkParameters: Middleware = { request, next in
        if let name = request.parameters["collection"], name.isEmpty || name.utf8.count > 255 {
            throw RequestError(
                status: 422,
                description:
                    "Validation error in path parameters: [name: value \"\(name)\" invalid, must be from 1 to 255 characters]"
            )
        }
        if let text = request.query("timeout") {
            guard let timeout = UInt64(text) else {
                throw RequestError(
                    status: 400,
                    description: "Deserialize error in query parameters: timeout must be an unsigned integer")
            }
            if timeout == 0 {
                throw RequestError(
                    status: 422,
                    description:
                        "Validation error in query parameters: [timeout: value 0 invalid, must be 1 or larger]")
            }
        }
        return try await next(request)
    }
}

extension Router {
    /// `api-key: ...` or `Authorization: Bearer ...`, either secret in either header; nothing where none is set.
    mutating func requireAPIKey(_ apiKey: String?, internalToken: String?) {
        let accepted = [apiKey, internalToken].compactMap { $0.map { Array($0.utf8) } }
        if accepted.isEmpty { return }
        use { request, next in
            let bearer = request.headers["Authorization"].flatMap {
                $0.hasPrefix("Bearer ") ? String($0.dropFirst(7)) : nil
            }
            let given = [request.headers["api-key"], bearer].compactMap { $0.map { Array($0.utf8) } }
            guard given.contains(where: { key in accepted.contains { constantTimeEqual($0, key) } }) else {
                throw RequestError(status: 401, description: "Must provide an API key or an Authorization bearer token")
            }
            return try await next(request)
        }
    }
}
