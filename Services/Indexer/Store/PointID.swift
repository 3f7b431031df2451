import CVectorKernel
import WireProtocol

/// A point's id as Qdrant has it: an unsigned 64-bit number or a UUID. Numbers sort before UUIDs.
struct PointID: Sendable, Hashable {
    private(set) var high: UInt64
    private(set) var low: UInt64
    private(set) var kind: UInt32  // 0 number, 1 UUID, as in `vector_slot`

    init(number: UInt64) {
        high = 0
        low = number
        kind = 0
    }
    init(uuidHigh high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
        kind = 1
    }
    init(_ slot: vector_slot) {
        high = slot.id_high
        low = slot.id_low
        kind = slot.id_kind
    }
    init(kind: UInt32, high: UInt64, low: UInt64) {
        self.kind = kind
        self.high = high
        self.low = low
    }

    /// 32 hex digits, with or without hyphens at the usual places; with them also in braces or behind `urn:uuid:`.
    init?(uuid text: String) {
        var digits = Array((text.hasPrefix("urn:uuid:") ? text.dropFirst(9) : Substring(text)).utf8)
        if digits.count == 38, digits.first == UInt8(ascii: "{"), digits.last == UInt8(ascii: "}") {
            digits = Array(digits[1..<37])
        }
        if digits.count == 36 {
            guard [8, 13, 18, 23].allSatisfy({ digits[$0] == UInt8(ascii: "-") }) else { return nil }
            digits.removeAll { $0 == UInt8(ascii: "-") }
        }
        guard digits.count == 32 else { return nil }
        var halves: [UInt64] = [0, 0]
        for (index, digit) in digits.enumerated() {
            let value: UInt8
            switch digit {
            case 48...57: value = digit - 48
            case 65...70: value = digit - 55
            case 97...102: value = digit - 87
            default: return nil
            }
            halves[index / 16] = halves[index / 16] << 4 | UInt64(value)
        }
        self.init(uuidHigh: halves[0], low: halves[1])
    }

    /// A path segment: digits or a UUID.
    init?(text: String) {
        if let number = UInt64(text) { self.init(number: number) } else { self.init(uuid: text) }
    }

    init?(_ value: JSONValue) {
        switch value {
        case .integer(let number) where number >= 0: self.init(number: UInt64(number))
        case .unsigned(let number): self.init(number: number)
        case .string(let text): self.init(uuid: text)
        default: return nil
        }
    }

    var slot: vector_slot {
        var slot = vector_slot()
        slot.id_high = high
        slot.id_low = low
        slot.id_kind = kind
        return slot
    }

    /// A number as digits, a UUID in lower case with hyphens.
    var text: String {
        guard kind == 1 else { return String(low) }
        let digits = Self.hex(high) + Self.hex(low)
        var text = ""
        for (index, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(index) { text.append("-") }
            text.append(digit)
        }
        return text
    }
    private static func hex(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    var json: JSONValue {
        if kind == 1 { return .string(text) }
        return Int64(exactly: low).map { .integer($0) } ?? .unsigned(low)
    }
}

extension PointID: Comparable, CustomStringConvertible {
    static func < (left: PointID, right: PointID) -> Bool {
        (left.kind, left.high, left.low) < (right.kind, right.high, right.low)
    }
    var description: String { text }
}
