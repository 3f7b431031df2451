/// Requests and tokens a minute, spread evenly: each call pushes the next one back by what it used, so that no minute ever
/// holds more than the limit. A pause the provider asked for holds for all calls.
struct RateLimit: Sendable {
    typealias Instant = ContinuousClock.Instant
    var requestsPerMinute: Int?
    var tokensPerMinute: Int?
    private var nextRequest: Instant?
    private var nextToken: Instant?
    private var pausedUntil: Instant?

    init(requestsPerMinute: Int? = nil, tokensPerMinute: Int? = nil) {
        self.requestsPerMinute = requestsPerMinute
        self.tokensPerMinute = tokensPerMinute
    }

    /// When a call of `tokens` may start, its place taken: `now` or later.
    mutating func reserve(tokens: Int, now: Instant) -> Instant {
        var start = max(now, pausedUntil ?? now)
        if requestsPerMinute != nil { start = max(start, nextRequest ?? now) }
        if tokensPerMinute != nil { start = max(start, nextToken ?? now) }
        if let limit = requestsPerMinute { nextRequest = start + .seconds(60) / limit }
        if let limit = tokensPerMinute { nextToken = start + .seconds(60) * (Double(tokens) / Double(limit)) }
        return start
    }

    mutating func pause(until instant: Instant) { pausedUntil = max(pausedUntil ?? instant, instant) }
}
