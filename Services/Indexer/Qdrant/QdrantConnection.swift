import FastJSON
import HTTPClient
import Resilience
import ServiceRuntime
import WireProtocol

/// A Qdrant by its URL: one request with its retries, and its errors in the store's words.
struct QdrantConnection: Sendable {
    /// Without a slash at its end.
    let url: String
    let client: HTTPClient
    /// Sent as `api-key`.
    let apiKey: String?
    /// Sends the key as a bearer token too: by it an indexer knows the suite itself.
    var isBearer = false
    var backoff = Backoff(base: .milliseconds(100), cap: .seconds(2), attempts: 4)
    /// Of a read; a write that waits for the disk has four times as long.
    var timeout: Duration = .seconds(30)
    /// Units: bytes of one answer.
    var maximumAnswer = 256 << 20

    init(url: String, client: HTTPClient, apiKey: String?) {
        self.url = url.hasSuffix("/") ? String(url.dropLast()) : url
        self.client = client
        self.apiKey = apiKey
    }

    var keyHeader: [(String, String)] {
        guard let apiKey else { return [] }
        return [("api-key", apiKey)] + (isBearer ? [("authorization", "Bearer \(apiKey)")] : [])
    }

    static func path(_ collection: String, _ rest: String = "") -> String {
        "/collections/\(ClientRequest.segment(collection))\(rest)"
    }

    /// The answer's body, for a status below 400. What is idempotent is tried again when the network or Qdrant fails for the moment, the
    /// rest only when it has certainly not arrived.
    /// Throws: `StoreError`; `collection` is the one that a 404 or 409 is about.
    func send(
        _ method: String, _ path: String, _ body: [UInt8] = [], collection: String = "", isIdempotent: Bool = true,
        waits: Bool = false
    ) async throws -> [UInt8] {
        let headers = body.isEmpty ? keyHeader : keyHeader + [("content-type", "application/json")]
        var request = ClientRequest(
            method: method, url: url + path, headers: headers, body: body, timeout: waits ? timeout * 4 : timeout,
            maximumResponseBytes: maximumAnswer)
        request.peer = "qdrant"
        var wasNotSent = false
        let mayRepeat = { (error: any Error) in
            if case StoreError.unavailable = error { isIdempotent || wasNotSent } else { false }
        }
        return try await retrying(backoff, isRetryable: mayRepeat) {
            let response: ClientResponse
            do throws(HTTPClientError) {
                response = try await client.send(request)
            } catch .cancelled {
                throw CancellationError()
            } catch .responseTooLarge(let limit) {
                throw StoreError.wrongInput("the answer has more than \(limit) bytes: ask for less at once")
            } catch {
                wasNotSent = error.wasNotSent
                throw StoreError.unavailable("Qdrant does not answer: \(error)")
            }
            wasNotSent = false
            if response.status >= 400 { throw Self.error(response, collection: collection) }
            return response.body
        }
    }

    /// `result` of the answer's envelope.
    func result(
        _ method: String, _ path: String, _ body: [UInt8] = [], collection: String = "", isIdempotent: Bool = true,
        waits: Bool = false
    ) async throws -> JSONValue {
        let answer = try await send(
            method, path, body, collection: collection, isIdempotent: isIdempotent, waits: waits)
        do {
            // A payload may be as deep as a request's body may; the envelope comes on top.
            let depth = JSONReader.defaultMaximumDepth + 16
            guard let result = try JSONReader.parse(answer, maximumDepth: depth)["result"] else {
                throw StoreError.unavailable("Qdrant answered \(method) \(path) without a result")
            }
            return result
        } catch let error as JSONError {
            throw StoreError.unavailable("Qdrant answered \(method) \(path) with what is \(error.message)")
        }
    }

    /// Throws when there is nobody, or somebody who does not take the key.
    func ping() async throws {
        var once = self
        once.backoff.attempts = 1
        _ = try await once.send("GET", "/collections")
    }

    static func error(_ response: ClientResponse, collection: String) -> StoreError {
        let said = (try? JSONReader.parse(response.body))?["status"]?["error"]?.string
        let text = said ?? "Qdrant answered \(response.status) and gave no reason"
        switch response.status {
        case 401, 403: return .unavailable("Qdrant does not allow it (\(response.status)): \(text)")
        case 404:
            if let id = missingPoint(in: text) { return .pointNotFound(id) }
            return .collectionNotFound(collection)
        case 409: return .collectionExists(collection)
        case 429, 502, 503, 504: return .unavailable(text)
        case 507: return .diskFull(path: "Qdrant (\(text))")
        case 500...: return .inputOutput(text)
        default:
            for prefix in ["Wrong input: ", "Bad request: "] where text.hasPrefix(prefix) {
                return .wrongInput(String(text.dropFirst(prefix.count)))
            }
            return .wrongInput(text)
        }
    }

    /// `Not found: No point with id 7 found`
    private static func missingPoint(in text: String) -> PointID? {
        guard let start = text.firstRange(of: "No point with id ") else { return nil }
        return PointID(text: String(text[start.upperBound...].prefix { $0 != " " }))
    }
}
