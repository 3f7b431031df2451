import WireProtocol

/// An answer. `Content-Length`, `Transfer-Encoding`, `Connection` and `Date` are the server's: what a handler says there is
/// left out.
package struct HTTPResponse: Sendable {
    package enum Body: Sendable {
        case bytes([UInt8])
        case stream(@Sendable (HTTPBodyWriter) async throws -> Void)
        case events(@Sendable (EventWriter) async throws -> Void)
    }
    package var status: Int
    package var headers: HTTPFields
    package var body: Body

    package init(status: Int = 200, headers: HTTPFields = [:], body: Body = .bytes([])) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    package static func json(_ value: JSONValue, status: Int = 200, headers: HTTPFields = [:]) -> HTTPResponse {
        .bytes(value.serializedBytes, contentType: "application/json", status: status, headers: headers)
    }

    package static func bytes(
        _ bytes: [UInt8], contentType: String, status: Int = 200, headers: HTTPFields = [:]
    ) -> HTTPResponse {
        var headers = headers
        headers.append("Content-Type", contentType)
        return HTTPResponse(status: status, headers: headers, body: .bytes(bytes))
    }

    package static func text(
        _ text: String, contentType: String = "text/plain; charset=utf-8", status: Int = 200, headers: HTTPFields = [:]
    ) -> HTTPResponse {
        .bytes(Array(text.utf8), contentType: contentType, status: status, headers: headers)
    }

    package static func empty(status: Int = 204, headers: HTTPFields = [:]) -> HTTPResponse {
        HTTPResponse(status: status, headers: headers)
    }

    /// A body of unknown length, sent as it is written. A closed connection makes the next write throw and cancels the task.
    package static func stream(
        contentType: String, status: Int = 200, headers: HTTPFields = [:],
        _ write: @escaping @Sendable (HTTPBodyWriter) async throws -> Void
    ) -> HTTPResponse {
        var headers = headers
        headers.append("Content-Type", contentType)
        return HTTPResponse(status: status, headers: headers, body: .stream(write))
    }

    /// Server-sent events; the server adds comments that keep a quiet stream alive.
    package static func events(
        headers: HTTPFields = [:], _ produce: @escaping @Sendable (EventWriter) async throws -> Void
    ) -> HTTPResponse {
        var headers = headers
        headers.append("Content-Type", "text/event-stream")
        headers.append("Cache-Control", "no-store")
        headers.append("X-Accel-Buffering", "no")
        return HTTPResponse(status: 200, headers: headers, body: .events(produce))
    }

    /// The bytes of a finished body; `nil` for a stream.
    package var bytes: [UInt8]? { if case .bytes(let bytes) = body { bytes } else { nil } }
}
