import Foundation

/// What BERT's normalizer and pre-tokenizer make of one character: dropped, a space, a token of its own, or letters, after
/// canonical decomposition, without combining marks, in lower case.
struct CharacterFolding: Sendable {
    enum Kind: UInt8, Sendable {
        case space
        /// Punctuation and CJK characters: always a word of their own.
        case alone
        case letter
    }
    private struct Folded: Sendable {
        var kind: Kind
        var scalar: Unicode.Scalar
    }
    private static let tableSize: UInt32 = 0x530  // Latin, Greek, Cyrillic
    private let lowercases: Bool
    /// The first folded character of each scalar below `tableSize`; `rest` has those that become none or several.
    private let simple: [Folded?]

    init(lowercases: Bool) {
        self.lowercases = lowercases
        simple = (0..<Self.tableSize).map { value in
            guard let scalar = Unicode.Scalar(value) else { return nil }
            let folded = Self.folded(scalar, lowercases: lowercases)
            return folded.count == 1 ? folded[0] : nil
        }
    }

    @inline(__always)
    func fold(_ scalar: Unicode.Scalar, _ body: (Kind, Unicode.Scalar) -> Void) {
        if scalar.value < Self.tableSize, let folded = simple[Int(scalar.value)] {
            return body(folded.kind, folded.scalar)
        }
        for folded in Self.folded(scalar, lowercases: lowercases) { body(folded.kind, folded.scalar) }
    }

    private static func folded(_ scalar: Unicode.Scalar, lowercases: Bool) -> [Folded] {
        if isDropped(scalar) { return [] }
        if isSpace(scalar) { return [Folded(kind: .space, scalar: " ")] }
        let isAlone = isIdeograph(scalar)
        var result: [Folded] = []
        for part in lowercases ? Array(String(scalar).decomposedStringWithCanonicalMapping.unicodeScalars) : [scalar] {
            if lowercases && category(of: part) == .nonspacingMark { continue }
            for letter in lowercases ? Array(part.properties.lowercaseMapping.unicodeScalars) : [part] {
                let kind: Kind = isSpace(letter) ? .space : isAlone || isPunctuation(letter) ? .alone : .letter
                result.append(Folded(kind: kind, scalar: letter))
            }
        }
        return result
    }

    /// As the reference has it: its tables are Unicode 8, and what they do not know is a letter.
    private static func category(of scalar: Unicode.Scalar) -> Unicode.GeneralCategory {
        guard let age = scalar.properties.age, age.major <= 8 else { return .otherLetter }
        return scalar.properties.generalCategory
    }

    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isWhitespace }

    private static func isDropped(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "\t", "\n", "\r": return false
        case "\0", "\u{FFFD}": return true
        default:
            switch category(of: scalar) {
            case .control, .format, .privateUse: return true
            default: return false
            }
        }
    }

    private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 33...47, 58...64, 91...96, 123...126: return true
        default:
            switch category(of: scalar) {
            case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
                .finalPunctuation, .otherPunctuation:
                return true
            default: return false
            }
        }
    }

    private static func isIdeograph(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
            0x2B920...0x2CEAF,
            0xF900...0xFAFF, 0x2F800...0x2FA1F:
            return true
        default: return false
        }
    }
}
