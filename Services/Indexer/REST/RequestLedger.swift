import HTTPServer
import ServiceRuntime
import Synchronization
import WireProtocol

/// How often each endpoint answered what, for `/telemetry`, in Qdrant's names: `PUT /collections/{name}/points`.
final class RequestLedger: Sendable {
    private struct Entry {
        var count = 0
        /// Units: microseconds.
        var total = 0.0
        var least = Double.infinity
        var most = 0.0
        var last = Timestamp.now
    }
    private let entries = Mutex<[String: [Int: Entry]]>([:])

    var middleware: Middleware {
        { [self] request, next in
            let started = ContinuousClock.now
            let response = try await next(request)
            let elapsed = (ContinuousClock.now - started).components
            if !request.route.isEmpty {
                let micros = Double(elapsed.seconds) * 1e6 + Double(elapsed.attoseconds) / 1e12
                note("\(request.method) \(Self.named(request.route))", response.status, micros)
            }
            return response
        }
    }

    private static func named(_ route: String) -> String {
        route.split(separator: "/", omittingEmptySubsequences: false).map { part in
            part == ":collection" ? "{name}" : part.hasPrefix(":") ? "{\(part.dropFirst())}" : String(part)
        }.joined(separator: "/")
    }

    private func note(_ endpoint: String, _ status: Int, _ micros: Double) {
        entries.withLock { entries in
            var entry = entries[endpoint]?[status] ?? Entry()
            entry.count += 1
            entry.total += micros
            entry.least = min(entry.least, micros)
            entry.most = max(entry.most, micros)
            entry.last = .now
            entries[endpoint, default: [:]][status] = entry
        }
    }

    /// `{endpoint: {status: statistics}}`
    var json: JSONValue {
        let endpoints = entries.withLock { $0 }.sorted { $0.key < $1.key }.map { endpoint, statuses in
            let answers = statuses.sorted { $0.key < $1.key }.map { status, entry in
                (
                    name: String(status),
                    value: [
                        "count": JSONValue(entry.count),
                        "avg_duration_micros": .number(entry.total / Double(entry.count)),
                        "min_duration_micros": .number(entry.least), "max_duration_micros": .number(entry.most),
                        "total_duration_micros": .integer(Int64(entry.total)),
                        "last_responded": .string(entry.last.text),
                    ] as JSONValue
                )
            }
            return (name: endpoint, value: JSONValue.object(JSONObject(unique: answers)))
        }
        return .object(JSONObject(unique: endpoints))
    }
}
