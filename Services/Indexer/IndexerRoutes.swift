import Crypto
import FastJSON
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

    /// The Qdrant release whose behaviour this is: clients compare it with their own.
    static let qdrantVersion = "1.19.0"

    func router(shutdown: Shutdown) -> Router {
        var router = Router()
        router.errorForm = { error, _ in QdrantErrors.answer(error) }
        router.addOperationalRoutes(
            service: "indexer", version: suiteVersion, health: health, metrics: metrics, shutdown: shutdown)
        router.on("GET", "/healthz") { _ in .text("healthz check passed") }
        router.on("GET", "/") { _ in
            .json(["title": "qdrant - vector search engine", "version": .string(Self.qdrantVersion)])
        }
        router.requireAPIKey(configuration.apiKey, internalToken: configuration.service.internalToken)
        router.on("GET", "/openapi.json") { [document = IndexerDocument.json.serializedBytes] _ in
            .bytes(document, contentType: "application/json")
        }
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

        router.on("PUT", "/collections/:collection/points", body: .buffered(limit: configuration.bodyBytes), upsert)
        router.on("POST", "/collections/:collection/points", retrieve)
        router.on("GET", "/collections/:collection/points/:id", getPoint)
        router.on("POST", "/collections/:collection/points/delete", deletePoints)
        router.on("POST", "/collections/:collection/points/payload", setPayload)
        router.on("PUT", "/collections/:collection/points/payload", overwritePayload)
        router.on("POST", "/collections/:collection/points/payload/delete", deletePayload)
        router.on("POST", "/collections/:collection/points/payload/clear", clearPayload)
        router.on("POST", "/collections/:collection/points/scroll", scroll)
        router.on("POST", "/collections/:collection/points/count", count)
        router.on("POST", "/collections/:collection/points/query", query)
        router.on("POST", "/collections/:collection/points/query/batch", queryBatch)
        router.on("POST", "/collections/:collection/points/search", search)
        return router
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
