import ServiceRuntime

package typealias Handler = @Sendable (HTTPRequest) async throws -> HTTPResponse
/// Sees a request before its handler and the answer after it; the answer of `next` is there even where a handler threw.
package typealias Middleware = @Sendable (HTTPRequest, _ next: @escaping Handler) async throws -> HTTPResponse

/// How a route takes its body.
package enum BodyMode: Sendable {
    /// Read completely before the handler runs.
    case buffered(limit: Int)
    /// The handler runs at once and reads `bodyStream`.
    case streaming(limit: Int)
}

/// The routes of a service. A pattern is made of literals, `:name` for one segment and, at its end, `*name` for the rest; a
/// literal wins over a name. A HEAD request is answered by the GET route.
package struct Router: Sendable {
    struct Route: Sendable {
        var method: String
        var pattern: String
        var body: BodyMode
        var handler: Handler
        var middlewares: [Middleware]
    }
    private(set) var table: [Route] = []
    private(set) var middlewares: [Middleware] = []
    private var prefix = ""

    /// How an error becomes an answer, for every route of this router and for unknown paths.
    package var errorForm: @Sendable (any Error, HTTPRequest) -> HTTPResponse = Router.problemForm

    package init() {}

    package var routes: [(method: String, path: String)] { table.map { ($0.method, $0.pattern) } }

    package mutating func on(
        _ method: String, _ path: String, body: BodyMode = .buffered(limit: 16 << 20), _ handler: @escaping Handler
    ) {
        let pattern = prefix + path
        precondition(pattern.hasPrefix("/"), "a route starts with a slash: \(pattern)")
        precondition(
            !table.contains { $0.method == method && $0.pattern == pattern }, "\(method) \(pattern) is there twice")
        table.append(Route(method: method, pattern: pattern, body: body, handler: handler, middlewares: middlewares))
    }

    /// For the routes added afterwards, and (outside of a group) for requests that no route answers.
    package mutating func use(_ middleware: @escaping Middleware) { middlewares.append(middleware) }

    /// Routes with a common prefix; a `use` inside is for them alone.
    package mutating func group(_ prefix: String = "", _ build: (inout Router) throws -> Void) rethrows {
        let outer = (self.prefix, middlewares)
        self.prefix += prefix
        defer { (self.prefix, middlewares) = outer }
        try build(&self)
    }

    /// `Problem` as it is; anything else is 500 and says nothing of its cause to the client.
    package static func problemForm(_ error: any Error, _ request: HTTPRequest) -> HTTPResponse {
        Problem(answering: error).response(instance: request.path)
    }

    /// Answers without a server, for tests of routes.
    package func respond(to request: HTTPRequest) async -> HTTPResponse {
        let compiled = CompiledRouter(self, metrics: Metrics(), log: .silent)
        var request = request
        let found = compiled.find(
            request.method, path: request.path, rawPath: (try? RequestTarget(request.target))?.rawPath)
        request.parameters = found.parameters
        request.route = found.endpoint.pattern
        if case .streaming = found.endpoint.body { request.bodyStream = HTTPBodyStream([request.body]) }
        return await found.endpoint.respond(request)
    }
}

extension Problem {
    /// What a client is told of any error.
    package init(answering error: any Error) {
        switch error {
        case let problem as Problem: self = problem
        case is CancellationError: self = .unavailable("the service is stopping", retryAfter: .seconds(1))
        default: self = .internalError()
        }
    }
}
