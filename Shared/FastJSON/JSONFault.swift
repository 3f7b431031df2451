/// Where a text stops being JSON (RFC 8259). Looked for only when a text was refused: simdjson does not say where.
package struct JSONFault: Equatable, Sendable {
    /// `points[0].vector[2]`, or `body` at the top.
    package private(set) var path: String
    /// Units: bytes before it.
    package private(set) var offset: Int
    package var reason: String { "is not valid JSON (at byte \(offset))" }

    /// `nil` where the fault is none of form: bytes that are no UTF-8, half a surrogate pair, more levels than are read.
    package init?(in bytes: [UInt8]) {
        var scanner = Scanner(bytes: bytes)
        guard let offset = scanner.firstFault() else { return nil }
        self.offset = offset
        path = scanner.path
    }
}

/// Goes over a text without building anything; its stack says where it is.
private struct Scanner {
    private enum Container {
        case array(index: Int)
        /// The bytes of the member's name, as they are written.
        case object(name: Range<Int>)
    }

    let bytes: [UInt8]
    private var position = 0
    private var stack: [Container] = []

    init(bytes: [UInt8]) { self.bytes = bytes }

    var path: String {
        var path = ""
        for container in stack {
            switch container {
            case .array(let index): path += "[\(index)]"
            case .object(let name):
                path += path.isEmpty ? "" : "."
                path += String(decoding: bytes[name].prefix(64), as: UTF8.self)
            }
        }
        return path.isEmpty ? "body" : path
    }

    mutating func firstFault() -> Int? {
        while true {
            // At the beginning of a value.
            skipSpace()
            if stack.count > JSONReader.defaultMaximumDepth { return nil }
            switch next {
            case UInt8(ascii: "["):
                position += 1
                stack.append(.array(index: 0))
                skipSpace()
                if next != UInt8(ascii: "]") { continue }
            case UInt8(ascii: "{"):
                position += 1
                stack.append(.object(name: 0..<0))
                skipSpace()
                if next != UInt8(ascii: "}") {
                    guard readName() else { return position }
                    continue
                }
            case UInt8(ascii: "\""):
                guard readString() != nil else { return position }
            default:
                let start = position
                guard readWord() else { return start }
            }
            // Behind a value, or before the end of an empty container.
            while true {
                skipSpace()
                guard let container = stack.last else { return position == bytes.count ? nil : position }
                switch (container, next) {
                case (.array(let index), UInt8(ascii: ",")): stack[stack.count - 1] = .array(index: index + 1)
                case (.object, UInt8(ascii: ",")): break
                case (.array, UInt8(ascii: "]")), (.object, UInt8(ascii: "}")):
                    position += 1
                    stack.removeLast()
                    continue
                default: return position
                }
                position += 1
                break
            }
            if case .object? = stack.last {
                skipSpace()
                guard readName() else { return position }
            }
        }
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    /// A member's name and its colon.
    private mutating func readName() -> Bool {
        guard next == UInt8(ascii: "\""), let name = readString() else { return false }
        stack[stack.count - 1] = .object(name: name)
        skipSpace()
        guard next == UInt8(ascii: ":") else { return false }
        position += 1
        return true
    }

    /// What stands between the quotes; `nil` at a fault, with `position` there.
    private mutating func readString() -> Range<Int>? {
        position += 1
        let start = position
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                return start..<position - 1
            case UInt8(ascii: "\\"):
                let escape = position + 1 < bytes.count ? bytes[position + 1] : 0
                let digits = escape == UInt8(ascii: "u") ? 4 : 0
                guard "\"\\/bfnrtu".utf8.contains(escape), position + 2 + digits <= bytes.count,
                    bytes[position + 2..<position + 2 + digits].allSatisfy({ Character(UnicodeScalar($0)).isHexDigit })
                else { return nil }
                position += 2 + digits
            case 0..<0x20: return nil
            default: position += 1
            }
        }
        return nil
    }

    /// `true`, `false`, `null` or a number that a program can hold.
    private mutating func readWord() -> Bool {
        let start = position
        if next == UInt8(ascii: "-") || next.map(Self.isDigit) == true { return readNumber() }
        while let byte = next, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) { position += 1 }
        return ["true", "false", "null"].contains(String(decoding: bytes[start..<position], as: UTF8.self))
    }

    private mutating func readNumber() -> Bool {
        let start = position
        if next == UInt8(ascii: "-") { position += 1 }
        if next == UInt8(ascii: "0") { position += 1 } else if !readDigits() { return false }
        var isWhole = true
        if next == UInt8(ascii: ".") {
            position += 1
            isWhole = false
            if !readDigits() { return false }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            position += 1
            isWhole = false
            if next == UInt8(ascii: "-") || next == UInt8(ascii: "+") { position += 1 }
            if !readDigits() { return false }
        }
        if next.map(Self.isDigit) == true { return false }  // behind a leading zero
        if isWhole && position - start < 19 { return true }
        let number = String(decoding: bytes[start..<position], as: UTF8.self)
        return isWhole ? Int64(number) != nil || UInt64(number) != nil : Double(number)?.isFinite == true
    }

    private mutating func readDigits() -> Bool {
        let start = position
        while let byte = next, Self.isDigit(byte) { position += 1 }
        return position > start
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}
