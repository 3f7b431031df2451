import Foundation

/// `redis://user:password@host:port/db` or `unix:///path/to/socket`.
struct RedisURL: Sendable, Equatable {
    enum Address: Sendable, Equatable { case tcp(host: String, port: Int32), unix(path: String) }
    var address: Address
    var user: String?
    var password: String?
    var database: Int

    init(_ text: String) throws(RedisError) {
        guard let parts = URLComponents(string: text), let scheme = parts.scheme else {
            throw .invalidURL(reason: "not a URL")
        }
        user = parts.user.flatMap { $0.isEmpty ? nil : $0 }
        password = parts.password
        switch scheme {
        case "redis":
            let host = (parts.host ?? "").trimmingCharacters(in: ["[", "]"])
            guard let port = Int32(exactly: parts.port ?? 6379), (1...65535).contains(port) else {
                throw .invalidURL(reason: "the port is out of range")
            }
            address = .tcp(host: host.isEmpty ? "127.0.0.1" : host, port: port)
            let path = parts.path.drop { $0 == "/" }
            guard let number = path.isEmpty ? 0 : Int(path), number >= 0 else {
                throw .invalidURL(reason: "the path must be the number of a database")
            }
            database = number
        case "unix":
            address = .unix(path: parts.path)
            database = 0
        case "rediss": throw .invalidURL(reason: "TLS is not supported; use a private network or a TLS tunnel")
        default: throw .invalidURL(reason: "the scheme must be redis or unix")
        }
    }
}
