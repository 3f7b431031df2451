/// Writes JSON text (RFC 8259) byte by byte, with no intermediate tree.
package struct JSONWriter: Sendable {
    package private(set) var bytes: [UInt8] = []
    private let keepsPoints: Bool
    /// `keepingPoints`: a whole number that was read with a fraction is written with it, for readers that tell 1.0 from 1.
    package init(reserving capacity: Int = 0, keepingPoints: Bool = false) {
        keepsPoints = keepingPoints
        bytes.reserveCapacity(capacity)
    }

    package mutating func raw(_ text: StaticString) {
        text.withUTF8Buffer { bytes.append(contentsOf: $0) }
    }
    package mutating func raw(_ json: [UInt8]) { bytes.append(contentsOf: json) }

    /// Object members sorted by name, so that equal values have equal bytes, whatever order a source gave.
    package mutating func write(_ value: JSONValue, sortingKeys: Bool = false) {
        switch value {
        case .null: raw("null")
        case .bool(let value): value ? raw("true") : raw("false")
        case .integer(let value): write(value)
        case .unsigned(let value): bytes.append(contentsOf: String(value).utf8)
        case .number(let value): write(value)
        case .string(let value): write(value)
        case .array(let values):
            bytes.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                write(value, sortingKeys: sortingKeys)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let object): write(object, sortingKeys: sortingKeys)
        }
    }

    package mutating func write(_ object: JSONObject, sortingKeys: Bool = false) {
        bytes.append(UInt8(ascii: "{"))
        let members = sortingKeys ? object.members.sorted { $0.name < $1.name } : object.members
        for (index, member) in members.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            write(member.name)
            bytes.append(UInt8(ascii: ":"))
            write(member.value, sortingKeys: sortingKeys)
        }
        bytes.append(UInt8(ascii: "}"))
    }

    package mutating func write(_ value: Int64) { bytes.append(contentsOf: String(value).utf8) }

    /// The shortest text that reads back as the same number, by itself without ".0"; `null` for NaN and infinities.
    package mutating func write(_ value: Double) {
        guard value.isFinite else { return raw("null") }
        let isNegativeZero = value == 0 && value.sign == .minus
        if !keepsPoints, let whole = Int64(exactly: value), abs(whole) < 1 << 53, !isNegativeZero {
            write(whole)
        } else {
            bytes.append(contentsOf: value.description.utf8)
        }
    }

    package mutating func write(_ value: Float) {
        guard value.isFinite else { return raw("null") }
        bytes.append(contentsOf: value.description.utf8)
    }

    package mutating func write(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { utf8 in
            var start = 0
            for index in 0..<utf8.count {
                let byte = utf8[index]
                guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else { continue }
                bytes.append(contentsOf: utf8[start..<index])
                start = index + 1
                escape(byte)
            }
            bytes.append(contentsOf: utf8[start...])
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func escape(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): raw("\\\"")
        case UInt8(ascii: "\\"): raw("\\\\")
        case 0x0A: raw("\\n")
        case 0x0D: raw("\\r")
        case 0x09: raw("\\t")
        default:
            raw("\\u00")
            for digit in [byte >> 4, byte & 15] { bytes.append(digit < 10 ? 48 + digit : 87 + digit) }
        }
    }
}

extension JSONValue {
    package var serializedBytes: [UInt8] { serializedBytes(keepingPoints: false) }
    package func serializedBytes(keepingPoints: Bool) -> [UInt8] {
        var writer = JSONWriter(keepingPoints: keepingPoints)
        writer.write(self)
        return writer.bytes
    }
    package var serialized: String { String(decoding: serializedBytes, as: UTF8.self) }
}
