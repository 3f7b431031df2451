import Foundation
import WireProtocol

/// A database's `connectionConfig`, read from its members or from its `url`.
struct DatabaseAddress: Sendable {
    var host: String
    var port: Int
    var database: String
    var user: String
    var password: String
    /// `disable`, `prefer`, `require`, `verify-ca`, `verify-full`.
    var tls: String

    init(_ config: JSONObject, defaultPort: Int) throws(SourceError) {
        if let url = config["url"]?.string {
            guard let parts = URLComponents(string: url), let host = parts.host, !host.isEmpty else {
                throw SourceError(.unsupported, "the url cannot be read", field: "connectionConfig.url")
            }
            self.host = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
            port = parts.port ?? defaultPort
            database = String(parts.path.drop { $0 == "/" })
            user = parts.user ?? ""
            password = parts.password ?? config["password"]?.string ?? ""
            let mode = parts.queryItems?.first { $0.name == "sslmode" }?.value
            tls = mode ?? Self.mode(config["tls"])
            for item in parts.queryItems ?? [] where item.name != "sslmode" {
                throw SourceError(
                    .unsupported, "the url's parameter \(item.name) is not supported", field: "connectionConfig.url")
            }
        } else {
            host = config["host"]?.string ?? ""
            port = config["port"]?.integer.map(Int.init) ?? defaultPort
            database = config["database"]?.string ?? ""
            user = config["user"]?.string ?? ""
            password = config["password"]?.string ?? ""
            tls = Self.mode(config["tls"])
        }
        guard !host.isEmpty, !host.hasPrefix("/"), !host.contains(","), (1...65_535).contains(port) else {
            throw SourceError(.unsupported, "needs one host and a port", field: "connectionConfig.host")
        }
        guard !database.isEmpty else {
            throw SourceError(.unsupported, "needs a database", field: "connectionConfig.database")
        }
        guard !user.isEmpty else { throw SourceError(.unsupported, "needs a user", field: "connectionConfig.user") }
    }

    private static func mode(_ value: JSONValue?) -> String {
        switch value {
        case .bool(true): "require"
        case .bool(false): "disable"
        case .string(let mode): mode
        default: "prefer"
        }
    }
}
