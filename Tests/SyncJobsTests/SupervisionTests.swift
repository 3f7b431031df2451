import SyncJobs
import Testing
import WireProtocol

@Suite struct SupervisionTests {
    @Test func oneFullOrIncrementalSyncAtATime() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        do {
            _ = try await suite.begin(.incremental)
            Issue.record("a second sync started")
        } catch SyncJobsError.alreadyActive(let active) {
            #expect(active.id == job.id)
        }
        _ = try await suite.begin(.webhook)
        // A new model fills its collection beside the old one.
        _ = try await suite.jobs.create(
            datasourceID: suite.datasource, collection: "products@2", space: space, type: .full)
        try await suite.jobs.cancel(id: job.id)
        let second = try await suite.begin()
        do {
            try await suite.jobs.resume(id: job.id)
            Issue.record("two syncs run")
        } catch SyncJobsError.alreadyActive(let active) {
            #expect(active.id == second.id)
        }
    }

    @Test func whatRedisLostIsPushedAgain() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin(options: SyncOptions(batchSize: 1))
        let page = try await suite.harvest(job, (0..<4).map { record("k\($0)", "t\($0)", "p") })
        let ids = page.batches.map(\.message.batchID)
        #expect(try await suite.jobs.unpushed(olderThan: .seconds(60), notIn: []).isEmpty)
        #expect(try await suite.jobs.unpushed(olderThan: .zero, notIn: Set(ids)).isEmpty)
        let lost = try await suite.jobs.unpushed(olderThan: .zero, notIn: [ids[1]], limit: 2)
        #expect(lost.map(\.message.batchID) == [ids[0], ids[2]])
        #expect(lost[0].body == page.batches[0].body)
        try await suite.apply(lost)
        #expect(try await suite.jobs.job(id: job.id)?.openBatches == 2)
    }

    @Test func aPoisonRecordDiesAloneAndTheJobCompletes() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        let page = try await suite.harvest(job, ["a", "poison", "b"].map { record($0, $0, "p") })
        let id = page.batches[0].message.batchID
        for attempt in 1...4 { #expect(try await suite.jobs.countLostDelivery(id) == .counted(attempts: attempt)) }
        #expect(try await suite.jobs.countLostDelivery(id) == .split(into: 3))
        #expect(try await suite.jobs.countLostDelivery(id) == .finishedBefore)
        #expect(try await suite.apply(page.batches).finishedBefore == [id])
        let children = try await suite.jobs.unpushed(olderThan: .seconds(60), notIn: [])
        #expect(children.count == 3)
        let poison = try #require(try children.first { try $0.embedded().records[0].key == "poison" })
        try await suite.apply(children.filter { $0 != poison })
        for _ in 1...4 { _ = try await suite.jobs.countLostDelivery(poison.message.batchID) }
        #expect(try await suite.jobs.countLostDelivery(poison.message.batchID) == .dead)
        try await suite.jobs.deletesPlanned(job)
        let finished = try #require(try await suite.jobs.finish(job.id))
        #expect((finished.totalRecords, finished.ok, finished.failed) == (3, 2, 1))
        let errors = try await suite.jobs.errors(jobID: job.id).items
        #expect(errors.map(\.recordIdentifier) == ["poison"] && errors[0].errorType == "poison_record")
    }

    @Test func aPoisonDeleteAlsoEnds() async throws {
        let suite = try await SyncFixture()
        try await suite.sync([record("a", "A", "1")])
        let hook = try await suite.begin(.webhook)
        let page = try await suite.harvest(hook, [], absent: ["a"])
        for _ in 1...5 { _ = try await suite.jobs.countLostDelivery(page.batches[0].message.batchID) }
        #expect(try await suite.jobs.finish(hook.id)?.failed == 1)
    }

    @Test func retriedErrorsAreResolvedWhenTheySucceed() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.begin()
        let failures = ["a", "b"].map { key in
            var failing = record(key, "A", "1")
            failing.failure = .init(type: "row_malformed", message: "x")
            return failing
        }
        _ = try await suite.harvest(job, failures)
        try await suite.jobs.deletesPlanned(job)
        _ = try await suite.jobs.finish(job.id)
        let keys = try await suite.jobs.errorsToRetry(jobID: job.id)
        #expect(keys == ["a", "b"])
        let retry = try await suite.begin(.webhook, options: SyncOptions(codes: keys, retryOf: job.id))
        try await suite.apply(try await suite.harvest(retry, [record("a", "A", "1"), failures[1]]).batches)
        _ = try await suite.jobs.finish(retry.id)
        let errors = try await suite.jobs.errors(jobID: job.id).items
        #expect(errors.first { $0.recordIdentifier == "a" }?.resolved == true)
        #expect(errors.first { $0.recordIdentifier == "b" }?.resolved == false)
        #expect(errors.allSatisfy { $0.retryCount == 1 })
        #expect(try await suite.jobs.errors(jobID: job.id, resolved: false).total == 1)
    }

    @Test func silentJobsAreFoundAndBusyOnesAreNot() async throws {
        let suite = try await SyncFixture()
        let pending = try await suite.jobs.create(
            datasourceID: suite.datasource, collection: "products", space: space, type: .full)
        #expect(try await suite.jobs.jobsToHarvest(silentFor: .zero).map(\.jobID) == [pending.id])
        #expect(try await suite.jobs.jobsToHarvest(silentFor: .seconds(60)).isEmpty)
        let job = try await suite.jobs.begin(jobID: pending.id, epoch: 1)!.job
        #expect(try await suite.jobs.stalled(for: .zero).map(\.id) == [job.id])
        #expect(try await suite.jobs.stalled(for: .seconds(60)).isEmpty)
        _ = try await suite.harvest(job, [record("a", "A", "1")])
        #expect(try await suite.jobs.jobsToHarvest(silentFor: .zero).map(\.jobID) == [job.id])
        try await suite.jobs.deletesPlanned(job)
        #expect(try await suite.jobs.jobsToHarvest(silentFor: .zero).isEmpty)
    }

    @Test func theWatermarkIsKeptOnlyOnCompletion() async throws {
        let suite = try await SyncFixture()
        let first = try await suite.begin(.incremental)
        #expect(try await suite.jobs.fixWatermark("10:00", jobID: first.id, epoch: 1) == "10:00")
        #expect(try await suite.jobs.fixWatermark("10:05", jobID: first.id, epoch: 1) == "10:00")
        _ = try await suite.harvest(first, [])
        try await suite.jobs.cancel(id: first.id)
        let second = try await suite.jobs.create(
            datasourceID: suite.datasource, collection: "products", space: space, type: .incremental)
        #expect(try await suite.jobs.begin(jobID: second.id, epoch: 1)?.previousWatermark == nil)
        _ = try await suite.jobs.fixWatermark("11:00", jobID: second.id, epoch: 1)
        _ = try await suite.harvest(try await suite.jobs.job(id: second.id)!, [])
        #expect(try await suite.jobs.finish(second.id) != nil)
        let third = try await suite.jobs.create(
            datasourceID: suite.datasource, collection: "products", space: space, type: .incremental)
        #expect(try await suite.jobs.begin(jobID: third.id, epoch: 1)?.previousWatermark == "11:00")
    }

    @Test func aDryRunCountsAndTouchesNothing() async throws {
        let suite = try await SyncFixture()
        try await suite.sync([record("a", "A", "1"), record("b", "B", "1"), record("c", "C", "1")])
        let job = try await suite.begin(options: SyncOptions(dryRun: true))
        let page = try await suite.harvest(job, [record("a", "A", "1"), record("b", "B", "2"), record("d", "D", "1")])
        #expect((page.unchanged, page.payloadOnly, page.upserts, page.batches.count) == (1, 1, 1, 0))
        #expect(try await suite.state(of: "d") == nil)
        let finished = try #require(try await suite.jobs.finish(job.id))
        #expect((finished.totalRecords, finished.skipped, finished.ok, finished.deleted) == (3, 1, 2, 0))
        // Only the new text would be embedded, and it is one token long.
        let embed = finished.metadata["stats"]?["stages"]?["embed"]
        #expect(embed?["requested"]?.integer == 1 && embed?["billedTokens"]?.integer == 1)
    }

    @Test func anotherStoreDropsWhatWasKnown() async throws {
        let suite = try await SyncFixture()
        #expect(try await suite.jobs.recognise(StoreMark(incarnation: "one"), of: "products", known: nil) == false)
        try await suite.sync([record("a", "A", "1")])
        #expect(try await suite.jobs.recognise(StoreMark(incarnation: "one"), of: "products", known: nil) == false)
        let job = try await suite.begin()
        let known = try await suite.jobs.storeMark(of: "products")
        #expect(try await suite.jobs.recognise(StoreMark(incarnation: "two"), of: "products", known: known))
        #expect(try await suite.jobs.incarnation(of: "products") == "two")
        #expect(try await suite.jobs.job(id: job.id)?.status == .failed)
        #expect(try await suite.harvest(try await suite.begin(), [record("a", "A", "1")]).upserts == 1)
    }

    @Test func anOlderCopyOfTheStoreDropsWhatWasKnown() async throws {
        let suite = try await SyncFixture()
        func store(_ sequence: UInt64) -> StoreMark { StoreMark(incarnation: "one", sequence: sequence) }
        try await suite.jobs.recognise(store(0), of: "products", known: nil)
        try await suite.sync([record("a", "A", "1")])
        let page = try await suite.harvest(try await suite.begin(.webhook), [record("a", "A", "2")])
        _ = try await suite.jobs.apply(try page.batches.map { try $0.embedded() }) { [store = suite.store] in
            var outcome = store.write($0)
            outcome.sequences["products"] = 7
            return outcome
        }
        let known = try #require(try await suite.jobs.storeMark(of: "products"))
        #expect(known == store(7))
        // Ahead (a crash between the store and the commit), not told, or looked at before the last write was noted: the same store.
        for found in [store(8), store(7), StoreMark(incarnation: "one")] {
            #expect(try await suite.jobs.recognise(found, of: "products", known: known) == false)
        }
        #expect(try await suite.jobs.recognise(store(6), of: "products", known: store(6)) == false)
        #expect(try await suite.state(of: "a") != nil)

        #expect(try await suite.jobs.recognise(store(5), of: "products", known: known))
        #expect(try await suite.state(of: "a") == nil)
        #expect(try await suite.jobs.storeMark(of: "products") == store(5))
        #expect(try await suite.jobs.recognise(store(5), of: "products", known: known) == false)  // dealt with
    }

    @Test func aJobOfALostCollectionBeginsAnewWhenItGoesOn() async throws {
        let suite = try await SyncFixture()
        try await suite.jobs.recognise(StoreMark(incarnation: "one"), of: "products", known: nil)
        let cancelled = try await suite.begin(.webhook)
        _ = try await suite.harvest(cancelled, [record("w", "W", "1")])
        try await suite.jobs.cancel(id: cancelled.id)
        let job = try await suite.begin()
        let page = try await suite.harvest(job, [record("a", "A", "1"), record("b", "B", "1")], isLast: false)
        try await suite.apply(page.batches)
        try await suite.jobs.forgetCollection(physical: "products", incarnation: "another")
        #expect(try await suite.jobs.job(id: job.id)?.status == .running)

        try await suite.jobs.forgetCollection(physical: "products", incarnation: "one")
        let failed = try #require(try await suite.jobs.job(id: job.id))
        #expect((failed.status, failed.ok, failed.epoch) == (.failed, 2, 2))
        #expect(failed.errorMessage?.contains("products") == true)
        #expect(try await suite.jobs.incarnation(of: "products") == nil)
        #expect(try await suite.state(of: "a") == nil)
        #expect(try await suite.jobs.cursors(jobID: cancelled.id).isEmpty)

        let resumed = try await suite.jobs.resume(id: job.id)
        #expect((resumed.read, resumed.ok) == (0, 0))
        #expect(resumed.startSequence > job.startSequence)
        #expect(try await suite.jobs.jobsToHarvest(silentFor: .zero).map(\.jobID) == [job.id])
        let state = try #require(try await suite.jobs.begin(jobID: job.id, epoch: resumed.epoch))
        #expect(state.cursors == [SyncCursor(shard: 0)])
        try await suite.apply(
            try await suite.harvest(state.job, [record("a", "A", "1"), record("b", "B", "1")]).batches)
        try await suite.jobs.deletesPlanned(state.job)
        let finished = try #require(try await suite.jobs.finish(job.id))
        #expect((finished.totalRecords, finished.ok, finished.skipped) == (2, 2, 0))
    }

    @Test func jobsAreListedNewestFirstWithTheirCounters() async throws {
        let suite = try await SyncFixture()
        let first = try await suite.sync([record("a", "A", "1")])
        let second = try await suite.begin(.webhook)
        _ = try await suite.harvest(second, [record("a", "A", "1")])
        let (items, total) = try await suite.jobs.jobs(limit: 10)
        #expect(total == 2 && items.map(\.id) == [second.id, first.id])
        #expect(items[0].skipped == 1 && items[1].ok == 1)
        #expect(
            try await suite.jobs.jobs(status: .completed, datasourceID: suite.datasource).items.map(\.id) == [first.id])
        #expect(try await suite.jobs.jobs(type: .full, limit: 1, offset: 1).items.isEmpty)
        #expect(try await suite.jobs.job(id: "not-a-uuid") == nil)
        #expect(try await suite.jobs.removeJobs(endedBefore: .zero) == 1)
        #expect(try await suite.jobs.jobs().total == 1)
    }

    @Test func theTablesGoAndComeAgain() async throws {
        let suite = try await SyncFixture()
        let migrator = syncJobsMigrator(pool: suite.pool)
        let all = try await migrator.down(to: 0)
        #expect(all.last == 1 && all == all.sorted(by: >))
        #expect(try await migrator.up() == all.reversed())
    }
}
