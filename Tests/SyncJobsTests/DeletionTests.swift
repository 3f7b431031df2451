import SyncJobs
import Testing
import WireProtocol

@Suite struct DeletionTests {
    @Test func whatVanishedIsDeletedAndCountedApart() async throws {
        let suite = try await SyncFixture()
        try await suite.sync([record("a", "A", "1"), record("b", "B", "1")])
        let job = try await suite.sync([record("a", "A", "1")])
        #expect((job.totalRecords, job.skipped, job.deleted) == (1, 1, 1))
        #expect(suite.store.points == ["a": point("A", "1")])
        // No older job lives: the tombstone is gone too, and a record that comes back is new.
        #expect(try await suite.state(of: "b") == nil)
        #expect(try await suite.sync([record("a", "A", "1"), record("b", "B", "1")]).ok == 1)
        #expect(suite.store.points.count == 2)
    }

    @Test func aTombstoneStaysWhileAnOlderJobLives() async throws {
        let suite = try await SyncFixture()
        try await suite.sync([record("a", "A", "1"), record("b", "B", "1")])
        let hook = try await suite.begin(.webhook)
        let late = try await suite.harvest(hook, [record("b", "B2", "1")])
        // The full starts after that read and no longer sees b.
        try await suite.sync([record("a", "A", "1")])
        #expect(try await suite.state(of: "b")?.bool("gone") == true)
        #expect(try await suite.apply(late.batches).skipped == 1)
        #expect(suite.store.points.keys.sorted() == ["a"])
        _ = try await suite.jobs.finish(hook.id)
    }

    @Test func whoeverSawTheRecordSinceKeepsIt() async throws {
        let suite = try await SyncFixture()
        try await suite.sync([record("a", "A", "1"), record("b", "B", "1")])
        let full = try await suite.begin()
        _ = try await suite.harvest(full, [record("a", "A", "1")])
        try await suite.jobs.open([SyncCursor(shard: SyncCursor.deletions)], jobID: full.id, epoch: full.epoch)
        let deletes = try await suite.jobs.commit(
            RecordPage(
                shard: SyncCursor.deletions, readSequence: try await suite.jobs.nextReadSequence(), previous: nil,
                next: "b",
                isLast: true, records: [], absent: ["b"]), of: full)
        #expect(deletes.deletes == 1)
        let hook = try await suite.begin(.webhook)
        let upserts = try await suite.harvest(hook, [record("b", "B3", "1")])
        #expect(try await suite.apply(deletes.batches).deleted == 0)
        #expect(try await suite.apply(upserts.batches).ok == 1)
        #expect(suite.store.points["b"] == point("B3", "1"))
    }

    @Test func aWebhookDeletesByItsOwnRead() async throws {
        let suite = try await SyncFixture()
        try await suite.sync([record("a", "A", "1"), record("b", "B", "1")])
        let hook = try await suite.begin(.webhook, options: SyncOptions(codes: ["b", "never"]))
        let page = try await suite.harvest(hook, [], absent: ["b", "never", "b"])
        #expect(page.deletes == 2)
        #expect(try await suite.apply(page.batches).deleted == 1)
        #expect(suite.store.points.keys.sorted() == ["a"])
        let finished = try #require(try await suite.jobs.finish(hook.id))
        #expect((finished.totalRecords, finished.deleted) == (0, 1))
    }

    @Test func survivorsOfTheCheckAreUpserts() async throws {
        let suite = try await SyncFixture()
        try await suite.sync([record("a", "A", "1"), record("b", "B", "1"), record("c", "C", "1")])
        let full = try await suite.begin()
        _ = try await suite.harvest(full, [record("a", "A", "1")])  // b moved behind the cursor while pages were read
        #expect(try await suite.jobs.deletionCheck(full) == DeletionCheck(candidates: 2, records: 3))
        #expect(try await suite.jobs.deletionCandidates(full, after: nil) == ["b", "c"])
        #expect(try await suite.jobs.deletionCandidates(full, after: "b") == ["c"])
        try await suite.jobs.open([SyncCursor(shard: SyncCursor.survivors)], jobID: full.id, epoch: full.epoch)
        let page = try await suite.jobs.commit(
            RecordPage(
                shard: SyncCursor.survivors, readSequence: try await suite.jobs.nextReadSequence(), previous: nil,
                next: "c",
                isLast: true, records: [record("b", "B2", "1")]), of: full)
        try await suite.apply(page.batches)
        let check = try await suite.jobs.deletionCheck(full)
        #expect(check == DeletionCheck(candidates: 1, records: 3))
        #expect(check.exceeds(share: 0.2) && !check.exceeds(share: 0.34))
        #expect(suite.store.points["b"] == point("B2", "1"))
    }

    @Test func aMassDeleteIsStoppedAndTheJobSaysSo() async throws {
        let suite = try await SyncFixture()
        try await suite.sync((0..<10).map { record("k\($0)", "t", "p") })
        let full = try await suite.begin()
        try await suite.apply(try await suite.harvest(full, (0..<5).map { record("k\($0)", "t", "p") }).batches)
        let check = try await suite.jobs.deletionCheck(full)
        #expect(check.exceeds(share: 0.2))
        try await suite.jobs.deletesPlanned(full, stoppedBy: check)
        let finished = try #require(try await suite.jobs.finish(full.id))
        #expect(finished.status == .completed && finished.deleted == 0)
        #expect(finished.errorMessage?.contains("5 of 10") == true)
        #expect(finished.metadata["massDelete"]?["candidates"]?.integer == 5)
        #expect(suite.store.points.count == 10)
    }
}
