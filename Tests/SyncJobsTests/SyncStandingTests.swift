import Postgres
import SyncJobs
import Testing
import WireProtocol

/// Two physical collections of one name are filled beside each other; what is known of one says nothing of the other.
@Suite struct SyncStandingTests {
    private static let both = ["products@1", "products@2"]

    private func standings(_ suite: SyncFixture) async throws -> [String: SyncStanding] {
        Dictionary(
            try await suite.jobs.standings(in: Self.both).map { ($0.collection, $0) }, uniquingKeysWith: { $1 })
    }

    @Test func aSyncOfEachVersionRunsBesideTheOther() async throws {
        let suite = try await SyncFixture()
        let first = try await suite.begin(collection: "products@1")
        let second = try await suite.begin(collection: "products@2")
        #expect(first.id != second.id)
        await #expect(throws: SyncJobsError.self) { try await suite.begin(.incremental, collection: "products@2") }
    }

    @Test func eachVersionTakesARecordOnceAndSkipsItAfterwards() async throws {
        let suite = try await SyncFixture()
        let records = [record("a", "A", "1"), record("b", "B", "1")]
        #expect(try await suite.sync(records, collection: "products@1").ok == 2)
        #expect(try await suite.sync(records, collection: "products@2").ok == 2)
        for collection in Self.both {
            let again = try await suite.sync(records, collection: collection)
            #expect(again.skipped == 2 && again.ok == 0)
        }
        let changed = [record("a", "A2", "1"), record("b", "B", "1")]
        for collection in Self.both {
            let job = try await suite.sync(changed, collection: collection)
            #expect(job.ok == 1 && job.skipped == 1)
        }
    }

    @Test func aCompletedSyncIsKeptAndADryRunIsNone() async throws {
        let suite = try await SyncFixture()
        #expect(try await suite.jobs.standings(in: Self.both).isEmpty)
        let full = try await suite.sync([record("a", "A", "1")], collection: "products@1")
        var standing = try #require(try await standings(suite)["products@1"])
        #expect(standing.fullAt != nil && standing.jobID == full.id && standing.startSequence == full.startSequence)
        #expect(standing.last?.id == full.id && standing.last?.status == .completed && standing.last?.failed == 0)

        let trial = try await suite.begin(options: SyncOptions(dryRun: true), collection: "products@1")
        _ = try await suite.harvest(trial, [record("a", "A", "1")])
        #expect(try await suite.jobs.finish(trial.id)?.status == .completed)
        #expect(try await standings(suite)["products@1"] == standing)

        let next = try await suite.begin(.incremental, collection: "products@1")
        standing = try #require(try await standings(suite)["products@1"])
        #expect(standing.last?.id == next.id && standing.last?.status == .running)
        #expect(standing.jobID == full.id, "an unfinished sync has brought nothing yet")
        _ = try await suite.harvest(next, [])
        _ = try await suite.jobs.finish(next.id)
        standing = try #require(try await standings(suite)["products@1"])
        #expect(standing.jobID == next.id && standing.startSequence == next.startSequence)
        #expect(try await suite.jobs.hasCompletedFull(datasourceID: suite.datasource, collection: "products@1"))
        #expect(try await !suite.jobs.hasCompletedFull(datasourceID: suite.datasource, collection: "products@2"))
    }

    @Test func whatIsForgottenWithItsStoreIsNotCompleteAnyMore() async throws {
        let suite = try await SyncFixture()
        for collection in Self.both { try await suite.sync([record("a", "A", "1")], collection: collection) }
        try await suite.jobs.recognise(StoreMark(incarnation: "one"), of: "products@2", known: nil)
        try await suite.jobs.forgetCollection(physical: "products@2")
        #expect(try await standings(suite)["products@2"]?.fullAt == nil)
        #expect(try await standings(suite)["products@1"]?.fullAt != nil)
        try await suite.jobs.forgetDatasource(id: suite.datasource)
        #expect(try await standings(suite)["products@1"]?.fullAt == nil)
    }

    @Test func givingAVersionUpEndsItsJobsAndNoOthers() async throws {
        let suite = try await SyncFixture()
        let kept = try await suite.begin(collection: "products@1")
        let given = try await suite.begin(collection: "products@2")
        try await suite.jobs.cancelJobs(in: "products@2", reason: "given up")
        #expect(try await suite.jobs.job(id: given.id)?.status == .cancelled)
        #expect(try await suite.jobs.job(id: given.id)?.errorMessage == "given up")
        #expect(try await suite.jobs.job(id: kept.id)?.status == .running)
    }

    @Test func whatWasSyncedByAnEarlierReleaseCountsAfterTheMigration() async throws {
        let suite = try await SyncFixture()
        let job = try await suite.sync([record("a", "A", "1")], collection: "products@1")
        try await syncJobsMigrator(pool: suite.pool).down(to: 1)
        try await syncJobsMigrator(pool: suite.pool).up()
        let standing = try #require(try await standings(suite)["products@1"])
        #expect(standing.jobID == job.id && standing.startSequence == job.startSequence && standing.fullAt != nil)
    }
}
