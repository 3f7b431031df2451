import FastJSON
import Foundation
import Postgres
import WireProtocol

/// PostgreSQL's text forms as JSON values, by the type's oid. Nothing is lost: what JSON's numbers cannot hold stays text.
enum PostgreSQLValues {
    /// How one column is read.
    enum Reading: Sendable, Equatable {
        case text, trimmedText, bool, integer, float, numeric, json, date, timestamp, bytes
        indirect case array(Reading)
    }

    static func reading(of type: UInt32) -> Reading {
        switch type {
        case 16: .bool
        case 20, 21, 23, 26: .integer
        case 700, 701: .float
        case 1700: .numeric
        case 114, 3802: .json
        case 1082: .date
        case 1114, 1184: .timestamp
        case 17: .bytes
        case 1042: .trimmedText
        case 1000: .array(.bool)
        case 1005, 1007, 1016: .array(.integer)
        case 1021, 1022: .array(.float)
        case 1231: .array(.numeric)
        case 1002, 1009, 1015, 2951, 3807, 199: .array(type == 3807 || type == 199 ? .json : .text)
        case 1014: .array(.trimmedText)
        case 1115, 1185: .array(.timestamp)
        case 1182: .array(.date)
        default: .text
        }
    }

    static func value(_ bytes: UnsafeRawBufferPointer, _ reading: Reading) -> JSONValue {
        switch reading {
        case .text, .date: return .string(text(bytes))
        case .trimmedText:
            var end = bytes.count
            while end > 0, bytes[end - 1] == 0x20 { end -= 1 }
            return .string(text(UnsafeRawBufferPointer(rebasing: bytes[..<end])))
        case .bool: return .bool(bytes.first == UInt8(ascii: "t"))
        case .integer: return integer(bytes).map(JSONValue.integer) ?? .string(text(bytes))
        case .float:
            guard let number = Double(text(bytes)), number.isFinite else { return .null }
            return .number(number)
        case .numeric: return numeric(bytes)
        case .json:
            guard let value = try? JSONReader.parse(bytes) else { return .string(text(bytes)) }
            return value
        case .timestamp: return .string(timestamp(bytes))
        case .bytes: return .string(base64(bytes))
        case .array(let element): return array(bytes, element)
        }
    }

    private static func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

    private static func integer(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        var (value, index): (Int64, Int) = (0, 0)
        let isNegative = bytes.first == UInt8(ascii: "-")
        if isNegative { index = 1 }
        guard index < bytes.count, bytes.count - index <= 19 else { return nil }
        while index < bytes.count {
            guard (48...57).contains(bytes[index]) else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.subtractingReportingOverflow(Int64(bytes[index] - 48))
            guard !overflow, !carry else { return nil }
            value = sum
            index += 1
        }
        return isNegative ? value : value == .min ? nil : -value
    }

    /// A number where a double holds all its digits (at most 15), else its text.
    private static func numeric(_ bytes: UnsafeRawBufferPointer) -> JSONValue {
        if let whole = integer(bytes) { return .integer(whole) }
        var (digits, isLeading) = (0, true)
        for byte in bytes where byte != UInt8(ascii: "-") && byte != UInt8(ascii: ".") {
            guard (48...57).contains(byte) else { return .null }  // NaN, Infinity
            if isLeading, byte == 48 { continue }
            isLeading = false
            digits += 1
        }
        let text = text(bytes)
        // Zeros at the end are digits that a double need not hold.
        guard digits > 15 else { return Double(text).map(JSONValue.number) ?? .string(text) }
        let trimmed = bytes.contains(UInt8(ascii: ".")) ? text.reversed().prefix { $0 == "0" }.count : 0
        guard digits - trimmed <= 15, let number = Double(text) else { return .string(text) }
        return .number(number)
    }

    /// `2024-01-31 12:00:00.5+00` as RFC 3339; the sessions are in UTC, and a time without a zone is taken as UTC.
    private static func timestamp(_ bytes: UnsafeRawBufferPointer) -> String {
        guard bytes.count >= 19, bytes[4] == UInt8(ascii: "-"), bytes[10] == 0x20, bytes.last != UInt8(ascii: "C")
        else {
            return text(bytes)
        }
        var end = bytes.count
        if end >= 22, bytes[end - 3] == UInt8(ascii: "+") || bytes[end - 3] == UInt8(ascii: "-") { end -= 3 }
        return String(unsafeUninitializedCapacity: end + 1) { buffer in
            for index in 0..<end { buffer[index] = bytes[index] }
            buffer[10] = UInt8(ascii: "T")
            buffer[end] = UInt8(ascii: "Z")
            return end + 1
        }
    }

    /// `\x0a0b` as base64.
    private static func base64(_ bytes: UnsafeRawBufferPointer) -> String {
        var plain: [UInt8] = []
        plain.reserveCapacity(bytes.count / 2)
        func digit(_ byte: UInt8) -> UInt8 { byte <= 57 ? byte - 48 : byte - 87 }
        var index = 2
        while index + 1 < bytes.count {
            plain.append(digit(bytes[index]) << 4 | digit(bytes[index + 1]))
            index += 2
        }
        return Data(plain).base64EncodedString()
    }

    /// `{1,NULL,"a, b",{2}}`; a text where it has bounds of its own (`[0:1]={...}`).
    private static func array(_ bytes: UnsafeRawBufferPointer, _ element: Reading) -> JSONValue {
        var index = 0
        guard bytes.first == UInt8(ascii: "{"), let value = elements(bytes, &index, element), index == bytes.count
        else {
            return .string(text(bytes))
        }
        return value
    }

    private static func elements(_ bytes: UnsafeRawBufferPointer, _ index: inout Int, _ element: Reading) -> JSONValue?
    {
        index += 1
        var values: [JSONValue] = []
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "}"):
                index += 1
                return .array(values)
            case UInt8(ascii: ","): index += 1
            case UInt8(ascii: "{"):
                guard let nested = elements(bytes, &index, element) else { return nil }
                values.append(nested)
            case UInt8(ascii: "\""):
                index += 1
                var content: [UInt8] = []
                while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
                    if bytes[index] == UInt8(ascii: "\\") { index += 1 }
                    if index < bytes.count { content.append(bytes[index]) }
                    index += 1
                }
                index += 1
                values.append(content.withUnsafeBytes { value($0, element) })
            default:
                let start = index
                while index < bytes.count, bytes[index] != UInt8(ascii: ","), bytes[index] != UInt8(ascii: "}") {
                    index += 1
                }
                let content = UnsafeRawBufferPointer(rebasing: bytes[start..<index])
                values.append(content.elementsEqual("NULL".utf8) ? .null : value(content, element))
            }
        }
        return nil
    }
}
