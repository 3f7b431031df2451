/// Rows of a column that grows: a bitmap without an end.
struct RowSet {
    private var words: [UInt64] = []
    var memory: Int { words.capacity * 8 }

    mutating func insert(_ row: Int) {
        while words.count <= row >> 6 { words.append(0) }
        words[row >> 6] |= 1 << UInt64(row & 63)
    }

    /// The first `count` rows of it.
    func bitmap(of count: Int) -> Bitmap {
        let needed = (count + 63) / 64
        let missing = max(0, needed - words.count)
        return Bitmap(count: count, words: Array(words.prefix(needed)) + Array(repeating: 0, count: missing))
    }
}
