import Foundation

/// Texts and their numbers, 0 and up in order of arrival. Short texts are kept; of a long one a digest and the slot where it was
/// seen first, so that a column of descriptions does not hold them all again.
struct StringDictionary {
    /// Units: bytes.
    static let longest = 256

    private struct Entry {
        private let packed: UInt64
        /// In `bytes`.
        var offset: Int { Int(packed >> 16) }
        /// `nil`: a long text; 16 bytes of digest and 4 of its slot are there instead.
        var length: Int? { packed & 0xFFFF == 0xFFFF ? nil : Int(packed & 0xFFFF) }
        init(offset: Int, length: Int?) { packed = UInt64(offset) << 16 | UInt64(length ?? 0xFFFF) }
    }
    private var bytes: [UInt8] = []
    private var entries: [Entry] = []
    /// Open addressing; an ordinal and 1, or 0. A power of two of places, at most half of them taken.
    private var table = [UInt32](repeating: 0, count: 16)

    var count: Int { entries.count }
    var memory: Int { bytes.capacity + entries.capacity * 8 + table.capacity * 4 }

    /// `nil` for a long one.
    func withText<R>(_ ordinal: Int, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R? {
        let entry = entries[ordinal]
        guard let length = entry.length else { return nil }
        return bytes.withUnsafeBufferPointer {
            body(UnsafeBufferPointer(rebasing: $0[entry.offset..<(entry.offset + length)]))
        }
    }
    /// In the order of their bytes; long texts behind all others, as they came.
    func precedes(_ left: Int, _ right: Int) -> Bool {
        switch (entries[left].length, entries[right].length) {
        case (let length?, let other?):
            let order = bytes.withUnsafeBytes { bytes in
                memcmp(
                    bytes.baseAddress! + entries[left].offset, bytes.baseAddress! + entries[right].offset,
                    min(length, other))
            }
            return order == 0 ? length < other : order < 0
        case (nil, nil): return left < right
        case (let length, _): return length != nil
        }
    }

    /// Where the long text was seen first.
    func slot(ofLong ordinal: Int) -> Int { Int(load(at: entries[ordinal].offset + 16, as: UInt32.self)) }
    private func load<Value: BitwiseCopyable>(at offset: Int, as type: Value.Type) -> Value {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: type) }
    }

    func find(_ text: UnsafeBufferPointer<UInt8>) -> UInt32? {
        let digest = Self.digest(text)
        let found = table[place(of: text, digest)]
        return found == 0 ? nil : found - 1
    }

    /// `slot` matters for a long text only.
    mutating func ordinal(of text: UnsafeBufferPointer<UInt8>, in slot: Int) -> UInt32 {
        let digest = Self.digest(text)
        let place = place(of: text, digest)
        if table[place] != 0 { return table[place] - 1 }
        let isLong = text.count > Self.longest
        entries.append(Entry(offset: bytes.count, length: isLong ? nil : text.count))
        if isLong {
            withUnsafeBytes(of: digest.0) { bytes.append(contentsOf: $0) }
            withUnsafeBytes(of: digest.1) { bytes.append(contentsOf: $0) }
            withUnsafeBytes(of: UInt32(slot)) { bytes.append(contentsOf: $0) }
        } else {
            bytes.append(contentsOf: text)
        }
        table[place] = UInt32(entries.count)
        if entries.count * 2 > table.count { grow() }
        return UInt32(entries.count - 1)
    }

    private func place(of text: UnsafeBufferPointer<UInt8>, _ digest: (UInt64, UInt64)) -> Int {
        var place = Int(truncatingIfNeeded: digest.0) & (table.count - 1)
        while table[place] != 0, !isEqual(entries[Int(table[place]) - 1], text, digest) {
            place = (place + 1) & (table.count - 1)
        }
        return place
    }
    private func isEqual(_ entry: Entry, _ text: UnsafeBufferPointer<UInt8>, _ digest: (UInt64, UInt64)) -> Bool {
        guard let length = entry.length else {
            return text.count > Self.longest && load(at: entry.offset, as: UInt64.self) == digest.0
                && load(at: entry.offset + 8, as: UInt64.self) == digest.1
        }
        guard length == text.count, let wanted = text.baseAddress, length > 0 else { return length == text.count }
        return bytes.withUnsafeBytes { memcmp($0.baseAddress! + entry.offset, wanted, length) == 0 }
    }

    private mutating func grow() {
        table = [UInt32](repeating: 0, count: table.count * 2)
        for (ordinal, entry) in entries.enumerated() {
            let hash = withText(ordinal) { Self.digest($0).0 } ?? load(at: entry.offset, as: UInt64.self)
            var place = Int(truncatingIfNeeded: hash) & (table.count - 1)
            while table[place] != 0 { place = (place + 1) & (table.count - 1) }
            table[place] = UInt32(ordinal + 1)
        }
    }

    /// 128 bits that nobody can aim at: the keys are new in each process.
    private static func digest(_ text: UnsafeBufferPointer<UInt8>) -> (UInt64, UInt64) {
        var (first, second) = (keys.0, keys.1)
        func mix(_ word: UInt64) {
            first = multiplied(first ^ word, keys.2)
            second = multiplied(second &+ word, keys.3) ^ word
        }
        let raw = UnsafeRawBufferPointer(text)
        var offset = 0
        while offset + 8 <= raw.count {
            mix(raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += 8
        }
        var rest: UInt64 = 0
        for byte in raw[offset...] { rest = rest << 8 | UInt64(byte) }
        mix(rest)
        mix(UInt64(raw.count))
        return (multiplied(first, keys.3), multiplied(second, keys.2))
    }
    private static func multiplied(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high ^ product.low
    }
    private static let keys = (UInt64.random(), UInt64.random(), UInt64.random() | 1, UInt64.random() | 1)
}

extension UInt64 {
    fileprivate static func random() -> UInt64 { .random(in: 0 ... .max) }
}
