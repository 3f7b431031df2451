import CVectorKernel

/// A set of slots. Copies share their memory until one of them changes.
struct Bitmap: Sendable, Equatable {
    private(set) var words: [UInt64]
    private(set) var count: Int

    init(count: Int, filled: Bool = false) {
        self.count = count
        words = Array(repeating: filled ? .max : 0, count: (count + 63) / 64)
        if filled { trim() }
    }
    init(count: Int, words: [UInt64]) {
        self.count = count
        self.words = words
        trim()
    }

    private mutating func trim() {
        if count % 64 != 0, !words.isEmpty { words[words.count - 1] &= (1 << UInt64(count % 64)) - 1 }
    }

    mutating func grow(to newCount: Int) {
        guard newCount > count else { return }
        count = newCount
        let needed = (newCount + 63) / 64 - words.count
        if needed > 0 { words.append(contentsOf: repeatElement(0, count: needed)) }
    }

    subscript(index: Int) -> Bool {
        get { words[index >> 6] >> UInt64(index & 63) & 1 == 1 }
        set {
            let bit: UInt64 = 1 << UInt64(index & 63)
            if newValue { words[index >> 6] |= bit } else { words[index >> 6] &= ~bit }
        }
    }

    mutating func formUnion(_ other: Bitmap) { for index in words.indices { words[index] |= other.words[index] } }
    mutating func formIntersection(_ other: Bitmap) {
        for index in words.indices { words[index] &= other.words[index] }
    }
    mutating func subtract(_ other: Bitmap) { for index in words.indices { words[index] &= ~other.words[index] } }
    mutating func invert() {
        for index in words.indices { words[index] = ~words[index] }
        trim()
    }

    var population: Int { words.withUnsafeBufferPointer { Int(vector_count_bits($0.baseAddress, $0.count)) } }

    mutating func withUnsafeMutableWords<R>(_ body: (UnsafeMutablePointer<UInt64>) throws -> R) rethrows -> R? {
        try words.withUnsafeMutableBufferPointer { try $0.baseAddress.map(body) }
    }

    /// `slots` begins at a multiple of 64.
    func forEachSlot(in slots: Range<Int>, _ body: (Int) -> Void) {
        for index in (slots.lowerBound / 64)..<((slots.upperBound + 63) / 64) {
            var bits = words[index]
            while bits != 0 {
                let slot = index * 64 + bits.trailingZeroBitCount
                if slot < slots.upperBound { body(slot) }
                bits &= bits - 1
            }
        }
    }

    func forEachSlot(_ body: (Int) throws -> Void) rethrows {
        for (index, word) in words.enumerated() where word != 0 {
            var bits = word
            while bits != 0 {
                try body(index * 64 + bits.trailingZeroBitCount)
                bits &= bits - 1
            }
        }
    }
}
