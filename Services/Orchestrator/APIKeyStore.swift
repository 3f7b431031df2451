import Crypto
import Postgres
import ServiceRuntime
import Synchronization

/// What a caller may do.
enum Scope: String, Sendable, Comparable, CaseIterable {
    case read, write, admin
    static func < (left: Scope, right: Scope) -> Bool { left.rank < right.rank }
    private var rank: Int { Scope.allCases.firstIndex(of: self) ?? 0 }
}

/// Keys of the public API: 256 random bits each, hashed at rest. A key that was found stays known for some seconds, so that a
/// request costs no query; a removed key stops working within that time.
final class APIKeyStore: Sendable {
    private let pool: PostgresPool
    private let known = Mutex<[[UInt8]: (scope: Scope, until: ContinuousClock.Instant)]>([:])
    private static let memory = Duration.seconds(10)
    private static let maximumKnown = 10_000

    init(pool: PostgresPool) { self.pool = pool }

    /// Makes the first key, once for all replicas: `preset` or a generated one. Returns a generated key, to be shown once.
    func bootstrap(preset: String?) async throws -> String? {
        let key = preset ?? "sk_" + Base64.urlEncode(SecureRandom.bytes(32))
        let rows = try await pool.query(
            """
            INSERT INTO api_keys (name, key_hash, prefix, scope)
            SELECT 'first administrator', $1, $2, 'admin'
            WHERE $3 OR NOT EXISTS (SELECT FROM api_keys)
            ON CONFLICT (key_hash) DO NOTHING
            RETURNING id
            """,
            [.bytes(SHA256Digest.hash(key)), .text(String(key.prefix(6))), .bool(preset != nil)])
        return rows.isEmpty || preset != nil ? nil : key
    }

    /// The scope of a valid key; `nil` for any other text.
    func scope(of key: String) async throws -> Scope? {
        let hash = SHA256Digest.hash(key)
        let now = ContinuousClock.now
        if let entry = known.withLock({ $0[hash] }), entry.until > now { return entry.scope }
        let rows = try await pool.query(
            """
            UPDATE api_keys SET last_used_at = now()
            WHERE key_hash = $1 AND (expires_at IS NULL OR expires_at > now()) RETURNING scope
            """, [.bytes(hash)])
        guard let scope = rows.first?.text(0).flatMap(Scope.init) else { return nil }
        known.withLock { known in
            if known.count >= Self.maximumKnown { known.removeAll() }
            known[hash] = (scope, now + Self.memory)
        }
        return scope
    }
}
