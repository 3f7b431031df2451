import Postgres
import ServiceRuntime
import SyncJobs
import Synchronization
import TestServers
import WireProtocol

/// A vector store of one datasource in memory.
final class FakeStore: Sendable {
    struct Point: Equatable, Sendable {
        var vector: [Float]
        var payload: [UInt8]
    }
    /// By collection and key.
    private let state = Mutex<[String: [String: Point]]>([:])
    var points: [String: Point] { points(in: "products") }
    func points(in collection: String) -> [String: Point] { state.withLock { $0[collection] ?? [:] } }

    @Sendable func write(_ changes: [RecordChange]) -> StoreOutcome {
        state.withLock { collections in
            var outcome = StoreOutcome()
            for (index, change) in changes.enumerated() {
                let record = change.record
                var points = collections.removeValue(forKey: change.collection) ?? [:]
                switch change.operation {
                case .upsert: points[record.key] = Point(vector: record.vector, payload: record.payload)
                case .payload:
                    if points[record.key] == nil { outcome.missing.insert(index) }
                    points[record.key]?.payload = record.payload
                case .delete: points[record.key] = nil
                }
                collections[change.collection] = points
            }
            return outcome
        }
    }
    func remove(_ key: String) { state.withLock { $0["products"]?[key] = nil } }
    func remove(collection: String) { state.withLock { $0[collection] = nil } }
}

let space = EmbeddingSpace(provider: "hashing", model: "test", dimensions: 2)

/// A vector that tells its text.
func embed(_ text: String) -> [Float] { [Float(text.utf8.reduce(0) { $0 &* 31 &+ UInt32($1) } % 65_521), 1] }

func record(_ key: String, _ text: String, _ payload: String) -> ProcessedRecord {
    ProcessedRecord(
        key: key, contentHash: Array("\(text)/\(payload)".utf8), textHash: Array(text.utf8), text: text,
        payload: Array("{\"p\":\"\(payload)\"}".utf8))
}

func point(_ text: String, _ payload: String) -> FakeStore.Point {
    FakeStore.Point(vector: embed(text), payload: Array("{\"p\":\"\(payload)\"}".utf8))
}

extension QueuedBatch {
    /// As the embedder passes it on.
    func embedded() throws -> RecordBatch {
        var batch = try RecordBatch(decoding: body)
        if batch.header.operation == .upsert {
            for index in batch.records.indices { batch.records[index].vector = embed(batch.records[index].text) }
        }
        return batch
    }
}

/// The module's tables in a database of the test's own.
struct SyncFixture {
    let pool: PostgresPool
    let jobs: SyncJobStore
    let store = FakeStore()
    let datasource = "b1f1a0a4-5c53-44b8-a5a5-0c1b8d1f7e10"

    init() async throws {
        let url = try await PostgresServer.shared().createDatabase("syncjobs")
        pool = PostgresPool(url: url, size: 8, log: .silent, applicationName: "tests")
        try await syncJobsMigrator(pool: pool).up()
        jobs = SyncJobStore(pool: pool, log: .silent)
    }

    func begin(
        _ type: SyncJob.Kind = .full, options: SyncOptions = SyncOptions(), collection: String = "products"
    ) async throws -> SyncJob {
        let job = try await jobs.create(
            datasourceID: datasource, collection: collection, space: space, type: type, options: options)
        return try await jobs.begin(jobID: job.id, epoch: job.epoch)!.job
    }

    /// One page of a job that has no other.
    func harvest(
        _ job: SyncJob, _ records: [ProcessedRecord], absent: [String] = [], isLast: Bool = true,
        sequence: Int64? = nil
    ) async throws -> CommittedPage {
        let drawn = if let sequence { sequence } else { try await jobs.nextReadSequence() }
        let page = RecordPage(
            readSequence: drawn, previous: nil, next: nil, isLast: isLast, records: records, absent: absent)
        return try await jobs.commit(page, of: job)
    }

    @discardableResult
    func apply(_ batches: [QueuedBatch]) async throws -> Checkpoint {
        try await jobs.apply(batches.map { try $0.embedded() }) { [store] in store.write($0) }
    }

    /// A whole full sync of `records`, deletions included.
    @discardableResult
    func sync(
        _ records: [ProcessedRecord], options: SyncOptions = SyncOptions(), collection: String = "products"
    ) async throws -> SyncJob {
        let job = try await begin(.full, options: options, collection: collection)
        try await apply(try await harvest(job, records).batches)
        let gone = try await jobs.deletionCandidates(job, after: nil)
        try await jobs.open([SyncCursor(shard: SyncCursor.deletions)], jobID: job.id, epoch: job.epoch)
        let page = RecordPage(
            shard: SyncCursor.deletions, readSequence: try await jobs.nextReadSequence(), previous: nil,
            next: gone.last, isLast: true,
            records: [], absent: gone)
        try await apply(try await jobs.commit(page, of: job).batches)
        try await jobs.deletesPlanned(job)
        return try await jobs.finish(job.id)!
    }

    func state(of key: String) async throws -> PostgresRow? {
        try await pool.query("SELECT * FROM record_states WHERE key = $1", [.text(key)]).first
    }
}
