/// `{"slice": {"total", "index"}}`: which of `total` equal parts of all ids a point belongs to.
///
/// Source: Qdrant's API: SipHash-2-4 with a zero key over the id's bytes (a number's 8, little end first; a UUID's 16), modulo `total`.
enum PointSlice {
    static func index(of id: PointID, total: UInt32) -> UInt32 {
        // SipHash-2-4. Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF".
        var state = State()
        if id.kind == 1 { state.absorb(id.high.byteSwapped) }
        state.absorb(id.kind == 1 ? id.low.byteSwapped : id.low)
        state.absorb((id.kind == 1 ? 16 : 8) << 56)
        state.v2 ^= 0xFF
        for _ in 0..<4 { state.round() }
        return UInt32((state.v0 ^ state.v1 ^ state.v2 ^ state.v3) % UInt64(total))
    }

    private struct State {
        var v0: UInt64 = 0x736F_6D65_7073_6575
        var v1: UInt64 = 0x646F_7261_6E64_6F6D
        var v2: UInt64 = 0x6C79_6765_6E65_7261
        var v3: UInt64 = 0x7465_6462_7974_6573

        mutating func absorb(_ word: UInt64) {
            v3 ^= word
            round()
            round()
            v0 ^= word
        }
        mutating func round() {
            v0 &+= v1
            v2 &+= v3
            v1 = Self.rotated(v1, 13) ^ v0
            v3 = Self.rotated(v3, 16) ^ v2
            v0 = Self.rotated(v0, 32)
            v2 &+= v1
            v0 &+= v3
            v1 = Self.rotated(v1, 17) ^ v2
            v3 = Self.rotated(v3, 21) ^ v0
            v2 = Self.rotated(v2, 32)
        }
        private static func rotated(_ value: UInt64, _ count: UInt64) -> UInt64 {
            value << count | value >> (64 - count)
        }
    }
}
