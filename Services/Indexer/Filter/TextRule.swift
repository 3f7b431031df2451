import Foundation

/// How a text becomes words. Without a text index: runs of letters and digits, whatever their case.
struct TextRule: Sendable, Hashable {
    enum Tokenizer: String, Sendable, CaseIterable {
        /// Runs of letters and digits.
        case word
        /// What stands between spaces.
        case whitespace
        /// As `word`, and a word of the query is the beginning of one of the text.
        case prefix
        /// As `word`; of scripts without spaces each character is a word.
        case multilingual
    }
    var tokenizer = Tokenizer.word
    var lowercase = true
    /// `é` is `e`.
    var foldsAccents = false
    /// Units: characters. Words of another length are left out; of a `prefix` index the beginnings of another length.
    var lengths = 1...Int.max
    var stopWords: Set<String> = []
    /// Language of a Snowball stemmer: words of one stem are one word.
    var stemmer: String?

    static let standard = TextRule()

    /// The words, in their order, valid during the call only.
    func forEachWord(in text: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
        if isPlain, text.allSatisfy({ $0 < 0x80 }) { return Self.forEachASCIIWord(in: text, body) }
        for var word in words(in: text) { word.withUTF8 { body($0) } }
    }

    /// As `forEachWord`, of a query: a word that is too long for an index of beginnings is cut to what it holds.
    func queryWords(_ text: String) -> [[UInt8]] {
        var text = text
        return text.withUTF8 { words(in: $0) }.map { word in
            tokenizer == .prefix ? Array(word.prefix(lengths.upperBound).utf8) : Array(word.utf8)
        }
    }

    private var isPlain: Bool {
        (tokenizer == .word || tokenizer == .multilingual) && lowercase && lengths == 1...Int.max && stopWords.isEmpty
            && stemmer == nil
    }

    private static func forEachASCIIWord(
        in text: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void
    ) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: text.count) { word in
            var length = 0
            for byte in text {
                let folded = (65...90).contains(byte) ? byte | 0x20 : byte
                if (48...57).contains(folded) || (97...122).contains(folded) {
                    word[length] = folded
                    length += 1
                } else if length > 0 {
                    body(UnsafeBufferPointer(rebasing: word[..<length]))
                    length = 0
                }
            }
            if length > 0 { body(UnsafeBufferPointer(rebasing: word[..<length])) }
        }
    }

    private func words(in text: UnsafeBufferPointer<UInt8>) -> [String] {
        let stems = stemmer.flatMap { SnowballStemmer($0) }
        return pieces(String(decoding: text, as: UTF8.self)).compactMap { piece in
            var word = String(piece)
            if foldsAccents { word = Self.withoutAccents(word) }
            if lowercase { word = word.lowercased() }
            if stopWords.contains(word) { return nil }
            if let stems { word = stems.stem(of: word) }
            let length = word.unicodeScalars.count
            return length >= lengths.lowerBound && (length <= lengths.upperBound || tokenizer == .prefix) ? word : nil
        }
    }

    private func pieces(_ text: String) -> [Substring.UnicodeScalarView] {
        if tokenizer == .whitespace { return text.unicodeScalars.split(whereSeparator: \.properties.isWhitespace) }
        let words = text.unicodeScalars.split { !Self.isAlphanumeric($0) }
        guard tokenizer == .multilingual else { return words }
        return words.flatMap { word in
            guard word.contains(where: \.properties.isIdeographic) else { return [word] }
            return word.indices.map { word[$0...$0] }
        }
    }

    /// Letters and whatever counts, of all scripts.
    static func isAlphanumeric(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.value < 0x80 {
            return (48...57).contains(scalar.value) || (97...122).contains(scalar.value | 0x20)
        }
        return scalar.properties.isAlphabetic || scalar.properties.numericType != nil
    }

    private static func withoutAccents(_ word: String) -> String {
        var folded = ""
        for scalar in word.decomposedStringWithCanonicalMapping.unicodeScalars {
            if let letters = letters[scalar] {
                folded += letters
            } else if scalar.properties.generalCategory != .nonspacingMark {
                folded.unicodeScalars.append(scalar)
            }
        }
        return folded
    }
    /// Letters that Unicode does not take apart.
    private static let letters: [Unicode.Scalar: String] = [
        "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ð": "d",
        "Ð": "D",
        "ł": "l", "Ł": "L", "þ": "th", "Þ": "TH", "ı": "i", "ħ": "h", "Ħ": "H", "ŋ": "n", "Ŋ": "N",
    ]
}
