import Foundation

/// BERT's tokenizer: clean, lower-case, strip accents, split at white space, punctuation and CJK characters, then the longest
/// pieces of the vocabulary. Gives the ids of Hugging Face's `BertTokenizerFast`, except that a literal "[CLS]" in a text is
/// text, not a special token.
struct WordPieceTokenizer: Sendable {
    private static let longestWord = 100  // characters; longer ones are unknown
    private let trie: PieceTrie
    private let folding: CharacterFolding
    private let maximumTokens: Int
    private let unknown: Int32
    private let first: Int32
    private let last: Int32
    let vocabularySize: Int

    init(vocabularyPath: String, lowercases: Bool = true, maximumTokens: Int) throws(ModelError) {
        guard let text = FileManager.default.contents(atPath: vocabularyPath) else {
            throw .missing(file: vocabularyPath)
        }
        var pieces = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        if pieces.last?.isEmpty == true { pieces.removeLast() }
        pieces = pieces.map { $0.last == UInt8(ascii: "\r") ? $0.dropLast() : $0 }
        var special: [String: Int32] = [:]
        for (id, piece) in pieces.enumerated() where piece.first == UInt8(ascii: "[") && piece.last == UInt8(ascii: "]")
        {
            special[String(decoding: piece, as: UTF8.self)] = Int32(id)
        }
        guard let unknown = special["[UNK]"], let first = special["[CLS]"], let last = special["[SEP]"] else {
            throw .unreadable(file: vocabularyPath, reason: "it lacks [UNK], [CLS] or [SEP]")
        }
        (self.unknown, self.first, self.last) = (unknown, first, last)
        trie = PieceTrie(pieces: pieces)
        folding = CharacterFolding(lowercases: lowercases)
        vocabularySize = pieces.count
        self.maximumTokens = maximumTokens
    }

    /// `[CLS]` pieces `[SEP]`, at most `maximumTokens`.
    func ids(of text: String) -> [Int32] {
        var ids: [Int32] = [first]
        let limit = maximumTokens - 1
        var word: [UInt8] = []
        var wordLength = 0
        func endWord() {
            if !word.isEmpty { append(word, length: wordLength, to: &ids) }
            word.removeAll(keepingCapacity: true)
            wordLength = 0
        }
        for scalar in text.unicodeScalars {
            if ids.count >= limit { break }
            folding.fold(scalar) { kind, scalar in
                switch kind {
                case .space: endWord()
                case .alone:
                    endWord()
                    word.append(contentsOf: scalar.utf8)
                    wordLength = 1
                    endWord()
                case .letter:
                    if scalar.value < 0x80 {
                        word.append(UInt8(truncatingIfNeeded: scalar.value))
                    } else {
                        word.append(contentsOf: scalar.utf8)
                    }
                    wordLength += 1
                }
            }
        }
        endWord()
        if ids.count > limit { ids.removeLast(ids.count - limit) }
        ids.append(last)
        return ids
    }

    private func append(_ word: [UInt8], length: Int, to ids: inout [Int32]) {
        guard length <= Self.longestWord else { return ids.append(unknown) }
        let before = ids.count
        var offset = 0
        while offset < word.count {
            guard let (id, end) = trie.longestPiece(in: word, from: offset) else {
                ids.removeLast(ids.count - before)
                return ids.append(unknown)
            }
            ids.append(id)
            offset = end
        }
    }
}
