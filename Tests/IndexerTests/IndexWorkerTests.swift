import Datasources
import FastJSON
import Foundation
import HTTPServer
import Lexical
import Postgres
import Redis
import Resilience
import ServiceRuntime
import TestServers
import Testing
import WireProtocol
import WorkQueue

@testable import Indexer
@testable import SyncJobs

/// The worker over a real PostgreSQL, a real Redis and a real store.
struct IndexWorkerTests {
    private static let space = EmbeddingSpace(provider: "hashing", model: "test", dimensions: 2)

    private struct Fixture {
        let folder: StoreFolder
        let store: EmbeddedStore
        let pool: PostgresPool
        let jobs: SyncJobStore
        let redis: RedisConnection
        let queue: WorkQueue
        let url: String
        let datasource = UUID().uuidString.lowercased()
        let shutdown = Shutdown()

        init(hasWords: Bool = false) async throws {
            folder = try StoreFolder()
            store = try folder.open()
            var configuration: JSONObject = ["vectors": ["text": ["size": 2, "distance": "Cosine"]]]
            if hasWords { configuration["sparse_vectors"] = ["lexical": ["modifier": "idf"]] }
            try await store.createCollection("products", CollectionConfiguration(request: configuration))
            pool = PostgresPool(
                url: try await PostgresServer.shared().createDatabase(), size: 4, log: .silent, metrics: nil,
                applicationName: "test")
            _ = try await syncJobsMigrator(pool: pool).up()
            jobs = SyncJobStore(pool: pool, log: .silent)
            url = try await RedisServer.shared().createDatabase()
            redis = RedisConnection(url: url, log: .silent)
            queue = WorkQueue(redis: redis, metrics: Metrics(), log: .silent)
        }

        func begin() async throws -> SyncJob {
            let job = try await jobs.create(
                datasourceID: datasource, collection: "products", space: IndexWorkerTests.space, type: .full)
            let state = try #require(try await jobs.begin(jobID: job.id, epoch: job.epoch))
            return state.job
        }

        func harvest(_ job: SyncJob, _ records: [ProcessedRecord]) async throws -> [QueuedBatch] {
            let page = RecordPage(
                readSequence: try await jobs.nextReadSequence(), previous: nil, next: nil, isLast: true,
                records: records)
            return try await jobs.commit(page, of: job).batches
        }

        /// On the list, as the embedder passes them on.
        func push(_ batches: [QueuedBatch], vector: (ProcessedRecord) -> [Float] = { _ in [1, 0] }) async throws {
            try await queue.push(
                try batches.map { queued in
                    var batch = try RecordBatch(decoding: queued.body)
                    if batch.header.operation == .upsert {
                        for index in batch.records.indices {
                            batch.records[index].vector = vector(batch.records[index])
                        }
                    }
                    return (queued.message, try batch.encoded())
                }, to: .index)
        }

        /// Runs the worker until the list and its hands are empty.
        func drain(_ worker: IndexWorker? = nil) async throws {
            let worker = worker ?? self.worker()
            try await withThrowingTaskGroup(of: Void.self) { group in
                let shutdown = Shutdown()
                group.addTask { try await worker.run(until: shutdown) }
                while try await redis.send("KEYS", "*").array?.contains(where: { key in
                    ["queue:index", "processing:"].contains { key.string?.hasPrefix($0) == true }
                }) == true { await Task.yield() }
                shutdown.request()
                try await group.waitForAll()
            }
        }
        func worker(_ store: (any VectorStore)? = nil) -> IndexWorker {
            IndexWorker(
                consumer: QueueConsumer(
                    queue: .index, service: "test", redisURL: url, metrics: Metrics(), log: .silent), jobs: jobs,
                store: store ?? self.store,
                settings: .init(outageBackoff: Backoff(base: .milliseconds(1), cap: .milliseconds(5), attempts: .max)),
                metrics: Metrics(), log: .silent)
        }
        func payload(_ key: String) async throws -> String? {
            let id = VectorPoint.id(datasourceID: datasource, key: key)
            return try await store.retrieve([id], from: "products", fields: PointFields()).first
                .flatMap { $0.payload.map { String(decoding: $0, as: UTF8.self) } }
        }
        /// Keys of the records that have a word of `text`.
        func found(_ text: String) async throws -> [String] {
            let terms = LexicalAnalyzer().query(text).terms
            let points = try await store.query(
                QueryRequest(
                    query: .nearest(.values(.sparse(SparseVector(indices: terms.indices, values: terms.values)))),
                    using: "lexical", fields: PointFields()), in: "products")
            return try points.map { try JSONReader.parse($0.payload ?? [])["_key"]?.string ?? "" }.sorted()
        }
        func expected(_ key: String, _ rest: String) -> String {
            #"{"_key":"\#(key)","_datasource":"\#(datasource)"\#(rest)}"#
        }
    }

