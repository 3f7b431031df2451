/// Header fields in their order, names compared without case.
///
/// All bytes lie in one array with an index beside it: a request's fields cost two allocations however many they are.
/// Invariant: no name holds anything but token characters, no value a control character. Whatever a caller appends is
/// cleaned here, so that text from outside cannot end a header line.
package struct HTTPFields: Sendable {
    struct Slot {
        var nameStart: UInt32
        var nameCount: UInt32
        var valueStart: UInt32
        var valueCount: UInt32
        var name: Range<Int> { Int(nameStart)..<Int(nameStart + nameCount) }
        var value: Range<Int> { Int(valueStart)..<Int(valueStart + valueCount) }
    }
    private(set) var bytes: [UInt8] = []
    private(set) var slots: [Slot] = []

    package init() {}

    /// For the parser, which has checked the bytes.
    init(bytes: [UInt8], slots: [Slot]) {
        self.bytes = bytes
        self.slots = slots
    }

    /// The first value of that name; setting replaces all of them.
    package subscript(name: String) -> String? {
        get { firstIndex(of: name).map { text(slots[$0].value) } }
        set {
            slots = slots.filter { !matches($0, name) }
            if let newValue { append(name, newValue) }
        }
    }

    package func all(_ name: String) -> [String] { slots.filter { matches($0, name) }.map { text($0.value) } }
    package func contains(_ name: String) -> Bool { firstIndex(of: name) != nil }

    /// Control characters in `value` become spaces; a name that is no token is not sent at all.
    package mutating func append(_ name: String, _ value: String) {
        guard !name.isEmpty, name.utf8.allSatisfy(ASCII.isToken) else { return }
        let nameStart = bytes.count
        bytes.append(contentsOf: name.utf8)
        let valueStart = bytes.count
        bytes.append(contentsOf: value.utf8)
        for index in valueStart..<bytes.count where !ASCII.isValue(bytes[index]) { bytes[index] = 0x20 }
        slots.append(
            Slot(
                nameStart: UInt32(nameStart), nameCount: UInt32(valueStart - nameStart), valueStart: UInt32(valueStart),
                valueCount: UInt32(bytes.count - valueStart)))
    }

    func text(_ range: Range<Int>) -> String {
        bytes.withUnsafeBufferPointer { String(decoding: $0.slice(range), as: UTF8.self) }
    }

    private func firstIndex(of name: String) -> Int? { slots.firstIndex { matches($0, name) } }

    private func matches(_ slot: Slot, _ name: String) -> Bool {
        guard Int(slot.nameCount) == name.utf8.count else { return false }
        return bytes.withUnsafeBufferPointer { bytes in
            var index = Int(slot.nameStart)
            for byte in name.utf8 {
                if ASCII.lowercased(bytes[index]) != ASCII.lowercased(byte) { return false }
                index += 1
            }
            return true
        }
    }
}

extension HTTPFields: ExpressibleByDictionaryLiteral, Sequence {
    package init(dictionaryLiteral elements: (String, String)...) {
        for (name, value) in elements { append(name, value) }
    }
    package init(_ fields: [(String, String)]) {
        for (name, value) in fields { append(name, value) }
    }
    package func makeIterator() -> AnyIterator<(name: String, value: String)> {
        var index = 0
        return AnyIterator {
            guard index < slots.count else { return nil }
            defer { index += 1 }
            return (text(slots[index].name), text(slots[index].value))
        }
    }
}
