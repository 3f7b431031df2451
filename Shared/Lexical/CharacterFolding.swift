import Foundation

/// What the tokenizer makes of one character: lower case without accents, and whether it is a part of a word.
enum CharacterFolding {
    enum Kind: UInt8 {
        case separator, letter, digit
        /// Holds words together when it stands between two of their characters: `-`, `/`, `.`, `_`, `'`, `,`.
        case connector
        /// A combining mark, a soft hyphen: as if it were not there.
        case nothing
        /// `"` and its like: inches, behind a number.
        case inches
    }

    /// By ASCII byte.
    static let ascii: [Kind] = (UInt8(0)..<128).map { byte in
        switch byte {
        case 48...57: .digit
        case 65...90, 97...122: .letter
        case UInt8(ascii: "\""): .inches
        default: "-/._',".utf8.contains(byte) ? .connector : .separator
        }
    }

    /// A character outside ASCII. `bytes`: what stands for it in a term, UTF-8; empty for all but letters, digits and connectors.
    struct Folded: Sendable {
        var kind: Kind
        var bytes: [UInt8] = []
        /// Written in Spanish and hardly ever in English: ñ, á, é, í, ó, ú.
        var isSpanish = false
    }

    private static let tableSize: UInt32 = 0x530  // Latin, Greek, Cyrillic
    private static let table: [Folded] = (0..<tableSize).map { value in
        Unicode.Scalar(value).map(folded) ?? Folded(kind: .separator)
    }

    static func fold(_ scalar: Unicode.Scalar) -> Folded {
        scalar.value < tableSize ? table[Int(scalar.value)] : folded(scalar)
    }

    /// A letter as it is compared: lower case, without accent; none for what is no letter or digit.
    static func letters(of scalar: Unicode.Scalar) -> [Character] {
        let bytes: [UInt8]
        if scalar.isASCII {
            let byte = UInt8(scalar.value)
            bytes = ascii[Int(byte)] == .letter ? [byte | 0x20] : ascii[Int(byte)] == .digit ? [byte] : []
        } else {
            let folded = fold(scalar)
            bytes = folded.kind == .letter || folded.kind == .digit ? folded.bytes : []
        }
        return Array(String(decoding: bytes, as: UTF8.self))
    }

    private static func folded(_ scalar: Unicode.Scalar) -> Folded {
        switch scalar {
        case "\u{201D}", "\u{2033}", "\u{FF02}": return Folded(kind: .inches)
        case "\u{2019}", "\u{02BC}": return Folded(kind: .connector, bytes: Array("'".utf8))
        case "\u{2010}", "\u{2011}", "\u{2212}": return Folded(kind: .connector, bytes: Array("-".utf8))
        case "\u{AD}", "\u{200B}", "\u{200C}", "\u{200D}", "\u{FEFF}": return Folded(kind: .nothing)
        case "×": return Folded(kind: .letter, bytes: Array("x".utf8))
        case "ß", "ẞ": return Folded(kind: .letter, bytes: Array("ss".utf8))
        case "æ", "Æ": return Folded(kind: .letter, bytes: Array("ae".utf8))
        case "œ", "Œ": return Folded(kind: .letter, bytes: Array("oe".utf8))
        case "ø", "Ø": return Folded(kind: .letter, bytes: Array("o".utf8))
        case "đ", "Đ": return Folded(kind: .letter, bytes: Array("d".utf8))
        case "ł", "Ł": return Folded(kind: .letter, bytes: Array("l".utf8))
        case "µ": return Folded(kind: .letter, bytes: Array("u".utf8))
        default: break
        }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark: return Folded(kind: .nothing)
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber,
            .letterNumber, .otherNumber:
            break
        default: return Folded(kind: .separator)
        }
        var bytes: [UInt8] = []
        for part in String(scalar).decomposedStringWithCompatibilityMapping.unicodeScalars
        where part.properties.generalCategory != .nonspacingMark {
            bytes += part.properties.lowercaseMapping.utf8
        }
        bytes.removeAll { $0 == 0x20 }
        let isNumber = !bytes.isEmpty && bytes.allSatisfy { (48...57).contains($0) }
        return Folded(
            kind: isNumber ? .digit : .letter, bytes: bytes,
            isSpanish: "ñáéíóúÑÁÉÍÓÚ".unicodeScalars.contains(scalar))
    }
}
