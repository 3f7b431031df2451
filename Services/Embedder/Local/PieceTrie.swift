/// The vocabulary as a trie over UTF-8 bytes with two roots: pieces that begin a word, and those that go on ("##ing"). One
/// walk finds the longest piece. Edges lie in one open-addressing table keyed by (node, byte).
struct PieceTrie: Sendable {
    private static let beginning: UInt32 = 0
    private static let continuation: UInt32 = 1
    private var keys: [UInt32]
    private var targets: [UInt32]
    /// The piece that ends at a node, or -1.
    private var pieces: [Int32] = [-1, -1]
    private let mask: UInt32

    init(pieces vocabulary: [some Collection<UInt8>]) {
        var capacity = 1024
        while capacity < vocabulary.reduce(0, { $0 + $1.count }) { capacity *= 2 }
        keys = Array(repeating: .max, count: capacity)
        targets = Array(repeating: 0, count: capacity)
        mask = UInt32(capacity - 1)
        let mark = Array("##".utf8)
        for (id, piece) in vocabulary.enumerated() where !piece.isEmpty {
            let goesOn = piece.count > 2 && piece.starts(with: mark)
            var node = goesOn ? Self.continuation : Self.beginning
            for byte in piece.dropFirst(goesOn ? 2 : 0) { node = insert(byte, under: node) }
            pieces[Int(node)] = Int32(id)
        }
    }

    /// The longest piece of the vocabulary that `word` has at `start`, and where it ends.
    func longestPiece(in word: [UInt8], from start: Int) -> (id: Int32, end: Int)? {
        var node = start == 0 ? Self.beginning : Self.continuation
        var found: (Int32, Int)?
        var offset = start
        while offset < word.count, let next = target(of: node, word[offset]) {
            node = next
            offset += 1
            if pieces[Int(node)] >= 0 { found = (pieces[Int(node)], offset) }
        }
        return found
    }

    private func slot(_ key: UInt32) -> Int {
        var slot = (key &* 0x9E37_79B1) >> 7 & mask
        while keys[Int(slot)] != key && keys[Int(slot)] != .max { slot = (slot &+ 1) & mask }
        return Int(slot)
    }

    private func target(of node: UInt32, _ byte: UInt8) -> UInt32? {
        let slot = slot(node << 8 | UInt32(byte))
        return keys[slot] == .max ? nil : targets[slot]
    }

    private mutating func insert(_ byte: UInt8, under node: UInt32) -> UInt32 {
        let key = node << 8 | UInt32(byte)
        let slot = slot(key)
        if keys[slot] == key { return targets[slot] }
        keys[slot] = key
        targets[slot] = UInt32(pieces.count)
        pieces.append(-1)
        return targets[slot]
    }
}
