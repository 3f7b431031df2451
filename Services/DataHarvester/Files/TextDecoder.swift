import Datasources

/// Turns a file's bytes, which come in parts, into UTF-8. What cannot be decoded becomes the byte FF, which is in no UTF-8, so that
/// the row with it fails and the others do not.
struct TextDecoder: Sendable {
    let encoding: FileSettings.Encoding
    private var carry: [UInt8] = []
    private var isAtStart = true

    /// `start`: the first bytes of the file. A byte order mark wins over `given`; without either it is UTF-8, or UTF-16 where every
    /// other byte is zero.
    init(given: FileSettings.Encoding?, start: [UInt8]) {
        encoding = Self.detect(start) ?? (given == .utf16 ? .utf16LittleEndian : given) ?? Self.guess(start)
    }

    private static func detect(_ start: [UInt8]) -> FileSettings.Encoding? {
        if start.starts(with: [0xEF, 0xBB, 0xBF]) { return .utf8 }
        if start.starts(with: [0xFF, 0xFE]) { return .utf16LittleEndian }
        if start.starts(with: [0xFE, 0xFF]) { return .utf16BigEndian }
        return nil
    }

    private static func guess(_ start: [UInt8]) -> FileSettings.Encoding {
        let sample = start.prefix(200)
        guard sample.count >= 8 else { return .utf8 }
        let zeros = [0, 1].map { parity in sample.indices.filter { $0 % 2 == parity && sample[$0] == 0 }.count }
        if zeros[1] > sample.count * 2 / 5, zeros[0] == 0 { return .utf16LittleEndian }
        if zeros[0] > sample.count * 2 / 5, zeros[1] == 0 { return .utf16BigEndian }
        return .utf8
    }

    mutating func decode(_ bytes: [UInt8]) -> [UInt8] {
        switch encoding {
        case .utf8:
            defer { isAtStart = false }
            return isAtStart && bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
        case .latin1, .windows1252: return decodeSingle(bytes)
        case .utf16, .utf16LittleEndian: return decodeUTF16(bytes, isLittle: true)
        case .utf16BigEndian: return decodeUTF16(bytes, isLittle: false)
        }
    }

    /// What is left at the end of the file: half a character.
    mutating func finish() -> [UInt8] { carry.isEmpty ? [] : [0xFF] }

    private func decodeSingle(_ bytes: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count + bytes.count / 8)
        for byte in bytes {
            if byte < 0x80 {
                text.append(byte)
            } else if encoding == .windows1252, byte < 0xA0 {
                let scalar = Self.windows1252[Int(byte) - 0x80]
                if scalar == 0 { text.append(0xFF) } else { Self.append(scalar, to: &text) }
            } else {
                Self.append(UInt32(byte), to: &text)
            }
        }
        return text
    }

    private mutating func decodeUTF16(_ part: [UInt8], isLittle: Bool) -> [UInt8] {
        let bytes = carry.isEmpty ? part : carry + part
        carry = []
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count)
        var index = 0
        func unit(_ index: Int) -> UInt32 {
            let (first, second) = (UInt32(bytes[index]), UInt32(bytes[index + 1]))
            return isLittle ? second << 8 | first : first << 8 | second
        }
        while index + 1 < bytes.count {
            let first = unit(index)
            switch first {
            case 0xFEFF where isAtStart: break
            case 0xD800..<0xDC00:
                guard index + 3 < bytes.count else {
                    carry = Array(bytes[index...])
                    return text
                }
                let second = unit(index + 2)
                if (0xDC00..<0xE000).contains(second) {
                    Self.append(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00), to: &text)
                    index += 2
                } else {
                    text.append(0xFF)
                }
            case 0xDC00..<0xE000: text.append(0xFF)
            default: Self.append(first, to: &text)
            }
            isAtStart = false
            index += 2
        }
        if index < bytes.count { carry = [bytes[index]] }
        return text
    }

    private static func append(_ scalar: UInt32, to text: inout [UInt8]) {
        switch scalar {
        case 0..<0x80: text.append(UInt8(scalar))
        case 0x80..<0x800: text += [UInt8(0xC0 | scalar >> 6), UInt8(0x80 | scalar & 63)]
        case 0x800..<0x10000:
            text += [UInt8(0xE0 | scalar >> 12), UInt8(0x80 | scalar >> 6 & 63), UInt8(0x80 | scalar & 63)]
        default:
            text += [
                UInt8(0xF0 | scalar >> 18), UInt8(0x80 | scalar >> 12 & 63), UInt8(0x80 | scalar >> 6 & 63),
                UInt8(0x80 | scalar & 63),
            ]
        }
    }

    /// 0x80 to 0x9F; 0 where the code page has no character. Source: WHATWG Encoding, index windows-1252 (without its C1 fillers).
    private static let windows1252: [UInt32] = [
        0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017D, 0,
        0, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0, 0x017E,
        0x0178,
    ]
}
