import ServiceRuntime

/// One request to another service or to somebody else's API. Nothing is followed, decoded or tried again by itself.
package struct ClientRequest: Sendable {
    package var method: String
    /// `http` or `https`.
    package var url: String
    package var headers: [(String, String)]
    package var body: [UInt8]
    /// Instead of `body`, for `HTTPClient.stream`.
    package var upload: ClientUpload?
    /// From the start to the last byte of the answer; of a stream: so long without a byte.
    package var timeout: Duration
    package var connectTimeout: Duration
    /// Units: bytes of the answer's body.
    package var maximumResponseBytes: Int
    /// Sent as `traceparent`.
    package var trace: TraceContext?
    /// Who is asked, in metrics: a service's or provider's name, never a host from outside.
    package var peer = "other"
    /// Connects to this address instead of what the host's name resolves to; the name stays in `Host` and in TLS. For those
    /// who have checked the address and must not see it change.
    package var address: String?
    /// Takes the proxy from `http_proxy` and its relatives.
    package var usesProxy = false

    package init(
        method: String = "GET", url: String, headers: [(String, String)] = [], body: [UInt8] = [],
        timeout: Duration = .seconds(30), connectTimeout: Duration = .seconds(5), maximumResponseBytes: Int = 64 << 20,
        trace: TraceContext? = nil
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.timeout = timeout
        self.connectTimeout = connectTimeout
        self.maximumResponseBytes = maximumResponseBytes
        self.trace = trace
    }
}
