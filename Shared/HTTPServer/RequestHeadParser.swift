import CEpoll

/// Reads a request line and its header fields, line by line as they arrive, so that a broken line is refused at once.
/// Source: RFC 9112, sections 2, 3, 5 and 6. Wherever the RFC lets a recipient be lenient, this one is not.
struct RequestHeadParser {
    enum Outcome: Equatable {
        case incomplete
        /// The head takes that many bytes.
        case complete(Int)
        case failed(HTTPParseError)
    }

    private(set) var method = 0..<0
    private(set) var target = 0..<0
    private(set) var minorVersion = 1
    private(set) var fields: [HTTPFields.Slot] = []
    private(set) var contentLength: Int?
    private(set) var isChunked = false
    private(set) var expectsContinue = false
    private(set) var keepsAlive = true
    private(set) var requestID: Range<Int>?
    private(set) var traceparent: Range<Int>?

    var hasBody: Bool { isChunked || (contentLength ?? 0) > 0 }

    private var lineStart = 0
    private var scanned = 0
    private var hasRequestLine = false
    private var hosts = 0
    private var hasTransferEncoding = false

    /// `bytes` begins with the request and has at least what it had in the call before.
    mutating func parse(_ bytes: UnsafeBufferPointer<UInt8>, limits: HTTPLimits) -> Outcome {
        do throws(HTTPParseError) {
            while let end = try nextLineEnd(bytes) {
                let line = lineStart..<(end - 1)
                lineStart = end + 1
                scanned = end + 1
                if lineStart > limits.headBytes { throw hasRequestLine ? .headTooLarge : .targetTooLong }
                if !hasRequestLine {
                    // One empty line before a request is an old client's habit.
                    if line.isEmpty, line.lowerBound == 0 { continue }
                    try requestLine(bytes, line, limits)
                } else if line.isEmpty {
                    try finish()
                    return .complete(lineStart)
                } else {
                    if fields.count == limits.headerCount { throw .headTooLarge }
                    try field(bytes, line)
                }
            }
            if !hasRequestLine, bytes.count > limits.targetBytes + 64 { throw .targetTooLong }
            if bytes.count > limits.headBytes { throw .headTooLarge }
            return .incomplete
        } catch {
            return .failed(error)
        }
    }

    /// The index of the next line feed, which must follow a carriage return.
    private mutating func nextLineEnd(_ bytes: UnsafeBufferPointer<UInt8>) throws(HTTPParseError) -> Int? {
        var index = scanned
        while index < bytes.count, bytes[index] != 0x0A { index += 1 }
        scanned = index
        guard index < bytes.count else { return nil }
        guard index > lineStart, bytes[index - 1] == 0x0D else { throw .bareLineFeed }
        return index
    }

    private mutating func requestLine(
        _ bytes: UnsafeBufferPointer<UInt8>, _ line: Range<Int>, _ limits: HTTPLimits
    ) throws(HTTPParseError) {
        var index = line.lowerBound
        while index < line.upperBound, ASCII.isToken(bytes[index]) { index += 1 }
        method = line.lowerBound..<index
        guard !method.isEmpty, method.count <= 32, index < line.upperBound, bytes[index] == 0x20 else {
            throw .bad("the request line is malformed")
        }
        let start = index + 1
        index = start
        while index < line.upperBound, bytes[index] > 0x20, bytes[index] < 0x7F { index += 1 }
        target = start..<index
        if target.count > limits.targetBytes { throw .targetTooLong }
        guard !target.isEmpty, index < line.upperBound, bytes[index] == 0x20 else {
            throw .bad("the request line is malformed")
        }
        try version(bytes.slice((index + 1)..<line.upperBound))
        hasRequestLine = true
    }

    private mutating func version(_ text: UnsafeBufferPointer<UInt8>) throws(HTTPParseError) {
        guard text.count == 8, text.slice(0..<5).elementsEqual("HTTP/".utf8), text[6] == 0x2E,
            0x30...0x39 ~= text[5], 0x30...0x39 ~= text[7]
        else { throw .bad("the HTTP version is malformed") }
        guard text[5] == 0x31 else { throw HTTPParseError(status: 505, detail: "this server speaks HTTP/1.1") }
        minorVersion = text[7] == 0x30 ? 0 : 1
        keepsAlive = minorVersion == 1
    }

