/// What a query asks of the words of records.
package struct LexicalQuery: Sendable, Equatable {
    /// All terms of the query: both stems of each word (a record has the one of its language), numbers, measures and codes.
    package var terms = LexicalAnalyzer.Terms()
    /// Those that are whole codes: what the user has copied from somewhere, and wants first. Of three characters at most only when they
    /// are written with a separator or stand alone.
    package var codes = LexicalAnalyzer.Terms()
    /// There are codes, or neighbours that may be one written apart: `AB 1234`. Three digits at least; a measure is none.
    package var mayHoldCode = false
    /// How many things are asked for: words that are no stop words, numbers with or without their units, codes. `wi-fi` is one.
    package var count = 0
    /// Written as people speak: "keeps drinks hot on my commute". What it means says more than its words.
    package var isSentence = false
    package var isEmpty: Bool { terms.indices.isEmpty }
}

extension LexicalAnalyzer {
    /// The query that `text` is. Empty when nothing in it is a word or number, or all are stop words of a language.
    package func query(_ text: String) -> LexicalQuery {
        state.withLock { state in
            var sink = QuerySink(lexicon: state.lexicon)
            var text = text
            text.withUTF8 { state.tokenizer.scan($0, into: &sink) }
            return sink.query()
        }
    }
}

/// Gathers the terms of a query.
struct QuerySink: Tokenizer.Sink {
    private struct Found {
        var bytes: [UInt8]
        var isCode: Bool
        var isStopWord: Bool
        var place: Range<Int>
    }
    let lexicon: Lexicon
    private var weights: [UInt32: Float] = [:]
    private var codes: Set<UInt32> = []
    private var shortCodes: Set<UInt32> = []
    /// What stands for itself, in order.
    private var found: [Found] = []
    /// Where the terms stand; those of one thing lie over each other.
    private var places: [Range<Int>] = []
    private var measures: [Range<Int>] = []
    private var hasParted = false

    init(lexicon: Lexicon) { self.lexicon = lexicon }

    mutating func word(
        _ bytes: UnsafeBufferPointer<UInt8>, _ role: Tokenizer.Role, isSpanish: Bool, at place: Range<Int>
    ) {
        let entry = lexicon.entry(for: bytes)
        let isStopWord = entry.isEnglishStopWord || entry.isSpanishStopWord
        if role == .token {
            found.append(Found(bytes: Array(bytes), isCode: false, isStopWord: isStopWord, place: place))
        }
        if isStopWord { return }
        places.append(place)
        add(entry.english, role)
        add(entry.spanish, role)
    }

    mutating func code(_ bytes: UnsafeBufferPointer<UInt8>, _ role: Tokenizer.Role, at place: Range<Int>) {
        let term = Term.index(bytes, in: .code)
        places.append(place)
        if role == .measure { measures.append(place) }
        add(term, role)
        if role == .code {
            // `3d`, `a4`, `mp3` are words like others, unless they are all that is asked for; `b-4` is a code.
            if bytes.count > 3 || place.count > bytes.count { codes.insert(term) } else { shortCodes.insert(term) }
        }
        if role == .code || role == .token {
            found.append(Found(bytes: Array(bytes), isCode: true, isStopWord: false, place: place))
        }
    }

    private mutating func add(_ term: UInt32, _ role: Tokenizer.Role) {
        let weight: Float = role == .part ? 0.5 : 1
        weights[term] = max(weights[term] ?? 0, weight)
    }

    /// Neighbours are asked for as one word too: `note book`, `AB 1234`, `iphone 8` where a record has `iPhone8`.
    private mutating func join() {
        for count in 2...3 where found.count >= count {
            for start in 0...(found.count - count) {
                let run = found[start..<(start + count)]
                // The whole of a code and its parts lie over each other: they are no neighbours.
                if zip(run, run.dropFirst()).contains(where: { $0.place.upperBound > $1.place.lowerBound }) { continue }
                let isCode = run.contains(where: \.isCode)
                let bytes = run.flatMap(\.bytes)
                if !isCode && (count > 2 || run.contains(where: \.isStopWord)) { continue }
                if bytes.count > Tokenizer.longestTerm { continue }
                if isCode, bytes.count(where: { (48...57).contains($0) }) >= 3, !run.contains(where: isMeasure) {
                    hasParted = true
                }
                bytes.withUnsafeBufferPointer { bytes in
                    if isCode {
                        add(Term.index(bytes, in: .code), .joined)
                    } else {
                        let entry = lexicon.entry(for: bytes)
                        add(entry.english, .joined)
                        add(entry.spanish, .joined)
                    }
                }
            }
        }
    }

    private func isMeasure(_ found: Found) -> Bool { measures.contains { $0.overlaps(found.place) } }

    mutating func query() -> LexicalQuery {
        join()
        if found.count == 1 { codes.formUnion(shortCodes) }
        var query = LexicalQuery()
        query.mayHoldCode = hasParted || !codes.isEmpty
        query.count = count
        query.isSentence = isSentence
        for (term, weight) in weights.sorted(by: { $0.key < $1.key }) {
            query.terms.indices.append(term)
            query.terms.values.append(weight)
            if codes.contains(term) {
                query.codes.indices.append(term)
                query.codes.values.append(1)
            }
        }
        return query
    }

    private var count: Int {
        var count = 0
        var end = Int.min
        for place in places.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if place.lowerBound >= end { count += 1 }
            end = max(end, place.upperBound)
        }
        return count
    }

    /// Two words that only stand in sentences, one in a longer query, or any small word between four others ("shoes for muddy mountain
    /// paths"), or simply many words.
    private var isSentence: Bool {
        let small = found.filter(\.isStopWord).map { String(decoding: $0.bytes, as: UTF8.self) }
        let content = found.filter { !$0.isStopWord }.map { String(decoding: $0.bytes, as: UTF8.self) }
        let spoken =
            small.count { !StopWords.connectives.contains($0) } + content.count { StopWords.spoken.contains($0) }
        return spoken >= 2 || (spoken >= 1 || !small.isEmpty) && content.count >= 4 || content.count >= 7
    }
}
