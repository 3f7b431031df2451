/// Finds the words, numbers, measures and codes of a text. Works on UTF-8 bytes; ASCII needs no decoding.
///
/// - A word is a run of letters, folded; `wi-fi` is `wi`, `fi` and `wifi`.
/// - A number keeps its decimals (`1,5` is `1.5`); one of eight digits or more (EAN) loses leading zeros and separators.
/// - A measure is a number with its unit however it is written (`12mm`, `12 mm`, `15.6"`), and the number alone.
/// - A code is anything else with a digit in it: whole, without separators (`AB-1234/X` is `ab1234x`), and its parts
///   (`ab`, `1234`; `M8x40`: `m8`, `40`; `iphone8`: `iphone`, `8`).
struct Tokenizer {
    enum Role: UInt8, Sendable {
        /// A word or number that stands for itself.
        case token
        /// A whole code: without separators, or a number of five digits or more.
        case code
        /// A number with its unit.
        case measure
        /// A part of a code or measure.
        case part
        /// Words that a hyphen joins, as one.
        case joined
    }

    /// Takes what is found. `bytes` are folded and valid during the call; `place` is where it stands in the text.
    protocol Sink {
        /// Letters only.
        mutating func word(_ bytes: UnsafeBufferPointer<UInt8>, _ role: Role, isSpanish: Bool, at place: Range<Int>)
        /// Has a digit: no language and no stem.
        mutating func code(_ bytes: UnsafeBufferPointer<UInt8>, _ role: Role, at place: Range<Int>)
    }

    private struct Atom {
        /// In `folded`.
        var start: Int
        var end: Int
        var place: Range<Int>
        var hasLetters = false
        var hasDigits = false
        var isSpanish = false
        /// Before it; 0 for the first of a chunk.
        var connector: UInt8 = 0
    }

    /// A word longer than this is known by its beginning, and a longer code only by its parts. Units: bytes.
    static let longestTerm = 64
    private static let mostAtoms = 8

    private var folded: [UInt8] = []
    private var atoms: [Atom] = []
    private var scratch: [UInt8] = []
    /// The number that a unit may follow, as it stands in terms, and where the text behind it starts.
    private var number: [UInt8] = []
    private var numberPlace = 0..<0
    private let kinds = CharacterFolding.ascii

    mutating func scan(_ text: UnsafeBufferPointer<UInt8>, into sink: inout some Sink) {
        folded.removeAll(keepingCapacity: true)
        atoms.removeAll(keepingCapacity: true)
        number.removeAll(keepingCapacity: true)
        var offset = 0
        var connector: UInt8 = 0
        var isInAtom = false
        while offset < text.count {
            let byte = text[offset]
            var width = 1
            var kind: CharacterFolding.Kind
            var isSpanish = false
            let start = folded.count
            if byte < 0x80 {
                kind = kinds[Int(byte)]
                switch kind {
                case .letter: folded.append(byte | 0x20)
                case .digit: folded.append(byte)
                case .connector: if connector == 0 { connector = byte } else { kind = .separator }
                default: break
                }
            } else {
                let scalar = Self.decode(text, at: offset)
                width = scalar.width
                let character = CharacterFolding.fold(scalar.value)
                kind = character.kind
                isSpanish = character.isSpanish
                switch kind {
                case .letter, .digit: folded.append(contentsOf: character.bytes)
                case .connector: if connector == 0 { connector = character.bytes[0] } else { kind = .separator }
                default: break
                }
            }
            switch kind {
            case .nothing: break
            case .letter, .digit:
                if kind == .digit, connector == 0x2C, isInAtom == false, atoms.last?.hasLetters == true {
                    // `red,2`: a comma holds digits together and nothing else.
                    flush(&sink, keeping: start)
                    connector = 0
                } else if kind == .letter, connector == 0x2C {
                    flush(&sink, keeping: start)
                    connector = 0
                }
                if !isInAtom {
                    if atoms.count == Self.mostAtoms { flush(&sink, keeping: start) }
                    let first = atoms.isEmpty ? 0 : atoms[atoms.count - 1].end
                    atoms.append(
                        Atom(
                            start: first, end: folded.count, place: offset..<(offset + width),
                            connector: atoms.isEmpty ? 0 : connector))
                    isInAtom = true
                    connector = 0
                }
                let last = atoms.count - 1
                atoms[last].end = folded.count
                atoms[last].place = atoms[last].place.lowerBound..<(offset + width)
                if kind == .letter { atoms[last].hasLetters = true } else { atoms[last].hasDigits = true }
                if isSpanish { atoms[last].isSpanish = true }
            case .connector:
                if isInAtom { isInAtom = false } else { connector = 0 }
            case .separator, .inches:
                flush(&sink, keeping: folded.count)
                if kind == .inches, !number.isEmpty, numberPlace.upperBound == offset {
                    measure(unit: Array("in".utf8), to: offset + width, &sink)
                }
                isInAtom = false
                connector = 0
            }
            offset += width
        }
        flush(&sink, keeping: folded.count)
    }

