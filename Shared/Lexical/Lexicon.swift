/// What is known of words: their stems' terms in both languages, and which language they speak for. Remembers the words it has seen:
/// catalogues repeat themselves, and a stem costs a microsecond.
final class Lexicon {
    struct Entry {
        fileprivate var key: UInt64 = 0
        var english: UInt32 = 0
        var spanish: UInt32 = 0
        var isEnglishStopWord = false
        var isSpanishStopWord = false
        /// Which language a text is in that has the word; most words say nothing.
        var evidence = Evidence.none
        enum Evidence { case none, english, spanish }
    }

    private static let slots = 1 << 15
    private let englishStemmer = Stemmer(.english)
    private let spanishStemmer = Stemmer(.spanish)
    /// By the hash of the word; a newer word takes the place of an older one. Memory: 1 MB.
    private var entries = [Entry](repeating: Entry(), count: Lexicon.slots)

    func entry(for word: UnsafeBufferPointer<UInt8>) -> Entry {
        // Two words with one 64-bit hash are taken for one word: less likely than a bit that falls over.
        let key = Term.hash(word, seed: 0) | 1
        let slot = Int(key >> 20) & (Self.slots - 1)
        if entries[slot].key != key { entries[slot] = made(word, key) }
        return entries[slot]
    }

    private func made(_ word: UnsafeBufferPointer<UInt8>, _ key: UInt64) -> Entry {
        let text = String(decoding: word, as: UTF8.self)
        var entry = Entry(key: key)
        entry.english = englishStemmer.stem(word) { Term.index($0, in: .english) }
        entry.spanish = spanishStemmer.stem(word) { Term.index($0, in: .spanish) }
        entry.isEnglishStopWord = StopWords.english.contains(text)
        entry.isSpanishStopWord = StopWords.spanish.contains(text)
        if entry.isEnglishStopWord != entry.isSpanishStopWord {
            entry.evidence =
                entry.isEnglishStopWord ? .english : StopWords.initialisms.contains(text) ? .none : .spanish
        }
        return entry
    }
}
