/// `match: {"text": ...}` as Qdrant does it without an index of its own kind: every word of the query is a word of the value,
/// whatever the case. Words are runs of letters and digits.
struct WordMatcher {
    private let words: [[UInt8]]

    init(_ query: String) { words = Self.words(of: query).map { Array($0.utf8) } }

    func matches(_ text: String) -> Bool {
        if words.isEmpty { return false }
        var text = text
        return text.withUTF8 { bytes in
            if bytes.allSatisfy({ $0 < 0x80 }) { return words.allSatisfy { Self.contains($0, in: bytes) } }
            let own = Set(Self.words(of: String(decoding: bytes, as: UTF8.self)).map { Array($0.utf8) })
            return words.allSatisfy(own.contains)
        }
    }

    static func words(of text: String) -> [String] {
        text.lowercased().unicodeScalars
            .split { !($0.properties.isAlphabetic || $0.properties.numericType != nil) }.map { String($0) }
    }

    /// ASCII only: no string is built.
    private static func contains(_ word: [UInt8], in text: UnsafeBufferPointer<UInt8>) -> Bool {
        var start = 0
        while start + word.count <= text.count {
            guard isWord(text[start]) else {
                start += 1
                continue
            }
            var length = 0
            var isEqual = true
            while start + length < text.count, isWord(text[start + length]) {
                if isEqual { isEqual = length < word.count && lowercased(text[start + length]) == word[length] }
                length += 1
            }
            if isEqual, length == word.count { return true }
            start += length
        }
        return false
    }
    private static func isWord(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (97...122).contains(byte | 0x20)
    }
    private static func lowercased(_ byte: UInt8) -> UInt8 { (65...90).contains(byte) ? byte | 0x20 : byte }
}
