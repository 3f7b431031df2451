import HTTPClient
import HTTPServer

/// Passes a request on to another service as it came, so that one origin is enough for people and pages.
struct Forwarding: Sendable {
    let target: String
    let client: HTTPClient
    let internalToken: String?

    func handle(_ request: HTTPRequest) async throws -> HTTPResponse {
        var headers: [(String, String)] = [("x-request-id", request.id)]
        if let type = request.headers["content-type"] { headers.append(("content-type", type)) }
        if let token = internalToken { headers.append(("authorization", "Bearer \(token)")) }
        // Not the target as it came, which may be a whole URL: only paths without escapes are forwarded.
        let query = request.target.firstIndex(of: "?").map { request.target[$0...] } ?? ""
        do {
            let answer = try await client.send(
                ClientRequest(
                    method: request.method, url: target + request.path + query, headers: headers, body: request.body,
                    timeout: .seconds(60), trace: request.trace))
            return .bytes(
                answer.body, contentType: answer.header("content-type") ?? "application/octet-stream",
                status: answer.status)
        } catch {
            throw Problem.unavailable(
                "the service behind \(request.path) does not answer: \(error)", retryAfter: .seconds(5))
        }
    }
}
