import Datasources
import HTTPServer
import Postgres
import ServiceRuntime
import Synchronization
import WireProtocol

/// Looks after the versions of collections: keeps the one beside the active one in step, switches when that was asked for, points
/// aliases to where PostgreSQL says, removes what was given up. Any replica may be the one that does it, one at a time; what a crash
/// cut off anywhere in a change of model is found and finished here.
///
/// Apart from the supervisor, because it waits for the vector store and the embedder.
final class VersionKeeper: Service {
    struct Timing: Sendable {
        var tick: Duration = .seconds(2)
        /// How long a version stays in the store after it was given up: a search that began before has long ended.
        var removalGrace: Duration = .seconds(60)
        /// `ROLLBACK_RETENTION_HOURS`
        var rollbackRetention: Duration = .seconds(168 * 3600)
        /// Rounds between two looks at all aliases.
        var aliasesEvery = 5
    }
    private let pool: PostgresPool
    private let change: ModelChange
    private let timing: Timing
    private let log: Log
    private let rounds = Mutex(0)

    init(pool: PostgresPool, change: ModelChange, timing: Timing, log: Log) {
        self.pool = pool
        self.change = change
        self.timing = timing
        self.log = log
    }

    func run(until shutdown: Shutdown) async throws {
        repeat {
            do {
                try await lookAfterIfAlone()
            } catch {
                // PostgreSQL is away; everything that was not done is found again by the next round.
                log.warning("keeper.round_failed", ["error": .string("\(error)")])
            }
        } while await shutdown.sleep(for: timing.tick)
    }

    /// One round, unless another replica is in the middle of one.
    func lookAfterIfAlone() async throws {
        _ = try await pool.transaction { transaction in
            let rows = try await transaction.query(
                "SELECT pg_try_advisory_xact_lock(hashtextextended('suite.versions', 0))")
            guard rows.first?.bool(0) == true else { return false }
            try await lookAfter()
            return true
        }
    }

    private func lookAfter() async throws {
        let store = change.collections.store
        let round = rounds.withLock { rounds in
            rounds += 1
            return rounds
        }
        for physicalName in try await store.discardRetired(olderThan: timing.rollbackRetention) {
            log.info("version.expired", ["collection": .string(physicalName)])
        }
        for physicalName in try await store.versionsToRemove(discardedBefore: timing.removalGrace) {
            await attempt(physicalName) { try await change.remove(physicalName: physicalName) }
        }
        let all = try await store.collections()
        for collection in all where collection.beside != nil {
            await attempt(collection.name) {
                try await change.keepInStep(collection)
                try await change.switchIfReady(collection)
            }
        }
        if round % timing.aliasesEvery == 1 || timing.aliasesEvery == 1 {
            await change.collections.pointAliases(all.map(\.name))
        }
    }

    /// One collection's trouble is not another's.
    private func attempt(_ collection: String, _ body: () async throws -> Void) async {
        do {
            try await body()
        } catch {
            let reason = (error as? Problem)?.detail ?? "\(error)"
            log.warning("keeper.failed", ["collection": .string(collection), "error": .string(reason)])
        }
    }
}
