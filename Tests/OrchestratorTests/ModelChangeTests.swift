import Datasources
import HTTPServer
import ServiceClients
import ServiceRuntime
import SyncJobs
import Testing
import WireProtocol

@testable import Orchestrator

private let other = EmbeddingSpace(provider: "openai", model: "another", dimensions: 8)

/// The routes over a real PostgreSQL; the store and the embedder are not there.
struct ModelChangeRoutesTests {
    private struct Rebuild {
        let fixture: OrchestratorFixture
        let datasource: String
        let jobs: SyncJobStore
        let collections: VectorCollectionStore

        init(switchesWhenReady: Bool = false) async throws {
            fixture = try await OrchestratorFixture()
            jobs = SyncJobStore(pool: fixture.pool, log: .silent)
            collections = VectorCollectionStore(pool: fixture.pool)
            let made = try await fixture.send("POST", "/api/datasources", OrchestratorFixture.datasource)
            datasource = try #require(made.body["id"]?.string)
            _ = try await collections.ensure(
                name: "products", vectorSize: 384, space: .example, datasourceID: datasource)
            _ = try await collections.addVersion(
                of: "products", vectorSize: 8, space: other, switchesWhenReady: switchesWhenReady)
        }

        /// A full sync of nothing into a version, to its end.
        func sync(_ version: Int, _ kind: SyncJob.Kind = .full, ending: SyncJob.Status = .completed) async throws {
            let job = try await jobs.create(
                datasourceID: datasource, collection: "products@\(version)", space: version == 1 ? .example : other,
                type: kind)
            _ = try await jobs.begin(jobID: job.id, epoch: 1)
            guard ending == .completed else {
                try await jobs.fail(id: job.id, reason: "the provider is out")
                return
            }
            _ = try await jobs.commit(
                RecordPage(
                    readSequence: try await jobs.nextReadSequence(), previous: nil, next: nil, isLast: true,
                    records: []), of: job)
            if kind == .full { try await jobs.deletesPlanned(job) }
            #expect(try await jobs.finish(job.id)?.status == .completed)
        }

        func active() async throws -> Int? { try await collections.collection(name: "products")?.active.number }
    }

    @Test func aSwitchBeforeEverythingIsThereSaysWhatIsMissing() async throws {
        let rebuild = try await Rebuild()
        try await rebuild.sync(1)
        let early = try await rebuild.fixture.send("POST", "/api/collections/products/switch")
        #expect(early.status == 409)
        #expect(early.body["missing"]?.array?.first?.string?.contains("shop") == true, "\(early.body)")
        try await rebuild.sync(2, ending: .failed)
        let failed = try await rebuild.fixture.send("POST", "/api/collections/products/switch")
        #expect(failed.body["missing"]?.array?.first?.string?.contains("failed") == true, "\(failed.body)")
        #expect(try await rebuild.active() == 1)

        try await rebuild.sync(2)
        let switched = try await rebuild.fixture.send("POST", "/api/collections/products/switch")
        #expect(switched.status == 200)
        #expect(switched.body["version"] == 2 && switched.body["vectorSize"] == 8)
        #expect(try await rebuild.active() == 2)
        #expect(try await rebuild.fixture.send("POST", "/api/collections/products/switch").status == 409)

        let back = try await rebuild.fixture.send("POST", "/api/collections/products/rollback")
        #expect(back.status == 200 && back.body["version"] == 1)
        #expect(try await rebuild.fixture.send("POST", "/api/collections/products/rollback").status == 409)
        #expect(try await rebuild.fixture.send("POST", "/api/collections/products/switch").body["version"] == 2)
    }

    @Test func aVersionThatFellBehindIsNotSwitchedTo() async throws {
        let rebuild = try await Rebuild()
        try await rebuild.sync(1)
        try await rebuild.sync(2)
        try await rebuild.sync(1)
        let answer = try await rebuild.fixture.send("POST", "/api/collections/products/switch")
        #expect(answer.status == 409)
        #expect(answer.body["missing"]?.array?.first?.string?.contains("last sync") == true, "\(answer.body)")
        // The emergency exit asks for nothing.
        try await rebuild.sync(2)
        _ = try await rebuild.fixture.send("POST", "/api/collections/products/switch")
        try await rebuild.sync(2)
        #expect(try await rebuild.fixture.send("POST", "/api/collections/products/rollback").status == 200)
    }