    private static func record(_ key: String, _ text: String, _ payload: String) -> ProcessedRecord {
        ProcessedRecord(
            key: key, contentHash: Array("\(text)/\(payload)".utf8), textHash: Array(text.utf8), text: text,
            payload: Array(payload.utf8))
    }

    @Test func aRestoredCopyOfTheStoreIsNoticedOnce() async throws {
        let fixture = try await Fixture()
        func states() async throws -> Int64? {
            try await fixture.pool.query("SELECT count(*) FROM record_states")[0].int(0)
        }
        try await fixture.push(try await fixture.harvest(try await fixture.begin(), [Self.record("a", "A", "{}")]))
        try await fixture.drain()
        let copy = fixture.folder.path + "/copy"
        try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: fixture.folder.path + "/collections", toPath: copy + "/collections")
        let older = try EmbeddedStore(folder: copy, log: .silent)
        let job = try await fixture.jobs.create(
            datasourceID: fixture.datasource, collection: "products", space: Self.space, type: .webhook)
        let begun = try #require(try await fixture.jobs.begin(jobID: job.id, epoch: job.epoch)).job
        try await fixture.push(try await fixture.harvest(begun, [Self.record("b", "B", "{}")]))
        try await fixture.drain()
        let watch = StoreWatch(jobs: fixture.jobs, store: fixture.store, log: .silent)
        try await watch.compare()
        #expect(try await states() == 2)