    private mutating func field(_ bytes: UnsafeBufferPointer<UInt8>, _ line: Range<Int>) throws(HTTPParseError) {
        var index = line.lowerBound
        while index < line.upperBound, ASCII.isToken(bytes[index]) { index += 1 }
        let name = line.lowerBound..<index
        // A space here is a folded line or a space before the colon.
        guard !name.isEmpty, index < line.upperBound, bytes[index] == 0x3A else {
            throw .bad("a header line is malformed")
        }
        var start = index + 1
        var end = line.upperBound
        while start < end, bytes[start] == 0x20 || bytes[start] == 0x09 { start += 1 }
        while end > start, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
        for index in start..<end where !ASCII.isValue(bytes[index]) {
            throw .bad("a header value holds a control character")
        }
        fields.append(
            HTTPFields.Slot(
                nameStart: UInt32(name.lowerBound), nameCount: UInt32(name.count), valueStart: UInt32(start),
                valueCount: UInt32(end - start)))
        try note(bytes.slice(name), bytes.slice(start..<end), at: start..<end)
    }

    /// Keeps what decides about the message itself.
    private mutating func note(
        _ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>, at range: Range<Int>
    ) throws(HTTPParseError) {
        switch name.count {
        case 4 where name.equalsIgnoringCase("host"):
            hosts += 1
            guard hosts == 1, Self.isHost(value) else { throw .bad("Host must be there once and name a host") }
        case 6 where name.equalsIgnoringCase("expect"):
            guard value.equalsIgnoringCase("100-continue") else {
                throw HTTPParseError(status: 417, detail: "only 100-continue can be expected")
            }
            expectsContinue = true
        case 10 where name.equalsIgnoringCase("connection"): connection(value)
        case 11 where name.equalsIgnoringCase("traceparent"): traceparent = range
        case 12 where name.equalsIgnoringCase("x-request-id"): requestID = range
        case 14 where name.equalsIgnoringCase("content-length"):
            guard contentLength == nil, let length = Self.decimal(value) else {
                throw .bad("Content-Length must be there once and be a number")
            }
            contentLength = length
        case 17 where name.equalsIgnoringCase("transfer-encoding"):
            if hasTransferEncoding { throw .bad("Transfer-Encoding is there twice") }
            hasTransferEncoding = true
            guard value.equalsIgnoringCase("chunked") else {
                throw HTTPParseError(status: 501, detail: "the only transfer coding here is chunked")
            }
            isChunked = true
        default: break
        }
    }

    private mutating func connection(_ value: UnsafeBufferPointer<UInt8>) {
        var start = 0
        for index in 0...value.count where index == value.count || value[index] == 0x2C {
            let option = value.slice(start..<index).trimmed()
            if option.equalsIgnoringCase("close") { keepsAlive = false }
            if minorVersion == 0, option.equalsIgnoringCase("keep-alive") { keepsAlive = true }
            start = index + 1
        }
    }

    private func finish() throws(HTTPParseError) {
        if isChunked, contentLength != nil { throw .bad("Content-Length and Transfer-Encoding are both there") }
        if isChunked, minorVersion == 0 { throw .bad("HTTP/1.0 has no Transfer-Encoding") }
        if hosts == 0, minorVersion == 1 { throw .bad("Host is missing") }
    }

    /// Digits only; `nil` for what no machine can hold.
    private static func decimal(_ text: UnsafeBufferPointer<UInt8>) -> Int? {
        guard !text.isEmpty, text.count <= 18 else { return nil }
        var value = 0
        for byte in text {
            guard 0x30...0x39 ~= byte else { return nil }
            value = value * 10 + Int(byte - 0x30)
        }
        return value
    }

    private static func isHost(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        for byte in text {
            switch byte {
            // Letters, digits and -.:[]_~%
            case 0x61...0x7A, 0x41...0x5A, 0x30...0x39, 0x2D, 0x2E, 0x3A, 0x5B, 0x5D, 0x5F, 0x7E, 0x25: continue
            default: return false
            }
        }
        return true
    }
}
