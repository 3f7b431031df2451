import HTTPServer
import ServiceRuntime

/// Asks every request for an API key that may do what the method does: reading for GET, writing for the rest.
struct Authentication: Sendable {
    let keys: APIKeyStore
    /// Paths that need no key.
    var open: Set<String> = []

    func handle(
        _ request: HTTPRequest, next: @Sendable (HTTPRequest) async throws -> HTTPResponse
    ) async throws -> HTTPResponse {
        if open.contains(request.path) || request.method == "OPTIONS" { return try await next(request) }
        guard let key = Self.bearer(request) else {
            throw Problem.unauthorized("send the API key as \"Authorization: Bearer <key>\"")
        }
        guard let scope = try await keys.scope(of: key) else {
            throw Problem.unauthorized("the API key is unknown, expired or revoked")
        }
        let needed = Self.neededScope(request)
        guard scope >= needed else {
            throw Problem.forbidden("the API key has scope \(scope.rawValue); this needs \(needed.rawValue)")
        }
        return try await next(request)
    }

    static func bearer(_ request: HTTPRequest) -> String? {
        guard let value = request.headers["authorization"], value.lowercased().hasPrefix("bearer ") else { return nil }
        let key = value.dropFirst("bearer ".count).drop { $0 == " " }
        return key.isEmpty ? nil : String(key)
    }

    /// Searching reads, though it is a POST.
    static func neededScope(_ request: HTTPRequest) -> Scope {
        if request.method == "GET" || request.method == "HEAD" || request.path == "/api/search" { return .read }
        return .write
    }
}
