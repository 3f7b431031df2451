import Crypto
import HTTPServer
import Synchronization

/// Keeps REST writes out of collections that a datasource fills: a sync would overwrite them, or not know of them.
struct CollectionGuard: Sendable {
    /// The physical collections that are filled; asked at most once a second.
    private let filled: (@Sendable () async throws -> Set<String>)?
    private let remembered: Remembered?
    /// Writes of the suite itself (deleting a collection, say) carry this token.
    private let internalToken: String?

    private final class Remembered: Sendable {
        let state = Mutex<(at: ContinuousClock.Instant, names: Set<String>)?>(nil)
    }

    /// Without `filled` every collection is open: the store stands alone.
    init(internalToken: String? = nil, filled: (@Sendable () async throws -> Set<String>)? = nil) {
        self.filled = filled
        self.internalToken = internalToken
        remembered = filled == nil ? nil : Remembered()
    }

    /// Throws: 403. Where there is no token to know the suite by, `removal`s are let through: it deletes what it filled itself.
    func check(
        _ request: HTTPRequest, writesTo collection: String, in store: any VectorStore, removal: Bool = false
    ) async throws {
        guard let filled, let remembered else { return }
        if removal, internalToken == nil { return }
        if let internalToken, let given = request.headers["Authorization"],
            constantTimeEqual(Array(given.utf8), Array("Bearer \(internalToken)".utf8))
        {
            return
        }
        var names: Set<String>
        if let known = remembered.state.withLock({ $0 }), ContinuousClock.now - known.at < .seconds(1) {
            names = known.names
        } else {
            names = try await filled()
            remembered.state.withLock { [names] in $0 = (.now, names) }
        }
        if names.isEmpty { return }
        var physical = collection
        do { physical = try await store.collection(collection).name } catch StoreError.collectionNotFound {}
        if names.contains(physical) {
            throw Problem.forbidden("collection `\(collection)` is filled by a datasource: change it there and sync")
        }
    }
}
