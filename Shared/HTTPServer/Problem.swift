import WireProtocol

/// What is wrong with one field of a request.
package struct FieldError: Codable, Sendable, Equatable {
    package var field: String
    package var message: String
    package init(field: String, message: String) {
        self.field = field
        self.message = message
    }
    enum CodingKeys: String, CodingKey { case field, message }
}

/// An error as HTTP tells it. Source: RFC 9457.
package struct Problem: Error, Sendable {
    package var status: Int
    package var title: String
    package var detail: String
    package var type: String
    package var errors: [FieldError]
    package var headers: HTTPFields
    /// Extension members, beside the standard ones.
    package var extra: JSONObject

    package init(
        status: Int, title: String? = nil, detail: String, type: String = "about:blank", errors: [FieldError] = [],
        headers: HTTPFields = [:], extra: JSONObject = JSONObject()
    ) {
        self.status = status
        self.title = title ?? HTTPStatus.reason(status)
        self.detail = detail
        self.type = type
        self.errors = errors
        self.headers = headers
        self.extra = extra
    }

    /// `instance` is the path that was asked for.
    package func response(instance: String? = nil) -> HTTPResponse {
        var object = JSONObject(unique: [
            ("type", .string(type)), ("title", .string(title)), ("status", JSONValue(status)),
            ("detail", .string(detail)),
        ])
        if let instance { object["instance"] = .string(instance) }
        if !errors.isEmpty {
            object["errors"] = .array(
                errors.map {
                    .object(JSONObject(unique: [("field", .string($0.field)), ("message", .string($0.message))]))
                })
        }
        for member in extra.members where object[member.name] == nil { object[member.name] = member.value }
        var response = HTTPResponse.json(.object(object), status: status)
        response.headers = headers
        response.headers["Content-Type"] = "application/problem+json"
        return response
    }
}

extension Problem {
    package static func badRequest(_ detail: String, errors: [FieldError] = []) -> Problem {
        Problem(status: 400, detail: detail, errors: errors)
    }
    /// One wrong field.
    package static func badRequest(field: String, _ message: String) -> Problem {
        Problem(status: 400, detail: "\(field) \(message)", errors: [FieldError(field: field, message: message)])
    }
    package static func unauthorized(_ detail: String = "authentication is required") -> Problem {
        Problem(status: 401, detail: detail, headers: ["WWW-Authenticate": "Bearer"])
    }
    package static func forbidden(_ detail: String = "this needs another role") -> Problem {
        Problem(status: 403, detail: detail)
    }
    package static func notFound(_ detail: String = "there is nothing here") -> Problem {
        Problem(status: 404, detail: detail)
    }
    package static func methodNotAllowed(allow: String) -> Problem {
        Problem(status: 405, detail: "this path answers \(allow)", headers: ["Allow": allow])
    }
    package static func conflict(_ detail: String, extra: JSONObject = JSONObject()) -> Problem {
        Problem(status: 409, detail: detail, extra: extra)
    }
    package static func payloadTooLarge(_ detail: String) -> Problem { Problem(status: 413, detail: detail) }
    package static func payloadTooLarge(limit: Int) -> Problem {
        payloadTooLarge("the body may have \(limit) bytes at most")
    }
    package static func unsupportedMediaType(_ detail: String) -> Problem { Problem(status: 415, detail: detail) }
    package static func unprocessable(_ detail: String, errors: [FieldError] = []) -> Problem {
        Problem(status: 422, detail: detail, errors: errors)
    }
    package static func internalError(_ detail: String = "the service failed; its log has the request id") -> Problem {
        Problem(status: 500, detail: detail)
    }
    package static func badGateway(_ detail: String) -> Problem { Problem(status: 502, detail: detail) }
    package static func unavailable(_ detail: String, retryAfter: Duration? = nil) -> Problem {
        Problem(status: 503, detail: detail, headers: retryAfter.map { ["Retry-After": seconds($0)] } ?? [:])
    }

    private static func seconds(_ duration: Duration) -> String {
        String(max(1, duration.components.seconds + (duration.components.attoseconds > 0 ? 1 : 0)))
    }
}
