/// Why a call or a text has no vector. Holds no text and no key; what a provider said is cut and redacted.
struct EmbeddingError: Error, Equatable, Sendable, CustomStringConvertible {
    enum Kind: String, Sendable, CaseIterable {
        case rateLimited = "rate_limited", quotaExhausted = "quota_exhausted", overloaded, serverError = "server_error"
        case timeout, connection, authInvalid = "auth_invalid", permissionDenied = "permission_denied"
        case modelNotFound = "model_not_found", contextLength = "context_length", batchTooLarge = "batch_too_large"
        case invalidRequest = "invalid_request", contentFiltered = "content_filtered", badVector = "bad_vector"
        case protocolError = "protocol_error", circuitOpen = "circuit_open", cancelled, superseded
        case spaceUnavailable = "space_unavailable"
    }
    var kind: Kind
    var message: String
    var status: Int?
    /// How long the provider wants to be left alone.
    var retryAfter: Duration?
    /// Only this text fails; the rest goes on. Set when it has been isolated.
    var isTextsAlone = false

    init(_ kind: Kind, _ message: String, status: Int? = nil, retryAfter: Duration? = nil) {
        self.kind = kind
        self.message = message
        self.status = status
        self.retryAfter = retryAfter
    }

    var description: String { "\(kind.rawValue): \(message)" }

    /// How often the same call may be made again at once (with backoff).
    var retries: Int {
        switch kind {
        case .rateLimited, .overloaded, .connection: 3
        case .serverError: 2
        case .timeout, .protocolError, .badVector: 1
        default: 0
        }
    }

    /// A smaller part of the batch may pass: split it.
    var mayBeOneTexts: Bool {
        switch kind {
        case .contextLength, .batchTooLarge, .invalidRequest, .contentFiltered, .badVector, .serverError,
            .protocolError:
            true
        default: false
        }
    }

    /// When it comes for a single text: that text's own failure. Otherwise the provider's.
    var isTheTexts: Bool {
        switch kind {
        case .contextLength, .batchTooLarge, .invalidRequest, .contentFiltered, .badVector: true
        default: false
        }
    }

    /// Waiting will not help: a person must change something.
    var isPermanent: Bool {
        switch kind {
        case .authInvalid, .permissionDenied, .modelNotFound, .invalidRequest, .badVector, .contextLength,
            .spaceUnavailable:
            true
        default: false
        }
    }

    /// Counts against the provider.
    var isTransientFault: Bool {
        switch kind {
        case .overloaded, .serverError, .timeout, .connection, .protocolError: true
        default: false
        }
    }
}
