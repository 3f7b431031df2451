/// Strict percent-decoding. Source: RFC 3986, section 2.1.
enum PercentEncoding {
    /// `nil` for a broken escape, an encoded NUL or bytes that are no UTF-8 (overlong forms among them).
    static func decoded(_ bytes: some Collection<UInt8>, plusIsSpace: Bool = false) -> String? {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var iterator = bytes.makeIterator()
        while let byte = iterator.next() {
            guard byte == UInt8(ascii: "%") else {
                decoded.append(plusIsSpace && byte == UInt8(ascii: "+") ? 0x20 : byte)
                continue
            }
            guard let high = iterator.next().flatMap(ASCII.hexDigit), let low = iterator.next().flatMap(ASCII.hexDigit),
                high << 4 | low != 0
            else { return nil }
            decoded.append(high << 4 | low)
        }
        return String(validating: decoded, as: UTF8.self)
    }

    /// A part of a query that the parser has accepted.
    static func decodedQuery(_ bytes: some Collection<UInt8>) -> String {
        decoded(bytes, plusIsSpace: true) ?? String(decoding: Array(bytes), as: UTF8.self)
    }
}
