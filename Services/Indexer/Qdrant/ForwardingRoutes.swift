import FastJSON
import HTTPClient
import HTTPServer
import ServiceRuntime
import WireProtocol

/// The HTTP surface over a real Qdrant: what clients ask goes there as it came, and its answer comes back as it is.
///
/// Ours stay: the health of the suite, the keys, and that nobody writes into a collection that a datasource fills.
struct ForwardingRoutes: Sendable {
    let store: QdrantStore
    let health: HealthChecks
    let metrics: Metrics
    let configuration: IndexerConfiguration
    let guardian: CollectionGuard

    func router(shutdown: Shutdown) -> Router {
        var router = Router()
        router.errorForm = { error, _ in QdrantErrors.answer(error) }
        router.addOperationalRoutes(
            service: "indexer", version: suiteVersion, health: health, metrics: metrics, shutdown: shutdown)
        router.on("GET", "/healthz") { _ in .text("healthz check passed") }
        router.on("GET", "/", forward)
        router.requireAPIKey(configuration.apiKey, internalToken: configuration.service.internalToken)
        router.on("GET", "/openapi.json") { [document = IndexerDocument.json.serializedBytes] _ in
            .bytes(document, contentType: "application/json")
        }
        router.on("PUT", "/collections/:collection", create)
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
            router.on(method, "/*path", body: .buffered(limit: configuration.bodyBytes), forward)
        }
        return router
    }

    /// A collection gets its incarnation with its creation, so that the suite need not add one later.
    @Sendable private func create(_ request: HTTPRequest) async throws -> HTTPResponse {
        var request = request
        if case .object(let body)? = try? JSONReader.parse(request.body) {
            request.body = JSONValue.object(QdrantStore.marked(body)).serializedBytes
        }
        return try await forward(request)
    }

    @Sendable private func forward(_ request: HTTPRequest) async throws -> HTTPResponse {
        // The path is put together again from what was judged, so that Qdrant cannot read another one in it.
        let segments = request.path.split(separator: "/").map(String.init)
        if let write = ForwardedWrite(request.method, segments) {
            try await guardian.check(request, writesTo: write.collection, in: store, removal: write.isRemoval)
        }
        let path = "/" + segments.map(QdrantConnection.segment).joined(separator: "/")
        let query = request.target.firstIndex(of: "?").map { String(request.target[$0...]) } ?? ""
        let qdrant = store.qdrant
        var headers = qdrant.keyHeader
        for name in Self.forwardedHeaders {
            if let value = request.headers[name] { headers.append((name, value)) }
        }
        var forwarded = ClientRequest(
            method: request.method, url: qdrant.url + path + query, headers: headers, body: request.body,
            timeout: Self.timeout, maximumResponseBytes: qdrant.maximumAnswer, trace: request.trace.child())
        forwarded.peer = "qdrant"
        let response: ClientResponse
        do throws(HTTPClientError) {
            response = try await qdrant.client.send(forwarded)
        } catch .cancelled {
            throw CancellationError()
        } catch .responseTooLarge(let limit) {
            throw RequestError(
                status: 502,
                description:
                    "Service internal error: Qdrant's answer has more than \(limit) bytes: ask for less at once")
        } catch {
            throw StoreError.unavailable("Qdrant does not answer: \(error)")
        }
        var fields: HTTPFields = [:]
        for (name, value) in response.headers where !Self.hopHeaders.contains(name.lowercased()) {
            fields.append(name, value)
        }
        return HTTPResponse(status: response.status, headers: fields, body: .bytes(response.body))
    }

    /// A client waits less, or says how long with `?timeout=`, which Qdrant reads.
    private static let timeout: Duration = .seconds(300)
    private static let forwardedHeaders = ["content-type", "accept", "accept-encoding"]
    /// Of one connection, or the server's own. Source: RFC 9110, section 7.6.1.
    private static let hopHeaders: Set<String> = [
        "connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade",
        "content-length", "date", "traceparent",
    ]
}

/// What a request would change in a collection. What is not known to read or to leave the points alone counts as a write.
struct ForwardedWrite: Equatable {
    var collection: String
    /// Takes points away and adds none.
    var isRemoval = false

    /// `segments` of the path, decoded. `nil` for a request that changes no points.
    init?(_ method: String, _ segments: [String]) {
        guard segments.count >= 2, segments[0] == "collections", method != "GET" else { return nil }
        collection = segments[1]
        let rest = segments.dropFirst(2).joined(separator: "/")
        switch rest {
        case "":
            guard method == "DELETE" else { return nil }  // made new, or other settings
            isRemoval = true
        case "points":
            if method == "POST" { return nil }  // points by their ids
        case "points/delete": isRemoval = true
        case "snapshots": return nil
        default:
            if method == "POST", Self.reads.contains(where: { rest == $0 || rest.hasPrefix($0 + "/") }) { return nil }
            if rest == "index" || rest.hasPrefix("index/") { return nil }
        }
    }

    private static let reads = [
        "facet", "points/count", "points/discover", "points/query", "points/recommend", "points/scroll",
        "points/search",
    ]
}
