/// Why there is no answer. A URL in a description has lost its user, password and query.
package enum HTTPClientError: Error, Equatable {
    case invalidURL(String)
    /// A method or header that cannot be sent.
    case invalidRequest(String)
    /// The host's name has no address. Nothing was sent.
    case nameNotResolved(String)
    /// Nobody listens there. Nothing was sent.
    case connectionFailed(String)
    case timedOut(String)
    case responseTooLarge(limit: Int)
    case tls(String)
    /// The connection broke; the request may have been carried out.
    case transport(String)
    case cancelled
    case closed

    /// The peer has certainly not seen the request.
    package var wasNotSent: Bool {
        switch self {
        case .invalidURL, .invalidRequest, .nameNotResolved, .connectionFailed: true
        default: false
        }
    }
}

extension HTTPClientError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .invalidURL(let url): "not a usable URL: \(url)"
        case .invalidRequest(let reason): "not a usable request: \(reason)"
        case .nameNotResolved(let url): "the host's name has no address: \(url)"
        case .connectionFailed(let url): "no connection: \(url)"
        case .timedOut(let url): "no answer in time: \(url)"
        case .responseTooLarge(let limit): "the answer is larger than \(limit) bytes"
        case .tls(let reason): "TLS failed: \(reason)"
        case .transport(let reason): "the connection broke: \(reason)"
        case .cancelled: "the request was cancelled"
        case .closed: "the client has been closed"
        }
    }
}

/// A URL as it may stand in a log: no user, password, query or fragment.
package func redacted(_ url: String) -> String {
    var text = url.prefix { $0 != "?" && $0 != "#" }
    guard let scheme = text.firstRange(of: "://") else { return text.contains("@") ? "(hidden)" : String(text) }
    let rest = text[scheme.upperBound...]
    let authority = rest.prefix { $0 != "/" }
    if let at = authority.lastIndex(of: "@") {
        text = text[..<scheme.upperBound] + rest[rest.index(after: at)...]
    }
    return String(text)
}
