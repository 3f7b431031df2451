import COpenSSL

/// SHA-256 (FIPS 180-4): 32 bytes.
package enum SHA256Digest {
    package static func hash(_ bytes: some ContiguousBytesSource) -> [UInt8] { hash(parts: [bytes]) }

    /// The digest of the parts one after the other, not copied together. Where parts have no fixed length, put their lengths in.
    package static func hash(parts: [any ContiguousBytesSource]) -> [UInt8] {
        var hasher = Hasher(EVP_sha256())
        for part in parts { part.withBytes { hasher.update($0) } }
        return hasher.finish(count: 32)
    }
}

/// One digest being computed by OpenSSL.
struct Hasher: ~Copyable {
    private let context: OpaquePointer?

    init(_ algorithm: OpaquePointer?) {
        context = EVP_MD_CTX_new()
        EVP_DigestInit_ex(context, algorithm, nil)
    }
    deinit { EVP_MD_CTX_free(context) }

    mutating func update(_ bytes: UnsafeRawBufferPointer) { EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) }

    /// `count`: the digest's own size.
    mutating func finish(count size: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            EVP_DigestFinal_ex(context, buffer.baseAddress, nil)
            count = size
        }
    }
}

/// Text and byte arrays, seen as bytes without a copy.
package protocol ContiguousBytesSource {
    func withBytes(_ body: (UnsafeRawBufferPointer) -> Void)
}
extension Array: ContiguousBytesSource where Element == UInt8 {
    package func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) { withUnsafeBytes(body) }
}
extension String: ContiguousBytesSource {
    package func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) {
        var copy = self
        copy.withUTF8 { body(UnsafeRawBufferPointer($0)) }
    }
}

/// Compares secrets in a time that tells nothing about where they differ.
package func constantTimeEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    left.count == right.count && CRYPTO_memcmp(left, right, left.count) == 0
}

/// Bytes of the system's cryptographic generator.
package enum SecureRandom {
    package static func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            let result = RAND_bytes(buffer.baseAddress, Int32(count))
            precondition(result == 1, "the system's random generator failed")
            filled = count
        }
    }
}

/// SHA-256 of bytes that come in parts.
package struct IncrementalSHA256: ~Copyable {
    private var hasher = Hasher(EVP_sha256())
    package init() {}
    package mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { hasher.update($0) } }
    /// Once.
    package mutating func finish() -> [UInt8] { hasher.finish(count: 32) }
}
