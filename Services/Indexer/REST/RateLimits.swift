import HTTPServer
import Synchronization

/// `read_rate_limit` and `write_rate_limit`: so many tokens a minute, of each collection. What costs how many is Qdrant's rule, and so are
/// the words.
final class RateLimits: Sendable {
    enum Kind: String, CaseIterable { case read = "Read", write = "Write" }
    private struct Bucket {
        var tokens: Double
        var at: ContinuousClock.Instant
        var limit: Int
    }
    private let buckets = Mutex<[String: Bucket]>([:])

    /// A collection that is deleted, or whose strict mode is set, begins anew, as in Qdrant.
    func forget(_ collection: String) {
        buckets.withLock { buckets in
            for kind in Kind.allCases { buckets["\(kind) \(collection)"] = nil }
        }
    }

    /// Throws: 429, with `Retry-After` unless the limit is too small whenever one tries.
    func take(_ kind: Kind, of collection: String, limit: Int?, cost: Int = 1) throws {
        guard let limit else { return }
        if cost > limit {
            throw Self.refused(
                "\(kind.rawValue) rate limit exceeded, request larger than rate limiter capacity, please try to split your request"
            )
        }
        let now = ContinuousClock.now
        let left: Double? = buckets.withLock { buckets in
            var bucket = buckets["\(kind) \(collection)"] ?? Bucket(tokens: Double(limit), at: now, limit: limit)
            if bucket.limit != limit { bucket = Bucket(tokens: Double(limit), at: now, limit: limit) }
            let elapsed = (now - bucket.at).components
            let seconds = Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18
            bucket.tokens = min(Double(limit), bucket.tokens + seconds * Double(limit) / 60)
            bucket.at = now
            let isEnough = bucket.tokens >= Double(cost)
            if isEnough { bucket.tokens -= Double(cost) }
            buckets["\(kind) \(collection)"] = bucket
            return isEnough ? nil : bucket.tokens
        }
        guard let left else { return }
        let seconds = Int(((Double(cost) - left) * 60 / Double(limit)).rounded(.up))
        let tokens = (left * 10).rounded(.down) / 10
        throw Self.refused(
            cost == 1
                ? "\(kind.rawValue) rate limit exceeded, retry later"
                : "\(kind.rawValue) rate limit exceeded: Operation requires \(cost) tokens but only \(tokens) were available. Retry after \(seconds)s",
            headers: ["Retry-After": "\(seconds)"])
    }

    private static func refused(_ reason: String, headers: HTTPFields = [:]) -> RequestError {
        RequestError(status: 429, description: "Rate limiting exceeded: \(reason)", headers: headers)
    }
}