    @Test func theKeeperSwitchesWhenThatWasAskedForAndEverythingIsThere() async throws {
        let rebuild = try await Rebuild(switchesWhenReady: true)
        try await rebuild.sync(1)
        try await rebuild.sync(2, ending: .failed)
        try await rebuild.fixture.parts.versions.lookAfterIfAlone()
        #expect(try await rebuild.active() == 1)
        try await rebuild.sync(2)
        try await rebuild.fixture.parts.versions.lookAfterIfAlone()
        #expect(try await rebuild.active() == 2)
        try await rebuild.fixture.parts.versions.lookAfterIfAlone()
        #expect(try await rebuild.active() == 2)
        _ = try await rebuild.fixture.send("POST", "/api/collections/products/rollback")
        try await rebuild.fixture.parts.versions.lookAfterIfAlone()
        #expect(try await rebuild.active() == 1, "a rollback is not undone by itself")
    }

    @Test func aRebuildThatIsGivenUpEndsItsJobs() async throws {
        let rebuild = try await Rebuild()
        let job = try await rebuild.jobs.create(
            datasourceID: rebuild.datasource, collection: "products@2", space: other, type: .full)
        let shown = try await rebuild.fixture.send("GET", "/api/collections/products/rebuild")
        #expect(shown.status == 200)
        #expect(shown.body["ready"] == false && shown.body["version"]?["number"] == 2)
        #expect(shown.body["datasources"]?.array?.first?["job"]?["id"]?.string == job.id)
        #expect(try await rebuild.fixture.send("DELETE", "/api/collections/products/rebuild").status == 204)
        #expect(try await rebuild.jobs.job(id: job.id)?.status == .cancelled)
        #expect(try await rebuild.fixture.send("GET", "/api/collections/products/rebuild").status == 404)
        #expect(try await rebuild.fixture.send("DELETE", "/api/collections/products/rebuild").status == 409)
        #expect(try await rebuild.fixture.send("POST", "/api/sync/jobs/\(job.id)/resume").status == 409)
    }

    @Test func anotherModelIsNoSettingOfADatasourceWhoseCollectionIsFilled() async throws {
        let rebuild = try await Rebuild()
        let path = "/api/datasources/\(rebuild.datasource)"
        let refused = try await rebuild.fixture.send("PUT", path, ["embedding": ["provider": "openai"]])
        #expect(refused.status == 409)
        #expect(refused.body["detail"]?.string?.contains("/api/collections/products/rebuild") == true)
        #expect(try await rebuild.fixture.send("PUT", path, ["embedding": ["provider": "local"]]).status == 200)
        #expect(
            try await rebuild.fixture.send("PUT", path, ["embedding": ["template": "A {{title}}"]]).status == 200)
        var second = OrchestratorFixture.datasource.object ?? JSONObject()
        second["name"] = "second"
        second["embedding"] = ["dimensions": 8]
        #expect(try await rebuild.fixture.send("POST", "/api/datasources", .object(second)).status == 409)
    }

    @Test func aSpaceThatTheEmbedderDoesNotServeMakesNoCollection() async throws {
        let embedder = try await serve { router in
            router.on("GET", "/providers") { _ in
                let provider: JSONValue = ["space": "local|m|384|none|normalized", "default": true]
                return .json(["providers": [provider]] as JSONValue)
            }
            router.on("POST", "/embed") { _ in throw Problem.badRequest("m gives 384 dimensions, not 17") }
        }
        let fixture = try await OrchestratorFixture(embedder: embedder.url)
        var draft = try #require(OrchestratorFixture.datasource.object)
        draft["embedding"] = ["dimensions": 17]
        let id = try #require(try await fixture.send("POST", "/api/datasources", .object(draft)).body["id"]?.string)
        let answer = try await fixture.send("POST", "/api/sync/full/\(id)")
        #expect(answer.status == 400)
        #expect(
            answer.body["errors"]
                == [["field": "embedding", "message": "cannot be served: m gives 384 dimensions, not 17"]])
        #expect(try await fixture.send("GET", "/api/collections").body["total"] == 0)
    }

    @Test func theAnswersNameTheVersion() async throws {
        let rebuild = try await Rebuild()
        let job = try await rebuild.jobs.create(
            datasourceID: rebuild.datasource, collection: "products@2", space: other, type: .full)
        let shown = try await rebuild.fixture.send("GET", "/api/sync/jobs/\(job.id)")
        #expect(shown.body["collection"] == "products" && shown.body["collectionVersion"] == 2)
    }

    @Test(
        arguments: [
            ("rebuild", ["embedding": ["provider": "abc"]], "embedding.provider"),
            ("rebuild", ["embedding": ["dimensions": 0]], "embedding.dimensions"),
            ("rebuild", ["embedding": "openai"], "embedding"), ("rebuild", ["now": true], "now"),
            ("rebuild", ["embedding": ["model": "a|b"]], "embedding.model"),
            ("rebuild", ["switchWhenReady": 1], "switchWhenReady"), ("switch", ["whenReady": "yes"], "whenReady"),
            ("comparison", ["queries": []], "queries"), ("comparison", ["queries": ["a", " "]], "queries[1]"),
            ("comparison", ["limit": 0], "limit"), ("comparison", ["mode": "both"], "mode"),
            ("comparison", ["samples": 51], "samples"),
        ] as [(String, JSONValue, String)])
    func aWrongMemberIsNamed(_ action: String, _ body: JSONValue, _ field: String) async throws {
        let answer = try await OrchestratorFixture().send("POST", "/api/collections/products/\(action)", body)
        #expect(answer.status == 400)
        #expect(answer.body["errors"]?.array?.contains { $0["field"]?.string == field } == true, "\(answer.body)")
    }

    @Test(arguments: [
        ("POST", "rebuild"), ("GET", "rebuild"), ("DELETE", "rebuild"), ("POST", "switch"), ("POST", "rollback"),
        ("DELETE", "rollback"), ("GET", "comparison"),
    ])
    func anUnknownCollectionIs404(_ method: String, _ action: String) async throws {
        let answer = try await OrchestratorFixture().send(method, "/api/collections/none/\(action)")
        #expect(answer.status == 404)
    }

    @Test func aCollectionThatNothingFillsIsNotRebuilt() async throws {
        let fixture = try await OrchestratorFixture()
        _ = try await VectorCollectionStore(pool: fixture.pool).ensure(name: "bare", vectorSize: 3, space: .example)
        let answer = try await fixture.send("POST", "/api/collections/bare/rebuild")
        #expect(answer.status == 409)
        #expect(try await fixture.send("GET", "/api/collections/bare/comparison").status == 409)
    }
}

