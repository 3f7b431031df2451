import Foundation
import Postgres
import SyncJobs
import Testing
import WireProtocol

/// The rules of DESIGN.md, section 4, one by one.
@Suite struct ApplyProtocolTests {
    @Test func aFullSyncStoresAndCountsAndCompletes() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.sync((0..<120).map { record("k\($0)", "text \($0)", "p") })
        #expect(job.status == .completed)
        #expect(job.totalRecords == 120 && job.ok == 120 && job.skipped == 0 && job.failed == 0 && job.deleted == 0)
        #expect(suite.store.points.count == 120)
        #expect(suite.store.points["k7"] == point("text 7", "p"))
        #expect(job.metadata["stats"]?["stages"]?["harvest"]?["records"]?.integer == 120)
        #expect(try await suite.pool.query("SELECT 1 FROM sync_batch_bodies").isEmpty)
    }

    @Test func whatIsUnchangedIsSkippedAndAnEqualTextOnlyReplacesThePayload() async throws {
        let suite = try await SyncFixture()
        try await suite.sync([record("a", "A", "1"), record("b", "B", "1"), record("c", "C", "1")])
        let job = try await suite.begin()
        let page = try await suite.harvest(job, [record("a", "A", "1"), record("b", "B", "2"), record("c", "C2", "1")])
        #expect((page.unchanged, page.payloadOnly, page.upserts) == (1, 1, 1))
        #expect(page.batches.map(\.message.kind) == [.index, .embed])
        let applied = try await suite.apply(page.batches)
        #expect(applied.ok == 2)
        #expect(suite.store.points == ["a": point("A", "1"), "b": point("B", "2"), "c": point("C2", "1")])
    }

    @Test func forceEmbedsEverything() async throws {
        let suite = try await SyncFixture()
        try await suite.sync([record("a", "A", "1")])
        let page = try await suite.harvest(
            try await suite.begin(options: SyncOptions(force: true)), [record("a", "A", "1")])
        #expect(page.upserts == 1)
    }

    @Test func batchesHoldNoMoreThanTheirSize() async throws {
        let suite = try await SyncFixture()
        let page = try await suite.harvest(
            try await suite.begin(options: SyncOptions(batchSize: 7)), (0..<20).map { record("k\($0)", "t", "p") })
        #expect(try page.batches.map { try RecordBatch(decoding: $0.body).records.count } == [7, 7, 6])
    }

    // MARK: - Fences

    @Test func theCursorLetsOneOfTwoHarvestersGoOn() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        _ = try await suite.harvest(job, [record("a", "A", "1")], isLast: true)
        await #expect(throws: SyncJobsError.replaced(jobID: job.id)) {
            try await suite.harvest(job, [record("b", "B", "1")])
        }
        #expect(try await suite.state(of: "b") == nil)
    }

    @Test func twoHarvestersAtOnceCommitEachPageOnce() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        let committed = await withTaskGroup(of: Bool.self) { group in
            for _ in 1...6 {
                group.addTask { (try? await suite.harvest(job, (0..<50).map { record("k\($0)", "t", "p") })) != nil }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(committed == 1)
        #expect(try await suite.jobs.job(id: job.id)?.read == 50)
    }

    @Test func nothingOfACancelledJobHasAnEffect() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        let page = try await suite.harvest(job, [record("a", "A", "1")])
        try await suite.jobs.cancel(id: job.id, reason: "enough")
        let applied = try await suite.apply(page.batches)
        #expect(applied.refused == page.batches.map(\.message.batchID) && applied.done.isEmpty)
        #expect(suite.store.points.isEmpty)
        await #expect(throws: SyncJobsError.replaced(jobID: job.id)) {
            try await suite.harvest(job, [record("b", "B", "1")])
        }
        #expect(try await suite.jobs.heartbeat(jobID: job.id, epoch: job.epoch) == false)
        let shown = try await suite.jobs.job(id: job.id)
        #expect(shown?.status == .cancelled && shown?.errorMessage == "enough" && shown?.epoch == 2)
        await #expect(throws: SyncJobsError.wrongStatus(id: job.id, status: .cancelled)) {
            try await suite.jobs.cancel(id: job.id)
        }
    }

    @Test func cancelWaitsForTheWriteInHand() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        let page = try await suite.harvest(job, [record("a", "A", "1")])
        let (inside, enter) = AsyncStream<Void>.makeStream()
        let (leave, go) = AsyncStream<Void>.makeStream()
        async let applied = suite.jobs.apply(try page.batches.map { try $0.embedded() }) { changes in
            enter.yield()
            for await _ in leave { break }
            return suite.store.write(changes)
        }
        for await _ in inside { break }
        async let cancelled = suite.jobs.cancel(id: job.id)
        while try await suite.pool.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").isEmpty {
        }
        go.yield()
        #expect(try await applied.ok == 1)
        #expect(try await cancelled.ok == 1)
    }

    @Test func aCancelGetsThroughASteadyStreamOfWork() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 1...4 {
                group.addTask {
                    while true {
                        let probe = RecordBatch(
                            header: RecordBatch.Header(
                                jobID: job.id, epoch: 1, batchID: 1, operation: .upsert, datasourceID: suite.datasource,
                                collection: "products", space: space, readSequence: 1), records: [])
                        if try await !suite.jobs.apply([probe], write: { suite.store.write($0) }).refused.isEmpty {
                            return
                        }
                    }
                }
            }
            try await suite.jobs.cancel(id: job.id)
            try await group.waitForAll()
        }
    }

    @Test func aZombieOfAnOldEpochIsRefusedAfterResume() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        let page = try await suite.harvest(job, [record("a", "A", "1")])
        try await suite.jobs.fail(id: job.id, epoch: 1, reason: "source lost")
        let resumed = try await suite.jobs.resume(id: job.id)
        #expect(resumed.status == .running && resumed.epoch == 3 && resumed.errorMessage == nil)
        #expect(try await suite.apply(page.batches).refused.count == 1)
        let again = try await suite.jobs.unpushed(olderThan: .seconds(60), notIn: [])
        #expect(again.map(\.message.epoch) == [3])
        try await suite.jobs.markPushed(again.map(\.message.batchID))
        #expect(try await suite.apply(again).ok == 1)
        #expect(suite.store.points["a"] == point("A", "1"))
        #expect(resumed.metadata["resumes"]?.array?.count == 1)
    }

    @Test func aTakeoverOfARunningJobNeedsItsEpoch() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        await #expect(throws: SyncJobsError.wrongStatus(id: job.id, status: .running)) {
            try await suite.jobs.resume(id: job.id)
        }
        #expect(try await suite.jobs.resume(id: job.id, epoch: 1).epoch == 2)
        await #expect(throws: SyncJobsError.replaced(jobID: job.id)) {
            try await suite.jobs.resume(id: job.id, epoch: 1)
        }
    }

    @Test func resumeGoesOnAfterTheLastCommittedPage() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        let page = RecordPage(
            readSequence: try await suite.jobs.nextReadSequence(), previous: nil, next: "a",
            records: [record("a", "A", "1")])
        _ = try await suite.jobs.commit(page, of: job)
        try await suite.jobs.fail(id: job.id, reason: "x")
        let resumed = try await suite.jobs.resume(id: job.id)
        let state = try #require(try await suite.jobs.begin(jobID: job.id, epoch: resumed.epoch))
        #expect(state.cursors == [SyncCursor(shard: 0, after: "a")])
        #expect(try await suite.jobs.begin(jobID: job.id, epoch: 1) == nil)
    }

    // MARK: - Counted once

    @Test func aBatchDeliveredTwiceCountsOnce() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        let page = try await suite.harvest(job, [record("a", "A", "1")])
        try await suite.apply(page.batches + page.batches)
        let again = try await suite.apply(page.batches)
        #expect(again.finishedBefore.count == 1 && again.ok == 0)
        #expect(try await suite.jobs.job(id: job.id)?.ok == 1)
    }

    @Test func aCrashBeforeTheCommitLeavesTheBatchOpen() async throws {
        struct Crash: Error {}
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        let page = try await suite.harvest(job, [record("a", "A", "1")])
        let batches = try page.batches.map { try $0.embedded() }
        await #expect(throws: Crash.self) {
            try await suite.jobs.apply(batches) { changes in
                _ = suite.store.write(changes)
                throw Crash()
            }
        }
        #expect(try await suite.jobs.job(id: job.id)?.ok == 0)
        #expect(try await suite.apply(page.batches).ok == 1)
    }

    @Test func aStoreThatHangsIsLeft() async throws {
        let suite = try await SyncFixture()
        let page = try await suite.harvest(try await suite.begin(), [record("a", "A", "1")])
        let batches = try page.batches.map { try $0.embedded() }
        await #expect(throws: SyncJobsError.storeTimedOut(after: .milliseconds(30))) {
            try await suite.jobs.apply(batches, within: .milliseconds(30)) { _ in
                try await Task.sleep(for: .seconds(60))
                return StoreOutcome()
            }
        }
        #expect(try await suite.apply(page.batches).ok == 1)
    }

    @Test func badRecordsBecomeErrorsAndTheRestGoesOn() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        var malformed = ProcessedRecord(key: "", payload: Array(#"{"row":"\u0000"}"#.utf8))
        malformed.failure = .init(type: "row_malformed", message: "no key\u{0}")
        var failing = record("f", "F", "1")
        failing.failure = .init(type: "row_malformed", message: "not a number")
        let page = try await suite.harvest(
            job,
            [
                record("a", "A", "1"), record("a", "A", "2"), malformed, failing, record("b", "B", "1"),
                record("\u{0}", "z", "z"), record("c", "C", "1"),
            ])
        #expect(page.failed == 4 && page.upserts == 3)
        var batch = try page.batches[0].embedded()
        batch.records[1].failure = .init(type: "embedding_rejected", message: "too long")
        batch.records[2].vector = []
        let applied = try await suite.jobs.apply([batch]) { suite.store.write($0) }
        #expect(applied.ok == 1 && applied.failed == 2)
        #expect(suite.store.points == ["a": point("A", "2")])
        let (errors, total) = try await suite.jobs.errors(jobID: job.id)
        #expect(total == 6)
        #expect(
            errors.map(\.errorType).sorted() == [
                "duplicate_key", "embedding_rejected", "invalid_key", "row_malformed", "row_malformed",
                "vector_invalid",
            ])
        try await suite.jobs.deletesPlanned(job)
        let finished = try #require(try await suite.jobs.finish(job.id))
        #expect((finished.totalRecords, finished.ok, finished.failed) == (7, 1, 6))
    }

    @Test func whatTheStoreRefusesIsAnErrorOfTheRecord() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        let page = try await suite.harvest(job, [record("a", "A", "1"), record("b", "B", "1")])
        let applied = try await suite.jobs.apply(try page.batches.map { try $0.embedded() }) { _ in
            StoreOutcome(failures: [0: .init(type: "store_refused", message: "no")])
        }
        #expect(applied.ok == 1 && applied.failed == 1)
        #expect(try await suite.state(of: "a")?.isNull("content_hash") == true)
        #expect(try await suite.state(of: "b")?.bytes("content_hash") == Array("B/1".utf8))
    }

    @Test func aFailedRecordIsTriedAgainByTheNextSync() async throws {
        let suite = try await SyncFixture()
        try await suite.sync([record("a", "A", "1")])
        var failing = record("a", "A", "1")
        failing.failure = .init(type: "row_malformed", message: "x")
        _ = try await suite.sync([failing])
        #expect(suite.store.points["a"] == point("A", "1"))
        #expect(try await suite.harvest(try await suite.begin(), [record("a", "A", "1")]).upserts == 1)
    }

    @Test func completedIsRefusedWhileABatchIsOpen() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        _ = try await suite.harvest(job, [record("a", "A", "1")])
        try await suite.jobs.deletesPlanned(job)
        #expect(try await suite.jobs.finish(job.id) == nil)
        #expect(try await suite.jobs.finishable().isEmpty)
        await #expect(throws: PostgresError.self) {
            try await suite.pool.query("UPDATE sync_jobs SET status = 'completed'")
        }
        #expect(try await suite.jobs.job(id: job.id)?.status == .running)
    }

    @Test func aJobThatCannotReconcileFails() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        let page = try await suite.harvest(job, [record("a", "A", "1")])
        try await suite.apply(page.batches)
        try await suite.jobs.deletesPlanned(job)
        _ = try await suite.pool.query("ALTER TABLE sync_batches DROP CONSTRAINT sync_batches_check")
        _ = try await suite.pool.query("UPDATE sync_batches SET ok = 2 WHERE ok = 1")
        #expect(try await suite.jobs.finishable() == [job.id])
        #expect(try await suite.jobs.reconcile(id: job.id).status == .failed)
    }

    @Test func usageOfTheEmbedderIsInTheStatistics() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        var batch = try await suite.harvest(job, [record("a", "A", "1")]).batches[0].embedded()
        batch.header.usage = .init(requested: 1, cached: 0, billedTokens: 12, cost: 0.5)
        _ = try await suite.jobs.apply([batch]) { suite.store.write($0) }
        let stats = try await suite.jobs.job(id: job.id)?.metadata["stats"]?["stages"]?["embed"]
        #expect(stats?["billedTokens"]?.integer == 12 && stats?["cost"]?.double == 0.5)
    }

    // MARK: - Newer and older reads

    @Test func aNewerReadWinsInWhateverOrder() async throws {
        let suite = try await SyncFixture()
        let full = try await suite.begin()
        let hook = try await suite.begin(.webhook)
        let (old, new) = (try await suite.jobs.nextReadSequence(), try await suite.jobs.nextReadSequence())
        let older = try await suite.harvest(full, [record("a", "A", "old")], sequence: old)
        let newer = try await suite.harvest(hook, [record("a", "B", "new")], sequence: new)
        #expect(try await suite.apply(newer.batches).ok == 1)
        #expect(try await suite.apply(older.batches).skipped == 1)
        #expect(suite.store.points["a"] == point("B", "new"))
        // The hash of what is stored is known again, so the next sync skips it.
        try await suite.jobs.cancel(id: full.id)
        #expect(try await suite.harvest(try await suite.begin(), [record("a", "B", "new")]).unchanged == 1)
    }

    @Test func anOlderReadThatComesLaterIsSuperseded() async throws {
        let suite = try await SyncFixture()
        let full = try await suite.begin()
        let hook = try await suite.begin(.webhook)
        let old = try await suite.jobs.nextReadSequence()
        _ = try await suite.harvest(hook, [record("a", "B", "new")])
        let page = try await suite.harvest(full, [record("a", "A", "old")], sequence: old)
        #expect(page.superseded == 1 && page.batches.isEmpty)
    }

    @Test func theHashOfAnOvertakenVersionIsNotKept() async throws {
        let suite = try await SyncFixture()
        let full = try await suite.begin()
        let hook = try await suite.begin(.webhook)
        let older = try await suite.harvest(full, [record("a", "A", "old")])
        _ = try await suite.harvest(hook, [record("a", "B", "new")])
        #expect(try await suite.apply(older.batches).ok == 1)
        #expect(try await suite.state(of: "a")?.isNull("content_hash") == true)
    }

    @Test func bothVersionsInOneClaimEndWithTheNewer() async throws {
        let suite = try await SyncFixture()
        let full = try await suite.begin()
        let hook = try await suite.begin(.webhook)
        let older = try await suite.harvest(full, [record("a", "A", "old")])
        let newer = try await suite.harvest(hook, [record("a", "B", "new")])
        #expect(try await suite.apply(newer.batches + older.batches).ok == 2)
        #expect(suite.store.points["a"] == point("B", "new"))
        #expect(try await suite.state(of: "a")?.bytes("content_hash") == Array("B/new".utf8))
    }

    @Test func aPayloadChangeOnAMissingPointBecomesAnUpsert() async throws {
        let suite = try await SyncFixture()
        try await suite.sync([record("a", "A", "1"), record("b", "B", "1")])
        suite.store.remove("a")
        let job = try await suite.begin()
        let page = try await suite.harvest(job, [record("a", "A", "2"), record("b", "B", "2")])
        #expect(page.payloadOnly == 2)
        let applied = try await suite.apply(page.batches)
        #expect(applied.ok == 1 && applied.replanned.map(\.message.kind) == [.embed])
        #expect(try await suite.jobs.job(id: job.id)?.openBatches == 1)
        #expect(try await suite.apply(applied.replanned).ok == 1)
        #expect(suite.store.points == ["a": point("A", "2"), "b": point("B", "2")])
        try await suite.jobs.deletesPlanned(job)
        #expect(try await suite.jobs.finish(job.id)?.ok == 2)
    }
}
