import CSnowball

/// Snowball's stemmer of one language. Words come in lower case and without accents, in UTF-8.
struct Stemmer: ~Copyable {
    enum Language: String { case english, spanish }
    private let handle: OpaquePointer
    private let language: Language

    init(_ language: Language) {
        guard let handle = sb_stemmer_new(language.rawValue, "UTF_8") else {
            preconditionFailure("libstemmer has no \(language.rawValue) stemmer, or memory is short")
        }
        self.handle = handle
        self.language = language
    }
    deinit { sb_stemmer_delete(handle) }

    /// Calls `body` with the stem, which is valid until the next call.
    func stem<Result>(
        _ word: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Result
    ) -> Result {
        if language == .spanish, let accented = Self.accented(word) {
            return accented.withUnsafeBufferPointer { apply($0, body) }
        }
        return apply(word, body)
    }

    private func apply<Result>(
        _ word: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Result
    ) -> Result {
        guard let stem = sb_stemmer_stem(handle, word.baseAddress, Int32(word.count)) else { return body(word) }
        return body(UnsafeBufferPointer(start: stem, count: Int(sb_stemmer_length(handle))))
    }

    /// `-cion` and `-sion` as they are written: without its accent Snowball does not know the ending, and the plural, which has
    /// none, would have another stem. All other endings come out alike with and without accents on both sides.
    private static func accented(_ word: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        guard word.count > 5, word.suffix(3).elementsEqual("ion".utf8), [0x63, 0x73].contains(word[word.count - 4])
        else { return nil }
        return word.dropLast(2) + Array("ón".utf8)
    }
}
