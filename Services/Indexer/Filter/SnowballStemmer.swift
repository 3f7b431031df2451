import CSnowball

/// One stemmer of libstemmer, for any of its languages.
// Used by the one call that made it: a handle holds the word at hand.
final class SnowballStemmer {
    private let handle: OpaquePointer

    /// `nil`: libstemmer does not know the language.
    init?(_ language: String) {
        guard let handle = sb_stemmer_new(language, "UTF_8") else { return nil }
        self.handle = handle
    }
    deinit { sb_stemmer_delete(handle) }

    func stem(of word: String) -> String {
        var word = word
        return word.withUTF8 { bytes in
            guard let stem = sb_stemmer_stem(handle, bytes.baseAddress, Int32(bytes.count)) else {
                return String(decoding: bytes, as: UTF8.self)
            }
            return String(
                decoding: UnsafeBufferPointer(start: stem, count: Int(sb_stemmer_length(handle))), as: UTF8.self)
        }
    }
}
