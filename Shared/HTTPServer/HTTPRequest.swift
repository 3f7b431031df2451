import ServiceRuntime

/// A request, its path taken apart, its body (unless streamed) read.
package struct HTTPRequest: Sendable {
    package var method: String
    /// Percent-decoded, without the query.
    package var path: String
    /// As it stood in the request line.
    package var target: String
    package var headers: HTTPFields
    package var body: [UInt8]
    package var parameters: PathParameters
    /// `X-Request-Id` of the client if it is sane, else a new one.
    package var id: String
    /// A span of the client's trace, or a new trace.
    package var trace: TraceContext
    package var remoteAddress: String
    /// The pattern of the route (`/api/sync/jobs/:id`), for logs, metrics and authorization; empty where there is none.
    package var route: String
    package var bodyStream: HTTPBodyStream
    private var values: [ObjectIdentifier: any Sendable] = [:]

    /// For tests; the server has checked all of this before.
    package init(
        method: String = "GET", target: String, headers: HTTPFields = [:], body: [UInt8] = [], id: String = "test",
        trace: TraceContext = TraceContext(), remoteAddress: String = "127.0.0.1"
    ) throws(Problem) {
        let parsed: RequestTarget
        do { parsed = try RequestTarget(target) } catch { throw Problem(status: error.status, detail: error.detail) }
        self.init(
            method: method, path: parsed.path, target: target, headers: headers, body: body, id: id, trace: trace,
            remoteAddress: remoteAddress)
    }

    init(
        method: String, path: String, target: String, headers: HTTPFields, body: [UInt8], id: String,
        trace: TraceContext,
        remoteAddress: String
    ) {
        self.method = method
        self.path = path
        self.target = target
        self.headers = headers
        self.body = body
        self.id = id
        self.trace = trace
        self.remoteAddress = remoteAddress
        parameters = PathParameters()
        route = ""
        bodyStream = HTTPBodyStream(channel: nil)
    }

    /// What a middleware found out for those behind it: `request[Principal.self] = principal`.
    package subscript<Value: Sendable>(_: Value.Type) -> Value? {
        get { values[ObjectIdentifier(Value.self)] as? Value }
        set { values[ObjectIdentifier(Value.self)] = newValue }
    }
}

/// What stands in the places of a route's `:names`, percent-decoded.
package struct PathParameters: Sendable {
    private(set) var members: [(name: String, value: String)] = []
    package init() {}
    package subscript(name: String) -> String? {
        get { members.first { $0.name == name }?.value }
        set {
            members.removeAll { $0.name == name }
            if let newValue { members.append((name, newValue)) }
        }
    }
}