    /// One scalar; U+FFFD for a malformed byte.
    private static func decode(
        _ text: UnsafeBufferPointer<UInt8>, at offset: Int
    ) -> (value: Unicode.Scalar, width: Int) {
        let first = UInt32(text[offset])
        let width = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1
        guard width > 1, offset + width <= text.count else { return ("\u{FFFD}", 1) }
        var value = first & (0x7F >> UInt32(width))
        for index in 1..<width {
            guard text[offset + index] & 0xC0 == 0x80 else { return ("\u{FFFD}", 1) }
            value = value << 6 | UInt32(text[offset + index] & 0x3F)
        }
        return (Unicode.Scalar(value) ?? "\u{FFFD}", width)
    }

    // MARK: - Chunks

    /// Hands on the chunk read so far; what lies in `folded` from `kept` on belongs to the next one.
    private mutating func flush(_ sink: inout some Sink, keeping kept: Int) {
        defer {
            atoms.removeAll(keepingCapacity: true)
            folded.removeSubrange(0..<kept)
        }
        hand(on: .token, &sink)
    }

    private mutating func hand(on role: Role, _ sink: inout some Sink) {
        guard let first = atoms.first, let last = atoms.last else { return }
        let place = first.place.lowerBound..<last.place.upperBound
        if atoms.count == 1 {
            single(first, role, &sink)
        } else if !atoms.contains(where: \.hasDigits) {
            words(place, &sink)
        } else if !quantity(place, &sink) {
            code(place, &sink)
        }
    }

    private mutating func single(_ atom: Atom, _ role: Role, _ sink: inout some Sink) {
        if !atom.hasDigits {
            if !number.isEmpty, atom.place.lowerBound - numberPlace.upperBound == 1,
                atom.end - atom.start <= Units.longest, let unit = Units.canonical[Array(folded[atom.start..<atom.end])]
            {
                measure(unit: unit, to: atom.place.upperBound, &sink)
            }
            number.removeAll(keepingCapacity: true)
            return word(atom, role, &sink)
        }
        number.removeAll(keepingCapacity: true)
        if !atom.hasLetters { return whole(atom.start..<atom.end, role, at: atom.place, &sink) }
        mixed(atom, role == .token ? .code : role, &sink)
    }

    private mutating func word(_ atom: Atom, _ role: Role, _ sink: inout some Sink) {
        let isSpanish = atom.isSpanish
        folded.withUnsafeBufferPointer {
            let bytes = UnsafeBufferPointer(rebasing: $0[atom.start..<min(atom.end, atom.start + Self.longestTerm)])
            sink.word(bytes, role, isSpanish: isSpanish, at: atom.place)
        }
    }

    /// A run of digits: a unit may follow.
    private mutating func whole(_ range: Range<Int>, _ role: Role, at place: Range<Int>, _ sink: inout some Sink) {
        number.replaceSubrange(0..<number.count, with: folded[range])
        numberPlace = place
        emit(digits: number, role, at: place, &sink)
    }

    private func emit(digits: [UInt8], _ role: Role, at place: Range<Int>, _ sink: inout some Sink) {
        digits.withUnsafeBufferPointer { bytes in
            var kept = bytes
            if bytes.count >= 8, let first = bytes.firstIndex(where: { $0 != 0x30 }) {
                kept = UnsafeBufferPointer(rebasing: bytes[first...])
            }
            guard kept.count <= Self.longestTerm else { return }
            sink.code(kept, role == .token && bytes.count >= 5 ? .code : role, at: place)
        }
    }

