import ServiceRuntime
import SyncJobs

/// Compares the store with what PostgreSQL believes is stored there, at the start and every few seconds: a store that was lost, or put
/// back to an older copy, must not wait for the next batch to be noticed, or a sync would skip what it takes for unchanged.
struct StoreWatch: Service {
    let jobs: SyncJobStore
    let store: any VectorStore
    var interval: Duration = .seconds(5)
    let log: Log

    func run(until shutdown: Shutdown) async throws {
        repeat {
            do {
                try await compare()
            } catch {
                log.warning("store.not_compared", ["error": .string("\(error)")])  // PostgreSQL is away: next time
            }
        } while await shutdown.sleep(for: interval)
    }

    func compare() async throws {
        for (collection, known) in try await jobs.storeMarks() {
            do {
                let found = try await store.collection(collection).mark
                if try await jobs.recognise(found, of: collection, known: known) {
                    log.error("store.replaced", ["collection": .string(collection), "found": .string("\(found)")])
                }
            } catch StoreError.collectionNotFound {
                log.error("store.collection_missing", ["collection": .string(collection)])
                try await jobs.forgetCollection(physical: collection, incarnation: known.incarnation)
            }
        }
    }
}

extension CollectionDescription {
    var mark: StoreMark { StoreMark(incarnation: incarnation, sequence: sequence) }
}
