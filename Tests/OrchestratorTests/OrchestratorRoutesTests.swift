import FastJSON
import SyncJobs
import Testing
import WireProtocol

@testable import Orchestrator

struct OrchestratorRoutesTests {
    @Test func theDocumentNamesEveryRouteAndNoOther() async throws {
        let fixture = try await OrchestratorFixture()
        let document = try JSONReader.parse(PackageResources.openapi_json, maximumDepth: 64)
        var documented = Set<String>()
        for (path, operations) in document["paths"]?.object?.members ?? [] {
            for method in operations.object?.names ?? [] {
                let pattern = path.replacing(/\{(\w+)\}/) { ":\($0.output.1)" }
                documented.insert("\(method.uppercased()) \(pattern)")
            }
        }
        #expect(documented == Set(fixture.router.routes.map { "\($0.method) \($0.path)" }))
    }

    @Test func everyRouteButHealthAndMetricsAsksForAKey() async throws {
        let fixture = try await OrchestratorFixture()
        let open = ["/health", "/livez", "/readyz", "/metrics", "/api/health"]
        for route in fixture.router.routes {
            let path = route.path.replacing(/:\w+/, with: "3f2b9c1e-5a0d-4a53-8f0e-0d8f1c5b7a11")
            guard !open.contains(where: { path == $0 || path.hasPrefix($0 + "/") }) else { continue }
            #expect(try await fixture.send(route.method, path, key: nil).status == 401, "\(route)")
            #expect(try await fixture.send(route.method, path, key: "sk_wrong").status == 401, "\(route)")
        }
        #expect(try await fixture.send("GET", "/livez", key: nil).status == 200)
    }

    @Test func aDatasourceIsMadeShownChangedListedAndDeleted() async throws {
        let fixture = try await OrchestratorFixture()
        let made = try await fixture.send("POST", "/api/datasources", OrchestratorFixture.datasource)
        #expect(made.status == 201)
        #expect(made.body["webhookSecret"]?.string?.hasPrefix("whsec_") == true)
        let id = try #require(made.body["id"]?.string)
        let shown = try await fixture.send("GET", "/api/datasources/\(id)")
        #expect(shown.body["name"] == "shop")
        #expect(shown.body["webhookSecret"] == nil)
        let changed = try await fixture.send("PUT", "/api/datasources/\(id)", ["description": "all of it"])
        #expect(changed.body["description"] == "all of it")
        #expect(try await fixture.send("GET", "/api/datasources").body["total"] == 1)
        #expect(try await fixture.send("POST", "/api/datasources", OrchestratorFixture.datasource).status == 409)
        #expect(try await fixture.send("DELETE", "/api/datasources/\(id)").status == 204)
        #expect(try await fixture.send("GET", "/api/datasources/\(id)").status == 404)
    }

