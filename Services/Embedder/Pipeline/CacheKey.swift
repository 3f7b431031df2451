import Crypto

/// What a vector is kept under: provider, model, dimensions, task and the text's SHA-256.
struct CacheKey: Hashable, Sendable {
    private let words: (UInt64, UInt64, UInt64, UInt64)

    init(text: String) {
        let digest = SHA256Digest.hash(text)
        words = digest.withUnsafeBytes { $0.loadUnaligned(as: (UInt64, UInt64, UInt64, UInt64).self) }
    }

    static func == (left: CacheKey, right: CacheKey) -> Bool { left.words == right.words }
    /// Already evenly spread.
    func hash(into hasher: inout Hasher) { hasher.combine(words.0) }

    /// `prefix` and 64 hex digits.
    func redisKey(prefix: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: prefix.count + 64) { buffer, count in
            _ = buffer.update(fromContentsOf: prefix)
            var next = prefix.count
            withUnsafeBytes(of: words) { bytes in
                for byte in bytes {
                    for digit in [byte >> 4, byte & 15] {
                        buffer[next] = digit < 10 ? 48 + digit : 87 + digit
                        next += 1
                    }
                }
            }
            count = next
        }
    }
}
