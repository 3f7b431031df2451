import FastJSON
import HTTPClient
import WireProtocol

/// What a call to another service of the suite came to, when it was not an answer to use.
package enum ServiceClientError: Error, CustomStringConvertible {
    /// Nobody answered, or the answer broke off.
    case unreachable(service: String, reason: String)
    /// An answer with an error status; `detail` is what the service said.
    case refused(service: String, status: Int, detail: String)
    /// An answer of another form than documented.
    case malformed(service: String, reason: String)
    /// A job of the data-processor took longer than the limit.
    case timedOut(service: String, after: Duration)

    package var status: Int? { if case .refused(_, let status, _) = self { status } else { nil } }

    package var detail: String {
        switch self {
        case .unreachable(_, let reason), .malformed(_, let reason), .refused(_, _, let reason): reason
        case .timedOut(_, let limit): "no result within \(limit)"
        }
    }

    /// Worth another try: the network, an overloaded or restarting service.
    package var isRetryable: Bool {
        switch self {
        case .unreachable: true
        case .refused(_, let status, _): [429, 502, 503, 504].contains(status)
        case .malformed, .timedOut: false
        }
    }

    package var description: String {
        switch self {
        case .unreachable(let service, let reason): "the \(service) does not answer: \(reason)"
        case .refused(let service, let status, let detail): "the \(service) answered \(status): \(detail)"
        case .malformed(let service, let reason): "the \(service) answered in an unknown form: \(reason)"
        case .timedOut(let service, let limit): "the \(service) had no result within \(limit)"
        }
    }
}