    @Test(arguments: ["mssql", "mysql", "api", "xlsx", "jsonl", "odbc"])
    func aSourceThatNothingCanReadYetIsNotMade(type: String) async throws {
        var draft = try #require(OrchestratorFixture.datasource.object)
        draft["type"] = .string(type)
        let answer = try await OrchestratorFixture().send("POST", "/api/datasources", .object(draft))
        #expect(answer.status == 400)
        #expect(
            answer.body["errors"]?.array?.contains(
                ["field": "type", "message": .string("\(type) cannot be read by this version: postgresql, csv")])
                == true)
    }

    @Test func settingsWithoutEffectAreNotPassedOver() async throws {
        let fixture = try await OrchestratorFixture()
        let made = try await fixture.send("POST", "/api/datasources", OrchestratorFixture.datasource)
        #expect(made.body["notes"] == nil)
        let id = try #require(made.body["id"]?.string)
        let changed = try await fixture.send(
            "PUT", "/api/datasources/\(id)", ["syncSchedule": "0 3 * * *", "webhookEnabled": true])
        #expect(changed.body["syncSchedule"] == "0 3 * * *" && changed.body["notes"]?.array?.count == 2)
        let sentBack = try await fixture.send("PUT", "/api/datasources/\(id)", changed.body)
        #expect(sentBack.status == 200)
    }

    @Test func everythingWrongWithADatasourceIsSaidAtOnce() async throws {
        let fixture = try await OrchestratorFixture()
        let answer = try await fixture.send("POST", "/api/datasources", ["type": "cobol", "embeddingFields": []])
        #expect(answer.status == 400)
        let fields = answer.body["errors"]?.array?.compactMap { $0["field"]?.string } ?? []
        #expect(Set(["name", "type", "fieldMapping", "qdrantCollection"]).isSubset(of: fields))
    }

    @Test(arguments: [
        ("batchSize", 0 as JSONValue), ("batchSize", 1001), ("batchSize", "50"), ("force", 1), ("speed", 9),
    ])
    func aWrongOptionOfASyncIsNamed(_ field: String, _ value: JSONValue) async throws {
        let fixture = try await OrchestratorFixture()
        let made = try await fixture.send("POST", "/api/datasources", OrchestratorFixture.datasource)
        let id = try #require(made.body["id"]?.string)
        let answer = try await fixture.send("POST", "/api/sync/full/\(id)", .object(JSONObject([(field, value)])))
        #expect(answer.status == 400)
        #expect(answer.body["errors"]?.array?.first?["field"]?.string == field)
    }

    static let wrongBodies: [(String, JSONValue)] = [
        ("cancel", ["reason": ["a"]]), ("cancel", ["because": "x"]),
        ("cancel", ["reason": .string(.init(repeating: "x", count: 1001))]),
        ("cancel", []),
    ]

    @Test(arguments: wrongBodies)
    func aWrongBodyOfACancelStopsNothing(_ action: String, _ body: JSONValue) async throws {
        let fixture = try await OrchestratorFixture()
        let jobs = SyncJobStore(pool: fixture.pool, log: .silent)
        let job = try await jobs.create(
            datasourceID: "3f2b9c1e-5a0d-4a53-8f0e-0d8f1c5b7a11", collection: "c", space: .example, type: .full)
        #expect(try await fixture.send("POST", "/api/sync/jobs/\(job.id)/\(action)", body).status == 400)
        #expect(try await jobs.job(id: job.id)?.status == .pending)
        #expect(
            try await fixture.send("POST", "/api/sync/jobs/\(job.id)/\(action)", ["reason": "enough"]).status == 200)
        #expect(try await jobs.job(id: job.id)?.errorMessage == "enough")
    }

    @Test func aJobWhoseDatasourceIsGoneIsNotResumed() async throws {
        let fixture = try await OrchestratorFixture()
        let jobs = SyncJobStore(pool: fixture.pool, log: .silent)
        let job = try await jobs.create(
            datasourceID: "3f2b9c1e-5a0d-4a53-8f0e-0d8f1c5b7a11", collection: "c", space: .example, type: .full)
        _ = try await jobs.cancel(id: job.id, reason: "the datasource was deleted")
        let answer = try await fixture.send("POST", "/api/sync/jobs/\(job.id)/resume")
        #expect(answer.status == 409)
        #expect(try await jobs.job(id: job.id)?.status == .cancelled)
    }

    @Test func aDatasourceIsNotDeletedWhenItIsNotClearWhatBecomesOfItsPoints() async throws {
        let fixture = try await OrchestratorFixture()
        let made = try await fixture.send("POST", "/api/datasources", OrchestratorFixture.datasource)
        let id = try #require(made.body["id"]?.string)
        #expect(try await fixture.send("DELETE", "/api/datasources/\(id)?deletePoints=null").status == 400)
        #expect(try await fixture.send("GET", "/api/datasources/\(id)").status == 200)
    }

    @Test(arguments: [
        ("POST", "/api/sync/full/3f2b9c1e-5a0d-4a53-8f0e-0d8f1c5b7a11"), ("POST", "/api/sync/full/none"),
        ("GET", "/api/sync/jobs/3f2b9c1e-5a0d-4a53-8f0e-0d8f1c5b7a11"), ("POST", "/api/sync/jobs/none/cancel"),
        ("GET", "/api/sync/jobs/none/events"), ("GET", "/api/collections/none"), ("POST", "/api/dead-letters/7/replay"),
    ])
    func whatIsNotThereIs404(_ method: String, _ path: String) async throws {
        let fixture = try await OrchestratorFixture()
        let answer = try await fixture.send(method, path)
        #expect(answer.status == 404)
        #expect(answer.body["detail"]?.string?.isEmpty == false)
    }

    @Test func aSearchOnAnUnknownCollectionSaysWhichExist() async throws {
        let fixture = try await OrchestratorFixture()
        let answer = try await fixture.send("POST", "/api/search", ["collection": "none", "query": "lamp"])
        #expect(answer.status == 404)
        #expect(answer.body["detail"]?.string?.contains("no collection is called none") == true)
    }

    @Test func aNullMemberOfASearchIsOneThatIsLeftOut() async throws {
        let body: JSONValue = [
            "collection": "none", "query": "lamp", "filter": nil, "limit": nil, "offset": nil, "mode": nil,
            "facets": nil,
        ]
        #expect(try await OrchestratorFixture().send("POST", "/api/search", body).status == 404)
    }

    @Test(arguments: [[], ["depth": 3], ["m": "a"]] as [JSONValue])
    func aWrongIndexSettingOfACollectionIsNamed(_ hnsw: JSONValue) async throws {
        let body: JSONValue = ["name": "c", "vectorSize": 3, "hnsw": hnsw]
        let answer = try await OrchestratorFixture().send("POST", "/api/collections", body)
        #expect(answer.status == 400)
        #expect(answer.body["errors"]?.array?.first?["field"]?.string?.hasPrefix("hnsw") == true)
    }

    @Test(arguments: ["\0", "a\0b", "../a", " "])
    func aNameThatNoCollectionCanHaveIsUnknown(_ name: String) async throws {
        let fixture = try await OrchestratorFixture()
        let answer = try await fixture.send("POST", "/api/search", ["collection": .string(name), "query": "lamp"])
        #expect(answer.status == 404)
    }

    static let wrongSearches: [(String, JSONValue)] = [
        ("query", ["collection": "a"]), ("limit", ["collection": "a", "query": "b", "limit": 1_000_000_000]),
        ("filter", ["collection": "a", "query": "b", "filter": []]),
        ("mode", ["collection": "a", "query": "b", "mode": "x"]),
        ("facets", ["collection": "a", "query": "b", "facets": "brand"]),
        ("facets", ["collection": "a", "query": "b", "facets": ["brand", 1]]),
        ("colour", ["collection": "a", "query": "b", "colour": 1]), ("query", ["collection": "a", "query": 5]),
    ]

    @Test(arguments: wrongSearches)
    func aWrongMemberOfASearchIsNamed(_ field: String, _ body: JSONValue) async throws {
        let answer = try await OrchestratorFixture().send("POST", "/api/search", body)
        #expect(answer.status == 400)
        #expect(answer.body["errors"]?.array?.contains { $0["field"]?.string == field } == true)
    }

    @Test func aServiceThatIsAwayMakesTheSuiteFailAndTheAnswerSaySo() async throws {
        let fixture = try await OrchestratorFixture()
        let answer = try await fixture.send("GET", "/api/health/services", key: nil)
        #expect(answer.status == 503)
        #expect(answer.body["services"]?["embedder"]?["status"] == "fail")
        #expect(answer.body["services"]?["orchestrator"]?["checks"]?["database"]?["status"] == "pass")
    }
}

struct OrchestratorConfigurationTests {
    @Test func everyProblemIsReportedAtOnce() {
        #expect {
            try OrchestratorConfiguration(
                from: .init([
                    "PORT": "x", "REDIS_URL": "http://a", "ADMIN_API_KEY": "short",
                    "CORS_ORIGINS": "https://shop.example, shop.example", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a",
                ]))
        } throws: { error in
            [
                "PORT", "REDIS_URL", "ADMIN_API_KEY", "SECRETS_KEY", "CORS_ORIGINS: shop.example is",
                "OTEL_EXPORTER_OTLP_ENDPOINT",
            ].allSatisfy { "\(error)".contains($0) }
        }
    }
}

struct SearchHitTests {
    @Test func aHitShowsTheRecordsFieldsAndNotTheSuitesOwn() {
        let hit = SearchHit(
            point: ["id": "u-1", "score": 0.5, "payload": ["_key": "sku-7", "_datasource": "d", "title": "Lamp"]])
        #expect(
            hit.json == ["id": "u-1", "key": "sku-7", "score": 0.5, "payload": ["title": "Lamp"], "highlights": [:]])
    }
}