    /// The pending number and its unit.
    private mutating func measure(unit: [UInt8], to end: Int, _ sink: inout some Sink) {
        number.append(contentsOf: unit)
        number.withUnsafeBufferPointer { sink.code($0, .measure, at: numberPlace.lowerBound..<end) }
        number.removeAll(keepingCapacity: true)
    }

    /// `wi-fi`, `men's`, `black/white`.
    private mutating func words(_ place: Range<Int>, _ sink: inout some Sink) {
        number.removeAll(keepingCapacity: true)
        for atom in atoms where !isContraction(atom) { word(atom, .token, &sink) }
        guard atoms.count <= 3, atoms.dropFirst().allSatisfy({ $0.connector == 0x2D }) else { return }
        let isSpanish = atoms.contains(where: \.isSpanish)
        let end = min(atoms[atoms.count - 1].end, Self.longestTerm)
        folded.withUnsafeBufferPointer {
            let all = UnsafeBufferPointer(rebasing: $0[atoms[0].start..<end])
            sink.word(all, .joined, isSpanish: isSpanish, at: place)
        }
    }

    /// What stands behind an apostrophe in English: `'s`, `'t`, `'ll`, `'re`, `'ve`, `'d`, `'m`.
    private func isContraction(_ atom: Atom) -> Bool {
        atom.connector == 0x27
            && ["s", "t", "ll", "re", "ve", "d", "m"].contains(
                String(decoding: folded[atom.start..<atom.end], as: UTF8.self))
    }

    /// `1.5`, `1,5`, `1,000`, `15.6in`, `2.5-inch`, `15-inch`: a number with or without its unit.
    private mutating func quantity(_ place: Range<Int>, _ sink: inout some Sink) -> Bool {
        var rest = atoms[...]
        guard let first = rest.popFirst(), !first.hasLetters, atoms.count <= 3 else { return false }
        scratch.replaceSubrange(0..<scratch.count, with: folded[first.start..<first.end])
        var whole: Int?
        var end = first.place.upperBound
        var unit: [UInt8]?
        if let next = rest.first, next.connector == 0x2E || next.connector == 0x2C {
            rest = rest.dropFirst()
            var cut = next.start
            while cut < next.end, (48...57).contains(folded[cut]) { cut += 1 }
            guard cut > next.start else { return false }
            if next.hasLetters {
                unit = Units.canonical[Array(folded[cut..<next.end])]
                if unit == nil { return false }
            }
            let digits = cut - next.start
            if next.connector == 0x2C, digits == 3, first.end - first.start <= 3, !next.hasLetters {
                scratch.append(contentsOf: folded[next.start..<cut])
            } else {
                if folded[next.start..<cut].allSatisfy({ $0 == 0x30 }) { whole = scratch.count }
                scratch.append(0x2E)
                scratch.append(contentsOf: folded[next.start..<cut])
            }
            end = next.place.upperBound
        }
        if let next = rest.popFirst() {
            guard unit == nil, next.connector == 0x2D, !next.hasDigits else { return false }
            unit = Units.canonical[Array(folded[next.start..<next.end])]
            if unit == nil { return false }
        }
        if !rest.isEmpty { return false }
        let digits = scratch
        emit(digits: digits, unit == nil ? .token : .part, at: place, &sink)
        if let whole { emit(digits: Array(digits.prefix(whole)), .part, at: place, &sink) }
        number = digits
        numberPlace = place.lowerBound..<end
        if let unit { measure(unit: unit, to: place.upperBound, &sink) }
        return true
    }

