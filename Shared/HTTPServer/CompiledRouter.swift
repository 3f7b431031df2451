import ServiceRuntime

/// A router as the server uses it: middlewares folded into handlers, one lookup for a path without names.
final class CompiledRouter: Sendable {
    /// One method of one pattern.
    final class Endpoint: Sendable {
        let method: String
        let pattern: String
        let body: BodyMode
        let respond: @Sendable (HTTPRequest) async -> HTTPResponse
        let series: RouteSeries

        init(
            method: String, pattern: String, body: BodyMode, series: RouteSeries,
            respond: @escaping @Sendable (HTTPRequest) async -> HTTPResponse
        ) {
            self.method = method
            self.pattern = pattern
            self.body = body
            self.series = series
            self.respond = respond
        }
    }

    struct Found {
        var endpoint: Endpoint
        var parameters = PathParameters()
        /// Whether it is a route, not the answer for an unknown path or method.
        var isRoute = true
    }

    private enum Segment: Equatable {
        case literal(String), name(String), rest(String)
        var rank: Int {
            switch self {
            case .literal: 0
            case .name: 1
            case .rest: 2
            }
        }
    }
    private struct Pattern {
        var segments: [Segment]
        var endpoints: [Endpoint]
    }

    let errorForm: @Sendable (any Error, HTTPRequest) -> HTTPResponse
    private let literals: [String: [Endpoint]]
    private let patterns: [Pattern]
    private let unmatched: [Middleware]
    private let series: RouteSeries
    private let log: Log
    private let notFound: Endpoint

    init(_ router: Router, metrics: Metrics, log: Log) {
        var literals: [String: [Endpoint]] = [:]
        var patterns: [Pattern] = []
        let form = router.errorForm
        for route in router.table {
            let endpoint = Endpoint(
                method: route.method, pattern: route.pattern, body: route.body,
                series: RouteSeries(route: route.pattern, method: route.method, metrics: metrics),
                respond: Self.fold(route.handler, route.middlewares, form, log))
            let segments = Self.segments(of: route.pattern)
            if segments.allSatisfy({ $0.rank == 0 }) {
                literals[route.pattern, default: []].append(endpoint)
            } else if let index = patterns.firstIndex(where: { $0.segments == segments }) {
                patterns[index].endpoints.append(endpoint)
            } else {
                patterns.append(Pattern(segments: segments, endpoints: [endpoint]))
            }
        }
        self.literals = literals
        // Literals before names before rests, from left to right.
        self.patterns = patterns.sorted { left, right in
            left.segments.map(\.rank).lexicographicallyPrecedes(right.segments.map(\.rank))
        }
        errorForm = form
        unmatched = router.middlewares
        series = RouteSeries(route: "unmatched", method: "any", metrics: metrics)
        self.log = log
        notFound = Endpoint(
            method: "", pattern: "", body: Self.ignoredBody, series: series,
            respond: Self.fold({ throw Problem.notFound("nothing answers \($0.path)") }, router.middlewares, form, log))
    }

    private static let ignoredBody = BodyMode.buffered(limit: 1 << 20)

    private static func segments(of pattern: String) -> [Segment] {
        pattern.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map { part in
            switch part.first {
            case ":": .name(String(part.dropFirst()))
            case "*": .rest(String(part.dropFirst()))
            default: .literal(String(part))
            }
        }
    }

    /// Each step turns an error into an answer, so that a middleware outside sees one in any case.
    private static func fold(
        _ handler: @escaping Handler, _ middlewares: [Middleware],
        _ form: @escaping @Sendable (any Error, HTTPRequest) -> HTTPResponse, _ log: Log
    ) -> @Sendable (HTTPRequest) async -> HTTPResponse {
        let respond: @Sendable (HTTPRequest) async -> HTTPResponse = { request in
            do { return try await handler(request) } catch { return Self.answer(error, request, form, log) }
        }
        return middlewares.reversed().reduce(respond) { next, middleware in
            { request in
                do { return try await middleware(request, next) } catch {
                    return Self.answer(error, request, form, log)
                }
            }
        }
    }

    private static func answer(
        _ error: any Error, _ request: HTTPRequest, _ form: @Sendable (any Error, HTTPRequest) -> HTTPResponse,
        _ log: Log
    ) -> HTTPResponse {
        let response = form(error, request)
        if response.status >= 500, !(error is Problem), !(error is CancellationError), !(error is HTTPDisconnected) {
            log.error(
                "http.handler_failed",
                [
                    "route": .string(request.route), "request_id": .string(request.id),
                    "trace_id": .string(request.trace.traceID),
                    "error": .string("\(error)"),
                ])
        }
        return response
    }

    func find(_ method: String, path: String, rawPath: String?) -> Found {
        // An encoded slash does not divide a path: such a one can match names only.
        if rawPath.map({ Self.slashes($0) == Self.slashes(path) }) ?? true, let endpoints = literals[path],
            let endpoint = Self.endpoint(method, in: endpoints)
        {
            return Found(endpoint: endpoint)
        }
        let parts = Self.split(path: path, rawPath: rawPath)
        for pattern in patterns {
            guard let parameters = Self.match(pattern.segments, parts),
                let endpoint = Self.endpoint(method, in: pattern.endpoints)
            else { continue }
            return Found(endpoint: endpoint, parameters: parameters)
        }
        return Found(endpoint: refusal(method, path: path, parts: parts), isRoute: false)
    }

    private static func slashes(_ text: String) -> Int { text.utf8.count { $0 == 0x2F } }

    private static func endpoint(_ method: String, in endpoints: [Endpoint]) -> Endpoint? {
        endpoints.first { $0.method == method } ?? (method == "HEAD" ? endpoints.first { $0.method == "GET" } : nil)
    }

    private static func split(path: String, rawPath: String?) -> [String] {
        (rawPath ?? path).utf8.dropFirst().split(separator: 0x2F, omittingEmptySubsequences: false).map { part in
            (rawPath == nil ? nil : PercentEncoding.decoded(part)) ?? String(decoding: part, as: UTF8.self)
        }
    }

    private static func match(_ segments: [Segment], _ parts: [String]) -> PathParameters? {
        var parameters = PathParameters()
        for (index, segment) in segments.enumerated() {
            guard index < parts.count else { return nil }
            switch segment {
            case .literal(let text): if parts[index] != text { return nil }
            case .name(let name):
                if parts[index].isEmpty { return nil }
                parameters[name] = parts[index]
            case .rest(let name):
                parameters[name] = parts[index...].joined(separator: "/")
                return parameters
            }
        }
        return segments.count == parts.count ? parameters : nil
    }

    /// 405 where another method is answered, else 404.
    private func refusal(_ method: String, path: String, parts: [String]) -> Endpoint {
        var endpoints = literals[path] ?? []
        for pattern in patterns where Self.match(pattern.segments, parts) != nil { endpoints += pattern.endpoints }
        if endpoints.isEmpty { return notFound }
        var methods = Set(endpoints.map(\.method))
        if methods.contains("GET") { methods.insert("HEAD") }
        let allow = methods.sorted().joined(separator: ", ")
        return Endpoint(
            method: method, pattern: endpoints[0].pattern, body: Self.ignoredBody, series: series,
            respond: Self.fold({ _ in throw Problem.methodNotAllowed(allow: allow) }, unmatched, errorForm, log))
    }
}
