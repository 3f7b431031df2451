/// A term's place in a sparse vector: the first 32 bits of a 64-bit hash of what it is and its letters. Fixed for good: stored vectors
/// hold it.
///
/// Collisions: two of n terms share a number with a probability of n²/2³³, so of a catalogue with 100,000 different terms one pair
/// may. A search for one of such a pair finds records of the other too; nothing else happens.
struct Term {
    /// Words of the two languages are different terms, or the Spanish stem of "case" would be the English one of "CAS".
    enum Space: UInt8 {
        case english = 1
        case spanish = 2
        /// Has a digit.
        case code = 3
    }

    static func index(_ bytes: UnsafeBufferPointer<UInt8>, in space: Space) -> UInt32 {
        UInt32(truncatingIfNeeded: hash(bytes, seed: UInt64(space.rawValue)) >> 32)
    }

    /// FNV-1a, then the finalizer of MurmurHash3, which spreads short texts over all bits.
    @inline(__always)
    static func hash(_ bytes: UnsafeBufferPointer<UInt8>, seed: UInt64) -> UInt64 {
        var value: UInt64 = (0xCBF2_9CE4_8422_2325 ^ seed) &* 0x100_0000_01B3
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
        value ^= value >> 33
        value &*= 0xFF51_AFD7_ED55_8CCD
        value ^= value >> 33
        value &*= 0xC4CE_B9FE_1A85_EC53
        return value ^ value >> 33
    }
}
