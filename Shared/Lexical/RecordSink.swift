/// Gathers the terms of one record, field by field, and weighs them.
struct RecordSink: Tokenizer.Sink {
    private struct Occurrence {
        var english: UInt32
        var spanish: UInt32
        var isEnglishStopWord = false
        var isSpanishStopWord = false
        var countsForLength = true
    }
    private struct FieldText {
        var kind: FieldKind
        var start: Int
        var evidence = Evidence()
    }
    /// Words that are of one language alone. A name, a model or a single foreign word is no evidence, so Spanish needs two different
    /// ones: what is taken for Spanish by mistake has terms that hardly another record has, and stands before all others.
    private struct Evidence {
        private var english = 0
        private var spanish = 0
        private var first: UInt32?
        private var hasTwo = false
        var isEnglish: Bool { english > spanish }
        var isSpanish: Bool { hasTwo && spanish > english }

        mutating func addEnglish() { english += 1 }

        mutating func add(spanish word: UInt32) {
            spanish += 1
            if let first { hasTwo = hasTwo || first != word } else { first = word }
        }

        mutating func add(_ other: Evidence) {
            english += other.english
            spanish += other.spanish
            hasTwo = hasTwo || other.hasTwo || first != nil && other.first != nil && first != other.first
            if first == nil { first = other.first }
        }
    }
    private var lexicon: Lexicon?
    private var occurrences: [Occurrence] = []
    private var fields: [FieldText] = []
    private var weighted: [(term: UInt32, frequency: Float)] = []

    mutating func reset() {
        occurrences.removeAll(keepingCapacity: true)
        fields.removeAll(keepingCapacity: true)
        weighted.removeAll(keepingCapacity: true)
    }

    mutating func begin(_ kind: FieldKind, _ lexicon: Lexicon) {
        self.lexicon = lexicon
        fields.append(FieldText(kind: kind, start: occurrences.count))
    }

    mutating func word(
        _ bytes: UnsafeBufferPointer<UInt8>, _ role: Tokenizer.Role, isSpanish: Bool, at place: Range<Int>
    ) {
        guard let entry = lexicon?.entry(for: bytes) else { return }
        if role == .token {
            if isSpanish || entry.evidence == .spanish {
                fields[fields.count - 1].evidence.add(spanish: entry.spanish)
            } else if entry.evidence == .english {
                fields[fields.count - 1].evidence.addEnglish()
            }
        }
        occurrences.append(
            Occurrence(
                english: entry.english, spanish: entry.spanish, isEnglishStopWord: entry.isEnglishStopWord,
                isSpanishStopWord: entry.isSpanishStopWord, countsForLength: role == .token))
    }

    mutating func code(_ bytes: UnsafeBufferPointer<UInt8>, _ role: Tokenizer.Role, at place: Range<Int>) {
        let term = Term.index(bytes, in: .code)
        occurrences.append(Occurrence(english: term, spanish: term, countsForLength: role != .part))
    }

    /// A field is Spanish when its words say so clearly, or say nothing and those of the whole record do.
    mutating func terms(_ weighting: Weighting) -> LexicalAnalyzer.Terms {
        var record = Evidence()
        for field in fields { record.add(field.evidence) }
        for (number, field) in fields.enumerated() {
            let end = number + 1 < fields.count ? fields[number + 1].start : occurrences.count
            let isSpanish = field.evidence.isSpanish || !field.evidence.isEnglish && record.isSpanish
            add(occurrences[field.start..<end], isSpanish: isSpanish, weighting[field.kind])
        }
        weighted.sort { $0.term < $1.term }
        var terms = LexicalAnalyzer.Terms()
        terms.indices.reserveCapacity(weighted.count)
        terms.values.reserveCapacity(weighted.count)
        var position = 0
        while position < weighted.count {
            let term = weighted[position].term
            var frequency: Float = 0
            while position < weighted.count, weighted[position].term == term {
                frequency += weighted[position].frequency
                position += 1
            }
            terms.indices.append(term)
            terms.values.append(frequency * (weighting.k1 + 1) / (frequency + weighting.k1))
        }
        return terms
    }

    private mutating func add(_ found: ArraySlice<Occurrence>, isSpanish: Bool, _ field: Weighting.Field) {
        func isStopWord(_ word: Occurrence) -> Bool { isSpanish ? word.isSpanishStopWord : word.isEnglishStopWord }
        let length = found.count { $0.countsForLength && !isStopWord($0) }
        let norm = 1 - field.b + field.b * Float(length) / field.averageLength
        let frequency = field.boost / norm
        for occurrence in found where !isStopWord(occurrence) {
            weighted.append((isSpanish ? occurrence.spanish : occurrence.english, frequency))
        }
    }
}
