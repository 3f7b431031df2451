import Foundation
import HTTPServer

/// Which addresses a source may have. Private networks hold the databases this is for, so they are allowed unless `SOURCE_NETWORKS`
/// lists others; link-local ones (where clouds keep their metadata and credentials) never are.
struct NetworkPolicy: Sendable {
    /// Empty: all but the refused ones.
    private let allowed: [Network]

    struct Network: Sendable, Equatable {
        var bytes: [UInt8]
        var bits: Int

        /// `10.0.0.0/8`, `fd00::/8`, or one address.
        init?(_ text: String) {
            let parts = text.split(separator: "/")
            guard let first = parts.first, parts.count <= 2, let bytes = NetworkAddress.bytes(of: String(first)) else {
                return nil
            }
            let bits = parts.count == 2 ? Int(parts[1]) : bytes.count * 8
            guard let bits, (0...(bytes.count * 8)).contains(bits) else { return nil }
            (self.bytes, self.bits) = (bytes, bits)
        }
        func contains(_ address: [UInt8]) -> Bool {
            guard address.count == bytes.count else { return false }
            for bit in 0..<bits where (address[bit / 8] ^ bytes[bit / 8]) & (0x80 >> UInt8(bit % 8)) != 0 {
                return false
            }
            return true
        }
    }

    init(allowed: [Network] = []) { self.allowed = allowed }

    private static let refused = [
        "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "fe80::/10", "ff00::/8", "::/128",
        "fd00:ec2::254/128",
        "64:ff9b::/96",
    ].compactMap(Network.init)
    private static let mapped = Network("::ffff:0:0/96")

    /// Whether `address` (4 or 16 bytes) may be connected to.
    func allows(_ address: [UInt8]) -> Bool {
        if let mapped = Self.mapped, mapped.contains(address) { return allows(Array(address.suffix(4))) }
        guard !Self.refused.contains(where: { $0.contains(address) }) else { return false }
        return allowed.isEmpty || allowed.contains { $0.contains(address) }
    }
}

/// One resolved address of a source's host.
struct NetworkAddress: Sendable, Equatable {
    var bytes: [UInt8]
    var text: String

    static func bytes(of text: String) -> [UInt8]? {
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 { return withUnsafeBytes(of: four) { Array($0) } }
        var six = in6_addr()
        if inet_pton(AF_INET6, text, &six) == 1 { return withUnsafeBytes(of: six) { Array($0) } }
        return nil
    }

    /// Resolves `host` once, refuses what the policy refuses, and connects: the first address that answers, which the client library
    /// is then told to use, so that a second resolution cannot lead elsewhere.
    /// Throws: `addressRefused`, `unreachable`, `timedOut`.
    static func reach(
        host: String, port: Int, policy: NetworkPolicy, limit: Duration = .seconds(5)
    ) async throws -> NetworkAddress {
        try await BlockingPool.run {
            let addresses = try resolve(host)
            if let refused = addresses.first(where: { !policy.allows($0.bytes) }) {
                throw SourceError(
                    .addressRefused, "\(host) is \(refused.text), an address that sources may not have",
                    field: "connectionConfig.host")
            }
            var last = SourceError(.unreachable, "\(host) has no address", field: "connectionConfig.host")
            for address in addresses.prefix(4) {
                do throws(SourceError) {
                    try probe(address, host: host, port: port, limit: limit)
                    return address
                } catch { last = error }
            }
            throw last
        }
    }

    private static func resolve(_ host: String) throws(SourceError) -> [NetworkAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var first: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, nil, &hints, &first)
        guard status == 0 else {
            throw SourceError(
                .unreachable, "the host \(host) is not known: \(String(cString: gai_strerror(status)))",
                field: "connectionConfig.host")
        }
        defer { freeaddrinfo(first) }
        var addresses: [NetworkAddress] = []
        var next = first
        while let info = next?.pointee {
            next = info.ai_next
            guard let address = info.ai_addr else { continue }
            let bytes: [UInt8]
            switch info.ai_family {
            case AF_INET:
                bytes = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { pointer in
                    withUnsafeBytes(of: pointer.pointee.sin_addr) { Array($0) }
                }
            case AF_INET6:
                bytes = address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { pointer in
                    withUnsafeBytes(of: pointer.pointee.sin6_addr) { Array($0) }
                }
            default: continue
            }
            var text = [CChar](repeating: 0, count: 64)
            getnameinfo(address, info.ai_addrlen, &text, 64, nil, 0, NI_NUMERICHOST)
            let found = NetworkAddress(
                bytes: bytes, text: text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) })
            if !addresses.contains(found) { addresses.append(found) }
        }
        return addresses
    }

    private static func probe(_ address: NetworkAddress, host: String, port: Int, limit: Duration) throws(SourceError) {
        let isFour = address.bytes.count == 4
        let descriptor = socket(
            isFour ? AF_INET : AF_INET6, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw SourceError(.unreachable, "no socket: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        let status: Int32
        if isFour {
            var target = sockaddr_in()
            target.sin_family = sa_family_t(AF_INET)
            target.sin_port = in_port_t(port).bigEndian
            withUnsafeMutableBytes(of: &target.sin_addr) { $0.copyBytes(from: address.bytes) }
            status = withUnsafePointer(to: &target) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        } else {
            var target = sockaddr_in6()
            target.sin6_family = sa_family_t(AF_INET6)
            target.sin6_port = in_port_t(port).bigEndian
            withUnsafeMutableBytes(of: &target.sin6_addr) { $0.copyBytes(from: address.bytes) }
            status = withUnsafePointer(to: &target) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
        var failure = status == 0 ? 0 : errno
        if failure == EINPROGRESS {
            var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard poll(&waiting, 1, Int32(limit.components.seconds * 1000)) > 0 else {
                throw SourceError(
                    .timedOut, "\(host):\(port) did not answer within \(limit.components.seconds) s",
                    field: "connectionConfig.host")
            }
            var size = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &size)
        }
        guard failure == 0 else {
            throw SourceError(
                .unreachable, "\(host):\(port) refuses connections: \(String(cString: strerror(failure)))",
                field: "connectionConfig.host")
        }
    }
}
