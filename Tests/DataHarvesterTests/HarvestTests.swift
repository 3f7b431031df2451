import Datasources
import Foundation
import ServiceRuntime
import SyncJobs
import Synchronization
import TestServers
import Testing
import WireProtocol
import WorkQueue

@testable import DataHarvester

@Suite(.timeLimit(.minutes(1))) struct HarvestTests {
    @Test func aFullSyncReadsAllOnceAndThenOnlyWhatChanged() async throws {
        let fixture = try await HarvestFixture()
        let datasource = try await fixture.datasource()
        let first = try await fixture.sync(datasource)
        #expect(first.job.status == .completed)
        #expect(first.written[.upsert]?.count == 2500)
        #expect((first.job.ok, first.job.skipped, first.job.failed) == (2500, 0, 0))
        let record = try #require(first.written[.upsert]?.first { $0.key == "7" })
        #expect(record.text == "Product 7")
        #expect(String(decoding: record.payload, as: UTF8.self) == #"{"price":8.75,"sku":"S-7","title":"Product 7"}"#)

        let second = try await fixture.sync(datasource)
        #expect((second.job.ok, second.job.skipped) == (0, 2500))
        #expect(second.written.isEmpty)

        try await fixture.execute(
            "UPDATE products SET price = 1 WHERE id = 5; UPDATE products SET name = 'Desk' WHERE id = 6; DELETE FROM products WHERE id IN (8, 9)"
        )
        let third = try await fixture.sync(datasource)
        #expect(third.written[.payload]?.map(\.key) == ["5"])
        #expect(third.written[.upsert]?.map(\.key) == ["6"])
        #expect(third.written[.delete]?.map(\.key).sorted() == ["8", "9"])
        #expect((third.job.ok, third.job.skipped, third.job.deleted) == (2, 2496, 2))
    }

    @Test func forceEmbedsAllAndDryRunTouchesNothing() async throws {
        let fixture = try await HarvestFixture()
        let datasource = try await fixture.datasource()
        let dry = try await fixture.sync(datasource, .full, SyncOptions(dryRun: true))
        #expect(dry.job.status == .completed)
        #expect(dry.written.isEmpty)
        _ = try await fixture.sync(datasource)
        let forced = try await fixture.sync(datasource, .full, SyncOptions(batchSize: 1000, force: true))
        #expect(forced.written[.upsert]?.count == 2500)
    }

    @Test func aMassDeleteIsStoppedUnlessAllowed() async throws {
        let fixture = try await HarvestFixture()
        let datasource = try await fixture.datasource()
        _ = try await fixture.sync(datasource)
        try await fixture.execute("DELETE FROM products WHERE id > 1500")
        let stopped = try await fixture.sync(datasource)
        #expect(stopped.job.status == .completed)
        #expect(stopped.job.deleted == 0)
        #expect(stopped.job.metadata["massDelete"]?["candidates"] == 1000)
        let allowed = try await fixture.sync(datasource, .full, SyncOptions(allowMassDelete: true))
        #expect(allowed.job.deleted == 1000)
    }

    @Test func aWebhookUpsertsWhatIsThereAndDeletesWhatIsNot() async throws {
        let fixture = try await HarvestFixture()
        let datasource = try await fixture.datasource()
        _ = try await fixture.sync(datasource)
        try await fixture.execute("UPDATE products SET name = 'New' WHERE id = 3; DELETE FROM products WHERE id = 4")
        let hook = try await fixture.sync(datasource, .webhook, SyncOptions(codes: ["3", "4", "unknown"]))
        #expect(hook.job.status == .completed)
        #expect(hook.written[.upsert]?.map(\.key) == ["3"])
        #expect(hook.written[.delete]?.map(\.key).contains("4") == true)
    }

    @Test func anIncrementalSyncReadsWhatChangedSince() async throws {
        let fixture = try await HarvestFixture()
        let datasource = try await fixture.datasource([
            "fieldMapping": ["id": "id", "title": "name", "updatedAt": "changed", "deletedAt": "deleted"]
        ])
        try await fixture.execute("ALTER TABLE products ADD COLUMN deleted timestamptz")
        _ = try await fixture.sync(datasource)
        try await fixture.execute(
            "UPDATE products SET name = 'New', changed = now() WHERE id = 3; UPDATE products SET deleted = now(), changed = now() WHERE id = 4"
        )
        let next = try await fixture.sync(datasource, .incremental)
        #expect(next.job.read == 1)
        #expect(next.written[.upsert]?.map(\.key) == ["3"])
        #expect(next.written[.delete]?.map(\.key) == ["4"])
        #expect(next.job.status == .completed)
    }

    @Test func operationsFilterFailAndChangeRows() async throws {
        let fixture = try await HarvestFixture()
        let datasource = try await fixture.datasource(["processing": [["operation": "uppercase", "fields": ["name"]]]])
        fixture.processor.set { rows in
            var kept: [JSONObject] = []
            var errors: [ProcessedRows.RowError] = []
            for (index, row) in rows.enumerated() {
                var row = row
                switch row["_key"]?.string {
                case "10": continue
                case "11": errors.append(.init(index: index, operation: "cast", message: "not a number"))
                default:
                    row["name"] = .string((row["name"]?.string ?? "").uppercased())
                    kept.append(row)
                }
            }
            return ProcessedRows(rows: kept, errors: errors)
        }
        let first = try await fixture.sync(datasource)
        #expect(first.job.status == .completed)
        #expect((first.job.ok, first.job.failed) == (2498, 1))
        #expect(first.written[.upsert]?.first { $0.key == "7" }?.text == "PRODUCT 7")
        let errors = try await fixture.jobs.errors(jobID: first.job.id)
        #expect(errors.items.map(\.recordIdentifier) == ["11"])
        #expect(errors.items.first?.errorType == "processing_failed")
        #expect(errors.items.first?.errorMessage == "cast: not a number")
        // What the operations leave out from now on is not in the source any more.
        fixture.processor.set { rows in
            ProcessedRows(rows: rows.filter { $0["_key"] != "12" && $0["_key"] != "11" }, errors: [])
        }
        let second = try await fixture.sync(datasource)
        #expect(second.written[.delete]?.map(\.key).contains("12") == true)
        #expect(second.job.deleted >= 1)
    }

    @Test func chunksAreRecordsOfTheirOwnAndTheirTailIsDeleted() async throws {
        let fixture = try await HarvestFixture()
        try await fixture.execute("DELETE FROM products WHERE id > 10")
        let datasource = try await fixture.datasource([
            "processing": [["operation": "chunk", "field": "name", "size": 10]]
        ])
        let pieces = Mutex(3)
        fixture.processor.set { rows in
            ProcessedRows(
                rows: rows.flatMap { row in
                    (0..<pieces.withLock { $0 }).map { number in
                        var copy = row
                        copy["_key"] = .string("\(row["_key"]?.string ?? "")#\(number)")
                        copy["name"] = .string("piece \(number)")
                        return copy
                    }
                }, errors: [])
        }
        #expect(try await fixture.sync(datasource).written[.upsert]?.count == 30)
        pieces.withLock { $0 = 2 }
        let shrunk = try await fixture.sync(datasource, .full, SyncOptions(allowMassDelete: true))
        #expect(shrunk.written[.delete]?.count == 10)
        #expect(Set(shrunk.written[.delete]?.map(\.key) ?? []) == Set((1...10).map { "\($0)#2" }))
        #expect(shrunk.job.status == .completed)
        // A webhook names the row, not its records.
        pieces.withLock { $0 = 1 }
        try await fixture.execute("DELETE FROM products WHERE id = 4")
        let hook = try await fixture.sync(datasource, .webhook, SyncOptions(codes: ["3", "4"]))
        #expect(Set(hook.written[.delete]?.map(\.key) ?? []) == ["3#1", "4#0", "4#1"])
    }

    @Test func badRowsFailAlone() async throws {
        let fixture = try await HarvestFixture()
        let folder = try TemporaryFolder("csv")
        let text = "id,name\n1,a\n,no key\n2\n3,b\n3,again\n4,  \n5,c\n"
        try text.write(toFile: folder.path + "/products.csv", atomically: false, encoding: .utf8)
        let datasource = try await fixture.datasource([
            "type": "csv", "connectionConfig": ["path": "products.csv"], "fieldMapping": ["id": "id", "title": "name"],
        ])
        let (job, written) = try await fixture.sync(datasource, folder: folder.path)
        #expect(job.status == .completed)
        #expect(written[.upsert]?.map(\.key).sorted() == ["1", "3", "5"])
        #expect((job.ok, job.failed, job.read) == (3, 4, 7))
        let errors = try await fixture.jobs.errors(jobID: job.id).items
        #expect(Set(errors.map(\.errorType)) == ["invalid_key", "row_malformed", "duplicate_key", "empty_text"])
        #expect(errors.first { $0.errorType == "row_malformed" }?.errorMessage == "line 4: expected 2 columns, got 1")
        #expect(errors.first { $0.errorType == "invalid_key" }?.errorMessage.hasPrefix("line 3: ") == true)
    }

    @Test func aSourceThatCannotBeReadFailsTheJobWithTheReasonAndNoSecret() async throws {
        let fixture = try await HarvestFixture()
        var connection = fixture.source.connection
        connection["password"] = "canary-of-a-password"
        connection["table"] = "products"
        let datasource = try await fixture.datasource(["connectionConfig": .object(connection)])
        let job = try await fixture.start(datasource)
        try await fixture.harvest()
        let failed = try #require(try await fixture.jobs.job(id: job.id))
        #expect(failed.status == .failed)
        #expect(failed.errorMessage?.contains("wrong_credentials") == true)
        #expect(!fixture.lines.all.joined().contains("canary"))
        #expect(try await fixture.queue.depth(of: .harvest) == 0)
    }

    @Test func aMappedColumnThatIsNotThereFailsTheJob() async throws {
        let fixture = try await HarvestFixture()
        let datasource = try await fixture.datasource([
            "fieldMapping": ["id": "id", "title": "name", "colour": "colour"]
        ])
        let job = try await fixture.start(datasource)
        try await fixture.harvest()
        #expect(try await fixture.jobs.job(id: job.id)?.errorMessage?.contains("no column colour") == true)
    }

    @Test func aStopGivesTheJobBackAndAnotherHarvesterGoesOn() async throws {
        let fixture = try await HarvestFixture()
        let datasource = try await fixture.datasource()
        let job = try await fixture.start(datasource)
        var small = HarvestRun.Settings()
        small.pageRows = 100
        try await fixture.harvest(fixture.worker(settings: small), until: "page.committed")
        #expect(fixture.lines.all.contains { $0.contains("harvest.given_back") })
        #expect(try await fixture.queue.depth(of: .harvest) == 1)
        let read = try #require(try await fixture.jobs.job(id: job.id)).read
        #expect(read > 0 && read < 2500)
        fixture.lines.clear()
        try await fixture.harvest(fixture.worker(settings: small))
        #expect(fixture.lines.all.contains { $0.contains("harvest.resumed") })
        try await fixture.drain()
        let done = try await fixture.jobs.reconcile(id: job.id)
        #expect(done.status == .completed)
        #expect((done.ok, done.read) == (2500, 2500))
    }

    @Test func aCancelledJobStopsBeingRead() async throws {
        let fixture = try await HarvestFixture()
        let datasource = try await fixture.datasource(["processing": [["operation": "trim"]]])
        let entered = Lines()
        fixture.processor.set { rows in
            entered.add("\"entered\"")
            try await Task.sleep(for: .seconds(30))
            return ProcessedRows(rows: rows, errors: [])
        }
        let job = try await fixture.start(datasource)
        var quick = HarvestRun.Settings()
        quick.heartbeat = .milliseconds(50)
        let worker = fixture.worker(settings: quick)
        let clock = ContinuousClock.now
        async let harvest: Void = fixture.harvest(worker, until: "harvest.replaced")
        try await entered.wait(forAny: ["entered"])
        _ = try await fixture.jobs.cancel(id: job.id, reason: "test")
        try await harvest
        #expect(ContinuousClock.now - clock < .seconds(10))
        #expect(try await fixture.jobs.job(id: job.id)?.status == .cancelled)
        #expect(try await fixture.queue.depth(of: .harvest) == 0)
    }

    @Test func aMessageOfAnOlderEpochIsDropped() async throws {
        let fixture = try await HarvestFixture()
        let job = try await fixture.start(try await fixture.datasource())
        _ = try await fixture.jobs.cancel(id: job.id)
        try await fixture.harvest()
        #expect(fixture.lines.all.contains { $0.contains("harvest.dropped") })
        #expect(try await fixture.drain().isEmpty)
    }

    @Test func aSourceThatIsAwayForAWhileIsTriedAgain() async throws {
        let fixture = try await HarvestFixture()
        struct Flaky: Connector {
            let base: any Connector
            let failures = Counter()
            final class Counter: Sendable { let count = Mutex(0) }
            var keysPerRead: Int { base.keysPerRead }
            func test() async throws -> SourceTest { try await base.test() }
            func count() async throws -> SourceCount { try await base.count() }
            func readPage(after cursor: String?, limit: Int, window: ChangeWindow?) async throws -> SourcePage {
                if failures.count.withLock({
                    $0 += 1; return $0
                }) % 2 == 1 {
                    throw SourceError(.connectionLost, "gone")
                }
                return try await base.readPage(after: cursor, limit: limit, window: window)
            }
            func readByKeys(_ keys: [String]) async throws -> SourcePage { try await base.readByKeys(keys) }
            func clock() async throws -> String? { nil }
            func close() async { await base.close() }
        }
        let datasource = try await fixture.datasource()
        let job = try await fixture.start(datasource)
        let state = try #require(try await fixture.jobs.begin(jobID: job.id, epoch: 1))
        var settings = HarvestRun.Settings()
        settings.sourceRetries.base = .milliseconds(1)
        let run = HarvestRun(
            state: state, connector: Flaky(base: fixture.source.connector(table: "products")),
            maker: RecordMaker(datasource, space: .example, processor: fixture.processor), jobs: fixture.jobs,
            queue: fixture.queue,
            settings: settings, failpoints: .none, metrics: Metrics(), trace: TraceContext(), stillHolds: { true },
            shutdown: Shutdown(), log: fixture.log)
        try await run.run()
        try await fixture.drain()
        #expect(try await fixture.jobs.reconcile(id: job.id).ok == 2500)
    }
}

@Suite struct PageLineTests {
    private func page(_ next: String) -> RecordPage {
        RecordPage(readSequence: 1, previous: nil, next: next, records: [])
    }

    @Test func readsAheadWithinItsDepthAndCommitsInOrder() {
        var line = PageLine(depth: 2, start: "a")
        var reads: [String?] = []
        var commits: [String?] = []
        func read() { reads.append(line.nextToRead()?.cursor) }
        func commit() { commits.append(line.nextToCommit()?.next) }

        read()
        read()  // one at a time
        line.read(next: "b", isLast: false)
        read()
        line.read(next: "c", isLast: false)
        read()  // two are read and none committed
        #expect(reads == ["a", nil, "b", nil])

        line.made(1, page("second"))
        commit()  // the first comes first
        line.made(0, page("first"))
        commit()
        commit()  // one at a time
        line.committed()
        commit()
        read()
        #expect(commits == [nil, "first", nil, "second"])
        #expect(reads.last == "c")
        line.read(next: nil, isLast: true)
        line.committed()
        read()  // the source is exhausted
        #expect(reads.count == 6 && reads[5] == nil)
    }
}
