/// What stands between method and version in a request line. Source: RFC 9112, section 3.2.
struct RequestTarget {
    /// Percent-decoded.
    var path: String
    /// The path as sent, when it has escapes: an encoded slash does not divide segments.
    var rawPath: String?

    init(_ text: String) throws(HTTPParseError) {
        var text = text
        let result = text.withUTF8 { Self.parse($0) }
        switch result {
        case .success(let target): self = target
        case .failure(let error): throw error
        }
    }

    init(_ bytes: UnsafeBufferPointer<UInt8>) throws(HTTPParseError) {
        self = try Self.parse(bytes).get()
    }

    private init(path: String, rawPath: String?) {
        self.path = path
        self.rawPath = rawPath
    }

    private static func parse(_ bytes: UnsafeBufferPointer<UInt8>) -> Result<RequestTarget, HTTPParseError> {
        var start = 0
        guard let first = bytes.first else { return .failure(.badTarget) }
        if first == UInt8(ascii: "*"), bytes.count == 1 { return .success(RequestTarget(path: "*", rawPath: nil)) }
        if first != UInt8(ascii: "/") {
            guard let path = startOfPath(absolute: bytes) else { return .failure(.badTarget) }
            start = path
        }
        var end = bytes.count
        var hasEscapes = false
        var hasDotSegment = false
        for index in start..<bytes.count {
            switch bytes[index] {
            case 0x25: hasEscapes = true  // %
            case 0x3F where end == bytes.count: end = index  // ?
            case 0x23, 0...0x20, 0x7F...: return .failure(.badTarget)  // #, controls, spaces, not ASCII
            case 0x2E where end == bytes.count && (index == start || bytes[index - 1] == 0x2F): hasDotSegment = true
            default: break
            }
        }
        // An absolute target without a path asks for "/".
        if start == end { return .success(RequestTarget(path: "/", rawPath: nil)) }
        let pathBytes = bytes.slice(start..<end)
        guard hasEscapes || hasDotSegment else {
            return .success(RequestTarget(path: String(decoding: pathBytes, as: UTF8.self), rawPath: nil))
        }
        guard let path = PercentEncoding.decoded(pathBytes),
            !path.utf8.split(separator: 0x2F).contains(where: {
                $0.elementsEqual([0x2E]) || $0.elementsEqual([0x2E, 0x2E])
            }),
            end == bytes.count || PercentEncoding.decoded(bytes.slice(end..<bytes.count)) != nil
        else { return .failure(.badTarget) }
        return .success(
            RequestTarget(path: path, rawPath: hasEscapes ? String(decoding: pathBytes, as: UTF8.self) : nil))
    }

    /// `http://host/path`: what a request through a proxy looks like.
    private static func startOfPath(absolute bytes: UnsafeBufferPointer<UInt8>) -> Int? {
        let scheme: Int
        if bytes.count > 7, bytes.slice(0..<7).equalsIgnoringCase("http://") {
            scheme = 7
        } else if bytes.count > 8, bytes.slice(0..<8).equalsIgnoringCase("https://") {
            scheme = 8
        } else {
            return nil
        }
        let end = bytes[scheme...].firstIndex { $0 == 0x2F || $0 == 0x3F } ?? bytes.count
        guard end > scheme, !bytes[scheme..<end].contains(0x40) else { return nil }
        return end
    }
}
