/// Takes a request's body out of the bytes that arrive. Source: RFC 9112, sections 6.2 and 7.1.
struct BodyDecoder {
    private enum State {
        case length
        case size, afterSize, extension_, sizeEnd
        case data, dataReturn, dataEnd
        case trailerStart, trailerName, trailerValue, trailerEnd, lastEnd
        case complete
    }
    private var state: State
    /// Of the body or of the chunk.
    private var remaining = 0
    private var sizeDigits = 0
    /// Bytes that are not content: a client must not keep the server busy with them.
    private var overhead = 0
    private static let maximumOverhead = 16 << 10

    static func length(_ count: Int) -> BodyDecoder {
        BodyDecoder(state: count == 0 ? .complete : .length, remaining: count)
    }
    static let chunked = BodyDecoder(state: .size)

    private init(state: State, remaining: Int = 0) {
        self.state = state
        self.remaining = remaining
    }

    var isComplete: Bool { if case .complete = state { true } else { false } }

    /// Appends content to `body`; returns how many of `bytes` are used up.
    mutating func decode(
        _ bytes: UnsafeBufferPointer<UInt8>, into body: inout [UInt8]
    ) throws(HTTPParseError) -> Int {
        var index = 0
        while index < bytes.count {
            switch state {
            case .complete: return index
            case .length, .data:
                let count = min(remaining, bytes.count - index)
                body.append(contentsOf: bytes.slice(index..<(index + count)))
                index += count
                remaining -= count
                if remaining == 0 { state = isLength ? .complete : .dataReturn }
            default:
                try step(bytes[index])
                index += 1
            }
        }
        return index
    }

    private var isLength: Bool { if case .length = state { true } else { false } }

    private mutating func step(_ byte: UInt8) throws(HTTPParseError) {
        switch state {
        case .size: try size(byte)
        case .afterSize:
            // Spaces are allowed before a semicolon only.
            switch byte {
            case 0x20, 0x09: try count()
            case 0x3B: state = .extension_
            default: throw .bad("a chunk size is malformed")
            }
        case .extension_:
            try count()
            if byte == 0x0D {
                state = .sizeEnd
            } else if !ASCII.isValue(byte) {
                throw .bad("a chunk extension holds a control character")
            }
        case .sizeEnd:
            try expect(byte, 0x0A)
            sizeDigits = 0
            state = remaining == 0 ? .trailerStart : .data
        case .dataReturn:
            try expect(byte, 0x0D)
            state = .dataEnd
        case .dataEnd:
            try expect(byte, 0x0A)
            state = .size
        case .lastEnd:
            try expect(byte, 0x0A)
            state = .complete
        default: try trailer(byte)
        }
    }

    private mutating func size(_ byte: UInt8) throws(HTTPParseError) {
        if let digit = ASCII.hexDigit(byte) {
            sizeDigits += 1
            // 15 digits are more than any limit and less than an overflow.
            guard sizeDigits <= 15 else { throw .bad("a chunk size is too large") }
            remaining = remaining << 4 | Int(digit)
            return
        }
        guard sizeDigits > 0 else { throw .bad("a chunk size is malformed") }
        switch byte {
        case 0x0D: state = .sizeEnd
        case 0x3B: state = .extension_
        case 0x20, 0x09: state = .afterSize
        default: throw .bad("a chunk size is malformed")
        }
    }

    /// Trailer fields are checked like header fields, and dropped.
    private mutating func trailer(_ byte: UInt8) throws(HTTPParseError) {
        try count()
        switch state {
        case .trailerStart:
            if byte == 0x0D {
                state = .lastEnd
            } else {
                guard ASCII.isToken(byte) else { throw .bad("a trailer line is malformed") }
                state = .trailerName
            }
        case .trailerName:
            if byte == 0x3A {
                state = .trailerValue
            } else if !ASCII.isToken(byte) {
                throw .bad("a trailer line is malformed")
            }
        case .trailerValue:
            if byte == 0x0D {
                state = .trailerEnd
            } else if !ASCII.isValue(byte) {
                throw .bad("a trailer value holds a control character")
            }
        default:
            try expect(byte, 0x0A)
            state = .trailerStart
        }
    }

    private mutating func count() throws(HTTPParseError) {
        overhead += 1
        if overhead > Self.maximumOverhead { throw .bad("chunk extensions and trailers are too long") }
    }

    private func expect(_ byte: UInt8, _ expected: UInt8) throws(HTTPParseError) {
        if byte != expected { throw byte == 0x0A ? .bareLineFeed : .bad("the chunked body is malformed") }
    }
}