struct RankComparisonTests {
    private func hits(_ keys: [String]) -> [SearchHit] {
        keys.map { SearchHit(point: ["id": .string($0), "payload": ["_key": .string($0)]]) }
    }

    @Test func whatBothHaveIsCountedAndWhatMovedIsNamed() {
        let ranks = RankComparison(before: hits(["a", "b", "c", "d"]), after: hits(["a", "c", "b", "e"]))
        #expect(ranks.overlap == 0.75)
        #expect(
            ranks.changes == [
                .init(id: "c", key: "c", before: 3, after: 2), .init(id: "b", key: "b", before: 2, after: 3),
                .init(id: "e", key: "e", before: nil, after: 4), .init(id: "d", key: "d", before: 4, after: nil),
            ])
    }

    @Test func aShorterListIsNotFullOverlap() {
        #expect(RankComparison(before: hits(["a", "b"]), after: hits(["a"])).overlap == 0.5)
        #expect(RankComparison(before: [], after: []).overlap == 1)
    }
}

struct SpaceChoiceTests {
    private static let local = EmbeddingSpace.example
    private static let openAI = EmbeddingSpace(
        provider: "openai", model: "text-embedding-3-small", dimensions: 1536)
    private let choice = SpaceChoice(providers: [
        .init(name: "local", space: Self.local, isDefault: true, costPerMillionTokens: 0),
        .init(name: "openai", space: Self.openAI, isDefault: false, costPerMillionTokens: 0.02),
    ])

    @Test func whatIsLeftOutIsTheProvidersOrTheCollections() throws {
        #expect(try choice.space(of: .init()) == Self.local)
        #expect(try choice.space(of: .init(provider: "openai")) == Self.openAI, "not with another provider's model")
        var short = Self.openAI
        short.dimensions = 256
        #expect(try choice.space(of: .init(), current: short) == short)
        #expect(try choice.space(of: .init(provider: "openai"), current: short) == short)
        #expect(try choice.space(of: .init(dimensions: 512), current: short).dimensions == 512)
        #expect(try choice.space(of: .init(provider: "local"), current: short) == Self.local)
        let large = try choice.space(of: .init(model: "text-embedding-3-large", dimensions: 3072), current: short)
        #expect(large.identifier == "openai|text-embedding-3-large|3072|none|normalized")
    }

    @Test(arguments: [
        (Datasource.Embedding(provider: "gemini"), "embedding.provider"),
        (.init(provider: "openai", model: "another"), "embedding.dimensions"),
    ])
    func whatCannotBeKnownIsAskedFor(_ wanted: Datasource.Embedding, _ field: String) {
        #expect {
            try choice.space(of: wanted)
        } throws: { error in
            (error as? Problem)?.errors.first?.field == field
        }
    }
}