        let watchOfCopy = StoreWatch(jobs: fixture.jobs, store: older, log: .silent)
        try await watchOfCopy.compare()
        #expect(try await states() == 0)
        let again = try await fixture.jobs.create(
            datasourceID: fixture.datasource, collection: "products", space: Self.space, type: .webhook)
        _ = try await fixture.jobs.begin(jobID: again.id, epoch: again.epoch)
        try await watchOfCopy.compare()
        #expect(try await fixture.jobs.job(id: again.id)?.status == .running)
    }

    @Test func wordsOfTheLastPayloadFindARecordAndNoOthers() async throws {
        let suite = try await Fixture(hasWords: true)
        let first = try await suite.harvest(
            try await suite.begin(),
            [Self.record("a", "A", #"{"title":"green lamp"}"#), Self.record("AB-12", "B", #"{"title":"red chair"}"#)])
        try await suite.push(first)
        try await suite.drain()
        #expect(try await suite.found("lamps") == ["a"])
        #expect(try await suite.found("ab12") == ["AB-12"])

        // The text is the same: the vector stays, the payload and its words are replaced.
        let job = try await suite.jobs.create(
            datasourceID: suite.datasource, collection: "products", space: Self.space, type: .webhook)
        let begun = try #require(try await suite.jobs.begin(jobID: job.id, epoch: job.epoch)).job
        let batches = try await suite.harvest(
            begun, [Self.record("a", "A", #"{"title":"blue desk"}"#), Self.record("AB-12", "B", "{}")])
        #expect(try RecordBatch(decoding: batches[0].body).header.operation == .payload)
        try await suite.push(batches)
        try await suite.drain()
        #expect(try await suite.found("green lamp red chair").isEmpty)
        #expect(try await suite.found("desks") == ["a"])
        #expect(try await suite.found("ab12") == ["AB-12"])
        #expect(try await suite.store.count(nil, in: "products") == 2)
    }

    @Test func batchesBecomePointsAndAreAcknowledged() async throws {
        let suite = try await Fixture()
        let job = try await suite.begin()
        try await suite.push(
            try await suite.harvest(job, (0..<120).map { Self.record("k\($0)", "text \($0)", #"{"n":\#($0)}"#) }))
        try await suite.drain()
        #expect(try await suite.store.count(nil, in: "products") == 120)
        #expect(try await suite.payload("k7") == suite.expected("k7", #","n":7"#))
        #expect(try await suite.jobs.job(id: job.id)?.ok == 120)
    }

    @Test func payloadChangesReplaceDeletesRemoveAndAMissingPointComesAgain() async throws {
        let suite = try await Fixture()
        var job = try await suite.begin()
        try await suite.push(
            try await suite.harvest(job, ["a", "b", "c"].map { Self.record($0, "text \($0)", #"{"v":1}"#) }))
        try await suite.drain()
        try await suite.jobs.cancel(id: job.id)
        let gone = VectorPoint.id(datasourceID: suite.datasource, key: "b")
        try await suite.store.write([PointChange(id: gone, effect: .delete)], to: "products")

        job = try await suite.begin()
        let batches = try await suite.harvest(job, ["a", "b"].map { Self.record($0, "text \($0)", #"{"v":2}"#) })
        #expect(try RecordBatch(decoding: batches[0].body).header.operation == .payload)
        try await suite.push(batches)
        try await suite.drain()
        #expect(try await suite.payload("a") == suite.expected("a", #","v":2"#))
        let again = try #require(try await suite.redis.send("LRANGE", "queue:embed", "0", "-1").array?.first?.string)
        let message = try #require(again.split(separator: "\"batch_id\":").last?.prefix { $0.isNumber })
        let body = try #require(try await suite.redis.send("GET", RedisArgument("body:embed:\(message)")).bytes)
        let replanned = try RecordBatch(decoding: body)
        #expect(replanned.header.operation == .upsert && replanned.records.map(\.key) == ["b"])
    }

    @Test func aRecordTheStoreRefusesFailsAlone() async throws {
        let suite = try await Fixture()
        let job = try await suite.begin()
        let records = [
            Self.record("good", "a", "{}"), Self.record("bad", "b", "[1]"), Self.record("worse", "c", #"{"x":"#),
        ]
        try await suite.push(try await suite.harvest(job, records))
        try await suite.drain()
        #expect(try await suite.payload("good") == suite.expected("good", ""))
        let errors = try await suite.jobs.errors(jobID: job.id, limit: 10, offset: 0).items
        #expect(errors.map(\.recordIdentifier).sorted() == ["bad", "worse"])
        #expect(errors.allSatisfy { $0.errorType == "payload_invalid" })
        let shown = try await suite.jobs.job(id: job.id)
        #expect(shown?.ok == 1 && shown?.failed == 2)
    }

    @Test func nothingOfAnOlderEpochIsStored() async throws {
        let suite = try await Fixture()
        let job = try await suite.begin()
        let batches = try await suite.harvest(job, [Self.record("a", "a", "{}")])
        try await suite.jobs.cancel(id: job.id)
        try await suite.push(batches)
        try await suite.drain()
        #expect(try await suite.store.count(nil, in: "products") == 0)
    }

    @Test func aStoreThatIsNotTheOneWeKnewEndsItsJobsAndIsForgotten() async throws {
        let suite = try await Fixture()
        let first = try await suite.begin()
        try await suite.push(try await suite.harvest(first, [Self.record("a", "a", "{}")]))
        try await suite.drain()
        try await suite.jobs.cancel(id: first.id)
        _ = try await suite.store.deleteCollection("products")
        try await suite.store.createCollection(
            "products", CollectionConfiguration(vectors: [.init(name: "text", size: 2, distance: .cosine)]))

        let second = try await suite.begin()
        try await suite.push(try await suite.harvest(second, [Self.record("b", "b", "{}")]))
        try await suite.drain()
        let failed = try await suite.jobs.job(id: second.id)
        #expect(failed?.status == .failed && failed?.errorMessage?.contains("not the one it was") == true)
        #expect(try await suite.store.count(nil, in: "products") == 0)
        // Nothing is believed to be there: the next sync writes all of it.
        let third = try await suite.begin()
        let batches = try await suite.harvest(third, [Self.record("a", "a", "{}"), Self.record("b", "b", "{}")])
        try await suite.push(batches)
        try await suite.drain()
        #expect(try await suite.store.count(nil, in: "products") == 2)
    }

    @Test func aJobWhoseCollectionIsGoneEnds() async throws {
        let suite = try await Fixture()
        let job = try await suite.begin()
        let batches = try await suite.harvest(job, [Self.record("a", "a", "{}")])
        _ = try await suite.store.deleteCollection("products")
        try await suite.push(batches)
        try await suite.drain()
        #expect(try await suite.jobs.job(id: job.id)?.status == .failed)
    }

    @Test func aBatchThatFailedOnItsWayEndsItsJob() async throws {
        let suite = try await Fixture()
        let job = try await suite.begin()
        let queued = try await suite.harvest(job, [Self.record("a", "a", "{}")])[0]
        var batch = try RecordBatch(decoding: queued.body)
        batch.header.failure = .init(type: "embedding_unauthorized", message: "the provider refuses the key")
        try await suite.queue.push([(queued.message, try batch.encoded())], to: .index)
        try await suite.drain()
        let failed = try await suite.jobs.job(id: job.id)
        #expect(failed?.status == .failed && failed?.errorMessage == "the provider refuses the key")
    }

    @Test func aBodyThatCannotBeReadIsPutAside() async throws {
        let suite = try await Fixture()
        let message = WorkMessage(jobID: UUID().uuidString, epoch: 1, batchID: 5, kind: .index, enqueuedAt: 0)
        try await suite.queue.push([(message, [1, 2, 3])], to: .index)
        try await suite.drain()
        #expect(try await suite.queue.deadLetters(limit: 10, offset: 0).items.map(\.message?.batchID) == [5])
    }

    @Test func payloadsKeepTheirBytesAndGetTheirOrigin() throws {
        let checker = try PayloadChecker()
        func payload(_ json: String) -> String? {
            VectorPoint.payload(Array(json.utf8), key: "a\"b", datasourceID: "d", checker: checker)
                .map { String(decoding: $0, as: UTF8.self) }
        }
        let origin = #"{"_key":"a\"b","_datasource":"d""#
        #expect(payload("") == origin + "}")
        #expect(payload(" { } ") == origin + "}")
        #expect(payload(#"{"x":1.50,"y":[]}"#) == origin + #","x":1.50,"y":[]}"#)
        #expect(payload(#"{"_key":"forged","x":1}"#) == #"{"_key":"a\"b","x":1,"_datasource":"d"}"#)
        #expect(payload("[]") == nil && payload(#"{"x":}"#) == nil && payload("{} {}") == nil)
        let id = VectorPoint.id(datasourceID: "d", key: "k")
        #expect(id == VectorPoint.id(datasourceID: "d", key: "k") && id != VectorPoint.id(datasourceID: "d", key: "k2"))
        #expect(id.text.dropFirst(14).first == "5")  // UUID version
    }

    /// A vector's position is none in the list of vectors.
    @Test func recordsFindTheirVectorsAfterOthersCameAndWent() throws {
        var configuration = CollectionConfiguration(
            vectors: [
                .init(name: "image", size: 9, distance: .dot), .init(name: "text", size: 2, distance: .dot),
            ], sparseVectors: [.init(name: "lexical", idf: true)])
        try configuration.removeVector("image")
        for name in ["a", "b", "c"] {
            try configuration.addVector(name, JSONObject([("dense", ["size": 5, "distance": "Dot"])]))
        }
        var record = Self.record("k", "t", #"{"title":"lamp"}"#)
        record.vector = [1, 0]
        let change = RecordChange(
            operation: .upsert, collection: "c", datasourceID: "d",
            space: Self.space, record: record, batchID: 1)
        let changes = try VectorPoint.changes(
            change, in: configuration, checker: PayloadChecker(), analyzer: LexicalAnalyzer())
        guard case .upsert(let vectors, _)? = changes.first?.effect else {
            Issue.record("no upsert")
            return
        }
        #expect(vectors.map(\.position) == [1, 2])
    }

    @Test func collectionsOfDatasourcesTakeNoWritesFromOutside() async throws {
        let suite = try await Fixture()
        let guardian = CollectionGuard(internalToken: "secret") { ["products"] }
        try await suite.store.changeAliases([.create(alias: "p", collection: "products")])
        try await suite.store.createCollection("mine", .unnamed(1))
        let outside = try HTTPRequest(method: "PUT", target: "/")
        for name in ["products", "p"] {
            let refusal = await #expect(throws: Problem.self) {
                try await guardian.check(outside, writesTo: name, in: suite.store)
            }
            #expect(refusal?.status == 403)
        }
        try await guardian.check(outside, writesTo: "mine", in: suite.store)
        try await guardian.check(outside, writesTo: "nowhere", in: suite.store)
        await #expect(throws: Problem.self) {
            try await guardian.check(outside, writesTo: "p", in: suite.store, removal: true)
        }
        let tokenless = CollectionGuard { ["products"] }
        try await tokenless.check(outside, writesTo: "p", in: suite.store, removal: true)
        await #expect(throws: Problem.self) { try await tokenless.check(outside, writesTo: "p", in: suite.store) }
        let inside = try HTTPRequest(method: "PUT", target: "/", headers: ["Authorization": "Bearer secret"])
        try await guardian.check(inside, writesTo: "products", in: suite.store)
    }
}
