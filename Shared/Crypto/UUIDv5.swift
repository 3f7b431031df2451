import COpenSSL
import Foundation

/// Name-based UUIDs with SHA-1 (RFC 9562, section 5.5): the same namespace and name always give the same id.
package enum UUIDv5 {
    package static func make(namespace: UUID, name: String) -> UUID {
        var hasher = Hasher(EVP_sha1())
        withUnsafeBytes(of: namespace.uuid) { hasher.update($0) }
        name.withBytes { hasher.update($0) }
        var digest = hasher.finish(count: 20)
        digest[6] = digest[6] & 0x0F | 0x50
        digest[8] = digest[8] & 0x3F | 0x80
        return digest.withUnsafeBytes { UUID(uuid: $0.loadUnaligned(as: uuid_t.self)) }
    }
}
