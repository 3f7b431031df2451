import WireProtocol

/// Finds where values begin and end in JSON that a program has written, without reading them: points go from one store to another
/// as the bytes they came in.
struct JSONScanner {
    private let bytes: UnsafeBufferPointer<UInt8>

    struct Broken: Error {}

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    /// Of the object that begins at `start` or after white space there.
    func members(at start: Int = 0) throws(Broken) -> [(name: String, value: Range<Int>)] {
        var members: [(String, Range<Int>)] = []
        var index = try opened(UInt8(ascii: "{"), at: start)
        while true {
            index = try skipSpace(index)
            if bytes[index] == UInt8(ascii: "}") { return members }
            let name = try value(at: index)
            guard name.count >= 2 else { throw Broken() }
            index = try skipSpace(name.upperBound)
            guard bytes[index] == UInt8(ascii: ":") else { throw Broken() }
            let value = try value(at: try skipSpace(index + 1))
            members.append(
                (String(decoding: bytes[(name.lowerBound + 1)..<(name.upperBound - 1)], as: UTF8.self), value))
            index = try next(value.upperBound, before: UInt8(ascii: "}"))
        }
    }

    /// Of the array that begins at `start` or after white space there.
    func elements(at start: Int) throws(Broken) -> [Range<Int>] {
        var elements: [Range<Int>] = []
        var index = try opened(UInt8(ascii: "["), at: start)
        while true {
            index = try skipSpace(index)
            if bytes[index] == UInt8(ascii: "]") { return elements }
            let value = try value(at: index)
            elements.append(value)
            index = try next(value.upperBound, before: UInt8(ascii: "]"))
        }
    }

    private func opened(_ bracket: UInt8, at start: Int) throws(Broken) -> Int {
        let index = try skipSpace(start)
        guard bytes[index] == bracket else { throw Broken() }
        return index + 1
    }

    /// After a comma, or at the closing bracket.
    private func next(_ start: Int, before bracket: UInt8) throws(Broken) -> Int {
        let index = try skipSpace(start)
        if bytes[index] == UInt8(ascii: ",") { return index + 1 }
        guard bytes[index] == bracket else { throw Broken() }
        return index
    }

    private func skipSpace(_ start: Int) throws(Broken) -> Int {
        var index = start
        while index < bytes.count, bytes[index] <= 0x20 { index += 1 }
        guard index < bytes.count else { throw Broken() }
        return index
    }

    private func value(at start: Int) throws(Broken) -> Range<Int> {
        var index = start
        var depth = 0
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\""):
                index += 1
                while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
                    index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1
                }
                if depth == 0 {
                    guard index < bytes.count else { throw Broken() }
                    return start..<(index + 1)
                }
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return start..<index }  // after a number or a word
                depth -= 1
                if depth == 0 { return start..<(index + 1) }
            case UInt8(ascii: ","), 0...0x20: if depth == 0 { return start..<index }
            default: break
            }
            index += 1
        }
        throw Broken()
    }
}
