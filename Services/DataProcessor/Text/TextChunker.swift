/// Cuts a text into pieces of at most `size` units that overlap, at word borders where there are any.
struct TextChunker: Sendable {
    enum Unit: Sendable { case tokens, characters }
    let size: Int
    let overlap: Int
    let unit: Unit
    /// A word piece of the embedding models' vocabularies is four to six letters long on average; this errs on the safe side.
    private static let lettersPerToken = 6

    private struct Token {
        var range: Range<String.Index>
        /// A piece may end here and the next one begin.
        var endsWord: Bool
    }

    func chunks(_ text: String) -> [String] {
        let tokens = unit == .tokens ? Self.tokens(text) : Self.characters(text)
        var chunks: [String] = []
        var start = 0
        while start < tokens.count {
            let end = endOfChunk(from: start, in: tokens)
            let piece = text[tokens[start].range.lowerBound..<tokens[end - 1].range.upperBound].trimmed()
            if !piece.isEmpty { chunks.append(String(piece)) }
            guard end < tokens.count else { break }
            start = startOfNext(after: end, in: tokens, previous: start)
        }
        return chunks
    }

    private func endOfChunk(from start: Int, in tokens: [Token]) -> Int {
        let end = min(start + size, tokens.count)
        guard end < tokens.count else { return end }
        // Back to a word's end, but by no more than half a piece: a word may be longer than that.
        var border = end
        while border > start + size / 2, border > start + 1, !tokens[border - 1].endsWord { border -= 1 }
        return tokens[border - 1].endsWord ? border : end
    }

    private func startOfNext(after end: Int, in tokens: [Token], previous: Int) -> Int {
        guard overlap > 0 else { return end }
        var start = max(end - overlap, previous + 1)
        while start < end, !tokens[start - 1].endsWord { start += 1 }
        return start
    }

    private static func characters(_ text: String) -> [Token] {
        var tokens: [Token] = []
        tokens.reserveCapacity(text.utf8.count)
        var index = text.startIndex
        while index < text.endIndex {
            let next = text.index(after: index)
            let endsWord = next == text.endIndex || text[next].isWhitespace || text[index].isWhitespace
            tokens.append(Token(range: index..<next, endsWord: endsWord))
            index = next
        }
        return tokens
    }

    private static func tokens(_ text: String) -> [Token] {
        var tokens: [Token] = []
        var start: String.Index?
        var length = 0
        func close(at end: String.Index, endsWord: Bool) {
            if let from = start { tokens.append(Token(range: from..<end, endsWord: endsWord)) }
            start = nil
            length = 0
        }
        for index in text.indices {
            let character = text[index]
            if character.isWhitespace {
                close(at: index, endsWord: true)
            } else if character.isLetter && !isIdeograph(character) || character.isNumber {
                if length == lettersPerToken { close(at: index, endsWord: false) }
                if start == nil { start = index }
                length += 1
            } else {
                close(at: index, endsWord: false)
                tokens.append(Token(range: index..<text.index(after: index), endsWord: true))
            }
        }
        close(at: text.endIndex, endsWord: true)
        return tokens
    }

    private static func isIdeograph(_ character: Character) -> Bool {
        character.unicodeScalars.first.map { $0.properties.isIdeographic || (0x3040...0x30FF).contains($0.value) }
            ?? false
    }
}
