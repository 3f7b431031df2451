import FastJSON
import HTTPClient
import Resilience
import ServiceRuntime
import WireProtocol

/// One call to a service of the suite: token, trace, retries, and errors in the words of the service.
struct ServiceCaller: Sendable {
    let service: String
    let url: String
    let client: HTTPClient
    /// Names and values sent with each call.
    var headers: [(String, String)] = []
    var backoff = Backoff(base: .milliseconds(100), cap: .seconds(2), attempts: 4)

    static func bearer(_ token: String?) -> [(String, String)] {
        token.map { [("authorization", "Bearer \($0)")] } ?? []
    }

    /// `body` as JSON bytes. `isIdempotent` calls are tried again when the network or the service fails for the moment; the
    /// others only when they have certainly not arrived.
    func send(
        _ method: String, _ path: String, body: [UInt8] = [], timeout: Duration = .seconds(30),
        isIdempotent: Bool = true,
        trace: TraceContext? = nil
    ) async throws -> ClientResponse {
        var fields = headers
        if !body.isEmpty { fields.append(("content-type", "application/json")) }
        var request = ClientRequest(
            method: method, url: url + path, headers: fields, body: body, timeout: timeout, trace: trace?.child())
        request.peer = service
        var wasNotSent = false
        let mayRepeat = { (error: any Error) in
            (isIdempotent || wasNotSent) && (error as? ServiceClientError)?.isRetryable ?? false
        }
        return try await retrying(backoff, isRetryable: mayRepeat) {
            let response: ClientResponse
            do throws(HTTPClientError) {
                response = try await client.send(request)
            } catch .cancelled {
                throw CancellationError()
            } catch .responseTooLarge(let limit) {
                throw ServiceClientError.malformed(service: service, reason: "an answer of more than \(limit) bytes")
            } catch {
                wasNotSent = error.wasNotSent
                throw ServiceClientError.unreachable(service: service, reason: "\(error)")
            }
            wasNotSent = false
            if isIdempotent, [429, 502, 503, 504].contains(response.status) { throw refusal(response) }
            return response
        }
    }

    /// The JSON of an answer below 400. Throws: `ServiceClientError.refused` for any other.
    func json(
        _ method: String, _ path: String, body: JSONValue? = nil, timeout: Duration = .seconds(30),
        isIdempotent: Bool = true,
        trace: TraceContext? = nil
    ) async throws -> JSONValue {
        try read(
            await send(
                method, path, body: body?.serializedBytes ?? [], timeout: timeout, isIdempotent: isIdempotent,
                trace: trace))
    }

    func read(_ response: ClientResponse) throws -> JSONValue {
        guard response.status < 400 else { throw refusal(response) }
        do {
            return response.body.isEmpty ? .null : try JSONReader.parse(response.body)
        } catch {
            throw ServiceClientError.malformed(service: service, reason: error.message)
        }
    }

    /// The reason in problem+json, or in Qdrant's form.
    private func refusal(_ response: ClientResponse) -> ServiceClientError {
        let body = try? JSONReader.parse(response.body)
        let detail = body?["detail"]?.string ?? body?["status"]?["error"]?.string ?? "no reason given"
        let fields = body?["errors"]?.array?.compactMap { error -> String? in
            guard let field = error["field"]?.string, let message = error["message"]?.string,
                !detail.contains(message)
            else { return nil }
            return "\(field): \(message)"
        }
        let suffix = fields.map { $0.isEmpty ? "" : " (\($0.joined(separator: "; ")))" } ?? ""
        return .refused(service: service, status: response.status, detail: detail + suffix)
    }
}
