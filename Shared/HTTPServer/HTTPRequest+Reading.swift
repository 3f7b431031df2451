import FastJSON
import WireProtocol

extension HTTPRequest {
    /// The first value of a query parameter, decoded.
    package func query(_ name: String) -> String? { queryItems.first { $0.name == name }?.value }

    /// All query parameters in their order. `+` is a space; the parser has refused broken escapes.
    package var queryItems: [(name: String, value: String)] {
        guard let mark = target.utf8.firstIndex(of: UInt8(ascii: "?")) else { return [] }
        return target[target.index(after: mark)...].utf8.split(separator: UInt8(ascii: "&")).map { item in
            let parts = item.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            return (
                PercentEncoding.decodedQuery(parts[0]), parts.count > 1 ? PercentEncoding.decodedQuery(parts[1]) : ""
            )
        }
    }

    package func queryInteger(
        _ name: String, default fallback: Int, in range: ClosedRange<Int> = 0...Int.max
    ) throws(Problem) -> Int {
        guard let text = query(name) else { return fallback }
        guard let value = Int(text), range.contains(value) else {
            let bounds =
                range.upperBound == .max
                ? "from \(range.lowerBound)" : "from \(range.lowerBound) to \(range.upperBound)"
            throw .badRequest(field: name, "must be a whole number \(bounds)")
        }
        return value
    }

    package func queryFlag(_ name: String, default fallback: Bool) throws(Problem) -> Bool {
        switch query(name) {
        case nil: return fallback
        case "true", "1": return true
        case "false", "0": return false
        default: throw .badRequest(field: name, "must be true or false")
        }
    }

    /// The body as `T`. A body nested deeper than 64 levels is refused before it is decoded; errors name the field.
    package func decode<T: Decodable>(_: T.Type = T.self) throws(Problem) -> T {
        try refuseOtherContent()
        do { return try JSONDecoding.decode(T.self, from: body) } catch { throw Problem(error) }
    }

    package func json() throws(Problem) -> JSONValue {
        try refuseOtherContent()
        if body.isEmpty { throw .badRequest("a JSON body is required") }
        do { return try JSONReader.parse(body) } catch {
            if let fault = JSONFault(in: body) { throw .badRequest(field: fault.path, fault.reason) }
            throw Problem(error)
        }
    }

    /// A body in another format than JSON, or packed. Without a `Content-Type` it is read as JSON.
    private func refuseOtherContent() throws(Problem) {
        if let coding = headers["Content-Encoding"], coding.lowercased() != "identity" {
            var problem = Problem.unsupportedMediaType("a body must come without Content-Encoding")
            problem.headers["Accept-Encoding"] = "identity"
            throw problem
        }
        guard !body.isEmpty, let given = headers["Content-Type"] else { return }
        let type = given.prefix { $0 != ";" && $0 != " " }.lowercased()
        guard type.isEmpty || type == "application/json" || type.hasSuffix("+json") else {
            throw .unsupportedMediaType(
                "the body must be JSON, sent with Content-Type: application/json, not \(type.prefix(100))")
        }
    }
}

extension Problem {
    /// A body that cannot be read.
    package init(_ error: JSONError) {
        self = error.path.map { .badRequest(field: $0, error.message) } ?? .badRequest("body: \(error.message)")
    }
}
