import HTTPServer

/// CORS (https://fetch.spec.whatwg.org/#http-cors-protocol) for the origins an operator named, and no other.
struct CrossOrigin: Sendable {
    let origins: [String]

    func handle(
        _ request: HTTPRequest, next: @Sendable (HTTPRequest) async throws -> HTTPResponse
    ) async throws -> HTTPResponse {
        guard let origin = request.headers["origin"], origins.contains(origin) else { return try await next(request) }
        var response: HTTPResponse
        if request.method == "OPTIONS", request.headers["access-control-request-method"] != nil {
            response = .empty(status: 204)
            response.headers["access-control-allow-methods"] = "GET, POST, PUT, PATCH, DELETE"
            response.headers["access-control-allow-headers"] = "authorization, content-type"
            response.headers["access-control-max-age"] = "600"
        } else {
            response = try await next(request)
        }
        response.headers["access-control-allow-origin"] = origin
        response.headers["vary"] = "Origin"
        return response
    }
}
