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
    /// Not the store's own: clients that read slowly hold connections, and there are only so many to one host.
    let client: HTTPClient
    let health: HealthChecks
    let metrics: Metrics
    let configuration: IndexerConfiguration
    let guardian: CollectionGuard

    func router(shutdown: Shutdown) -> Router {
        var router = Router()
        router.errorForm = { error, _ in QdrantErrors.answer(error) }
        router.addOperationalRoutes(
            service: "indexer", health: health, metrics: metrics, shutdown: shutdown)
        router.on("GET", "/healthz") { _ in .text("healthz check passed") }
        router.on("GET", "/", forward)
        router.requireAPIKey(configuration.apiKey, internalToken: configuration.service.internalToken)
        router.addDocument(IndexerDocument.json)
        router.on("PUT", "/collections/:collection", create)
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
            router.on(method, "/*path", body: .streaming(limit: Self.maximumBody), forward)
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
        let path = "/" + segments.map(ClientRequest.segment).joined(separator: "/")
        let query = request.target.firstIndex(of: "?").map { String(request.target[$0...]) } ?? ""
        let qdrant = store.qdrant
        var headers = qdrant.keyHeader
        for name in Self.forwardedHeaders {
            if let value = request.headers[name] { headers.append((name, value)) }
        }
        var forwarded = ClientRequest(
            method: request.method, url: qdrant.url + path + query, headers: headers, timeout: Self.timeout,
            trace: request.trace.child())
        forwarded.peer = "qdrant"
        do {
            return try await answer(try await exchange(forwarded, for: request))
        } catch let error as HTTPClientError {
            if error == .cancelled { throw CancellationError() }
            throw StoreError.unavailable("Qdrant does not answer: \(error)")
        }
    }

    /// A short body is sent in one piece, so that it can be repeated on another connection; a long one as it comes.
    private func exchange(_ forwarded: ClientRequest, for request: HTTPRequest) async throws -> ClientStream {
        var forwarded = forwarded
        forwarded.body = request.body
        let length = request.headers["content-length"].flatMap { Int($0) }
        let isChunked = request.headers.contains("transfer-encoding")
        guard isChunked || length ?? 0 > Self.piece else {
            if length ?? 0 > 0, request.body.isEmpty { forwarded.body = try await request.bodyStream.collected() }
            return try await client.stream(forwarded)
        }
        let upload = ClientUpload(length: isChunked ? nil : length)
        forwarded.upload = upload
        return try await withThrowingTaskGroup(of: Void.self) { [forwarded] group in
            group.addTask {
                do {
                    for try await bytes in request.bodyStream { try await upload.write(bytes) }
                    upload.finish()
                } catch HTTPClientError.closed {  // answered already, or there is nobody
                } catch {
                    upload.fail()
                    throw error
                }
            }
            do {
                let stream = try await client.stream(forwarded)
                group.cancelAll()
                return stream
            } catch {
                // Where our own client is at fault, that is the reason to tell.
                group.cancelAll()
                do { try await group.waitForAll() } catch let problem as Problem { throw problem }
                throw error
            }
        }
    }

    /// With its length where that is small; as it comes otherwise.
    private func answer(_ stream: ClientStream) async throws -> HTTPResponse {
        var fields: HTTPFields = [:]
        var length: Int?
        for (name, value) in stream.headers {
            if name.lowercased() == "content-length" { length = Int(value) }
            if !Self.hopHeaders.contains(name.lowercased()) { fields.append(name, value) }
        }
        if let length, length <= Self.piece {
            var bytes: [UInt8] = []
            while let part = try await stream.next() { bytes += part }
            return HTTPResponse(status: stream.status, headers: fields, body: .bytes(bytes))
        }
        return HTTPResponse(
            status: stream.status, headers: fields,
            body: .stream { writer in while let bytes = try await stream.next() { try await writer.write(bytes) } })
    }

    /// Units: bytes. Qdrant has limits of its own for bodies; a snapshot may be long.
    private static let maximumBody = 1 << 44
    private static let piece = 1 << 20
    /// Without a byte. A client waits less, or says how long with `?timeout=`, which Qdrant reads.
    private static let timeout: Duration = .seconds(300)
    private static let forwardedHeaders = ["content-type", "content-encoding", "accept", "accept-encoding", "range"]
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