    /// Several atoms, a digit among them.
    private mutating func code(_ place: Range<Int>, _ sink: inout some Sink) {
        number.removeAll(keepingCapacity: true)
        let (start, end) = (atoms[0].start, atoms[atoms.count - 1].end)
        if atoms.count < Self.mostAtoms, end - start <= Self.longestTerm {
            if atoms.contains(where: \.hasLetters) || end - start >= 8 {
                let all = Array(folded[start..<end])
                if atoms.contains(where: \.hasLetters) {
                    all.withUnsafeBufferPointer { sink.code($0, .code, at: place) }
                } else {
                    emit(digits: all, .code, at: place, &sink)
                }
            } else {
                // `10/100`, `1-2`: without the separators it would be another number.
                scratch.removeAll(keepingCapacity: true)
                for atom in atoms {
                    if atom.connector != 0 { scratch.append(atom.connector) }
                    scratch.append(contentsOf: folded[atom.start..<atom.end])
                }
                scratch.withUnsafeBufferPointer { sink.code($0, .code, at: place) }
            }
        }
        if atoms.contains(where: { $0.connector == 0x2F }) {
            // Each side of a slash is a code, a measure or a word of its own: `2.4GHz/5GHz`.
            let all = atoms
            var start = 0
            for index in 1...all.count where index == all.count || all[index].connector == 0x2F {
                atoms = Array(all[start..<index])
                atoms[0].connector = 0
                if atoms.count > 1 || atoms[0].hasDigits || atoms[0].end - atoms[0].start > 1 { hand(on: .part, &sink) }
                start = index
            }
            atoms = all
        } else {
            for atom in atoms where atom.hasDigits || atom.end - atom.start > 1 {
                number.removeAll(keepingCapacity: true)  // `2-in-1` has no inches
                single(atom, .part, &sink)
            }
        }
        number.removeAll(keepingCapacity: true)
    }

    /// Letters and digits without a separator: `12mm`, `m8x40`, `iphone8`, `c4872a`.
    private mutating func mixed(_ atom: Atom, _ role: Role, _ sink: inout some Sink) {
        var (atom, role) = (atom, role)
        var runs = runs(of: atom)[...]
        func isDigits(_ run: Range<Int>) -> Bool { (48...57).contains(folded[run.lowerBound]) }
        // A crossing takes the part before it off; a text may be nothing but crossings.
        while true {
            let (first, second) = (runs.startIndex, runs.startIndex + 1)
            if runs.count == 2, isDigits(runs[first]), runs[second].count <= Units.longest,
                let unit = Units.canonical[Array(folded[runs[second]])]
            {
                whole(runs[first], .part, at: atom.place, &sink)
                return measure(unit: unit, to: atom.place.upperBound, &sink)
            }
            if atom.end - atom.start <= Self.longestTerm {
                folded.withUnsafeBufferPointer {
                    sink.code(UnsafeBufferPointer(rebasing: $0[atom.start..<atom.end]), role, at: atom.place)
                }
            }
            // `m8x40`, `1920x1080`, `2x32gb`
            let cross = runs.indices.dropFirst().dropLast().first {
                runs[$0].count == 1 && folded[runs[$0].lowerBound] == UInt8(ascii: "x")
                    && isDigits(runs[$0 - 1]) && isDigits(runs[$0 + 1])
            }
            guard let cross else { break }
            var left = atom
            left.end = runs[cross].lowerBound
            left.hasLetters = left.start < runs[cross - 1].lowerBound
            single(left, .part, &sink)
            number.removeAll(keepingCapacity: true)
            atom.start = runs[cross].upperBound
            runs = runs[(cross + 1)...]
            role = .part
            if runs.count == 1 { return whole(runs[cross + 1], .part, at: atom.place, &sink) }
        }
        let hasWord = runs.contains { !isDigits($0) && $0.count >= 3 }
        for run in runs where isDigits(run) ? run.count >= 3 || hasWord && runs.count == 2 : run.count >= 3 {
            var part = atom
            (part.start, part.end) = (run.lowerBound, run.upperBound)
            if isDigits(run) { whole(run, .part, at: atom.place, &sink) } else { word(part, .part, &sink) }
        }
        number.removeAll(keepingCapacity: true)
    }

    /// Of digits and of letters, in turns.
    private func runs(of atom: Atom) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        for index in atom.start..<atom.end {
            let isDigit = (48...57).contains(folded[index])
            if let last = runs.last, (48...57).contains(folded[last.lowerBound]) == isDigit {
                runs[runs.count - 1] = last.lowerBound..<(index + 1)
            } else {
                runs.append(index..<(index + 1))
            }
        }
        return runs
    }
}
