import SyncJobs
import Testing
import WireProtocol

@testable import Orchestrator

struct SupervisorTests {
    /// Whoever ended the job: the harvester, the indexer, a user.
    @Test func workersAreToldOfAJobThatHasFailed() async throws {
        let fixture = try await OrchestratorFixture()
        let jobs = SyncJobStore(pool: fixture.pool, log: .silent)
        let job = try await jobs.create(
            datasourceID: "3f2b9c1e-5a0d-4a53-8f0e-0d8f1c5b7a11", collection: "c", space: .example, type: .full)
        try await fixture.parts.supervisor.superviseIfAlone()
        #expect(await fixture.queue.epochHint(job: job.id) == nil)
        let failed = try await jobs.fail(id: job.id, reason: "the source is gone")
        try await fixture.parts.supervisor.superviseIfAlone()
        #expect(await fixture.queue.epochHint(job: job.id) == failed.epoch)
        #expect(failed.epoch > job.epoch)
    }
}
