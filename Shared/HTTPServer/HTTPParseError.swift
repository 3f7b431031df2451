/// Why a request cannot be read. The connection ends with it: where the next request would begin is not known.
struct HTTPParseError: Error, Equatable {
    var status: Int
    var detail: String

    static func bad(_ detail: String) -> HTTPParseError { HTTPParseError(status: 400, detail: detail) }
    static let badTarget = bad("the request target is malformed")
    static let bareLineFeed = bad("a line ends without carriage return")
    static let headTooLarge = HTTPParseError(status: 431, detail: "the header is too large")
    static let targetTooLong = HTTPParseError(status: 414, detail: "the request target is too long")
}
