import Crypto
import Datasources
import FastJSON
import Foundation
import HTTPClient
import HTTPServer
import Postgres
import ServiceClients
import ServiceRuntime
import TestServers
import Testing
import WireProtocol

@testable import DataHarvester

@Suite struct RoutesTests {
    private func router(_ fixture: HarvestFixture, token: String? = nil, folder: String? = nil) -> Router {
        var settings = SourceConnectors.Settings()
        settings.folder = folder
        return DataHarvesterRoutes(
            connectors: SourceConnectors(settings: settings, datasources: fixture.datasources),
            processor: fixture.processor,
            health: HealthChecks(), metrics: Metrics(), internalToken: token
        ).router(shutdown: Shutdown())
    }

    private func post(_ router: Router, _ path: String, _ body: JSONValue, token: String? = nil) async throws -> (
        Int, JSONValue
    ) {
        var request = try HTTPRequest(method: "POST", target: path, body: body.serializedBytes)
        if let token { request.headers["Authorization"] = "Bearer \(token)" }
        let response = await router.respond(to: request)
        return (response.status, try JSONReader.parse(response.bytes ?? []))
    }

    @Test func aNullMemberIsOneThatIsLeftOut() async throws {
        let fixture = try await HarvestFixture()
        let (status, _) = try await post(
            router(fixture), "/sources/test",
            [
                "datasource_id": nil, "type": "postgresql", "connection_config": .object(fixture.source.connection),
                "query_template": nil, "field_mapping": nil, "embedding_fields": nil, "embedding_template": nil,
                "processing": nil, "limit": nil,
            ])
        #expect(status == 200)
    }

    @Test func previewsAnExistingDatasourceAndAnInlineOne() async throws {
        let fixture = try await HarvestFixture()
        let datasource = try await fixture.datasource()
        let router = router(fixture)
        let (status, answer) = try await post(
            router, "/sources/preview", ["datasource_id": .string(datasource.id), "limit": 2])
        #expect(status == 200)
        #expect(answer["total"] == 2500)
        #expect(answer["rows"]?.array?.count == 2)
        let first = try #require(answer["rows"]?.array?.first)
        #expect(first["text"] == "Product 1")
        #expect(first["key"] == "1")
        #expect(first["payload"] == ["price": 1.25, "sku": "S-1", "title": "Product 1"])
        #expect(first["row"]?["id"] == 1)

        let inline: JSONValue = [
            "type": "postgresql", "connection_config": .object(fixture.source.connection),
            "query_template": "SELECT * FROM products WHERE id > {{after}} ORDER BY id LIMIT {{limit}}",
            "field_mapping": ["id": "id", "t": "name"], "embedding_fields": ["t"], "embedding_template": "A {{t}}",
        ]
        let (inlineStatus, inlineAnswer) = try await post(router, "/sources/preview", inline)
        #expect(inlineStatus == 200)
        #expect(inlineAnswer["records"]?.array?.count == 5)
        #expect(inlineAnswer["records"]?.array?.first?["text"] == "A Product 1")

        // The wizard's earlier steps: no mapping yet, no query yet.
        var unmapped = inline.object ?? JSONObject()
        unmapped["field_mapping"] = nil
        unmapped["embedding_template"] = nil
        let (early, rows) = try await post(router, "/sources/preview", .object(unmapped))
        #expect(early == 200)
        #expect(rows["columns"] == ["id", "sku", "name", "price", "changed"])
        #expect(rows["rows"]?.array?.count == 5)
        unmapped["query_template"] = nil
        let (tested, test) = try await post(router, "/sources/test", .object(unmapped))
        #expect(tested == 200)
        #expect(test["server"]?.string?.hasPrefix("PostgreSQL ") == true)
        let (_, count) = try await post(router, "/sources/count", ["datasource_id": .string(datasource.id)])
        #expect(count == ["total": 2500, "is_exact": true])
        let (_, valid) = try await post(
            router, "/sources/validate",
            ["datasource_id": .string(datasource.id), "query_template": "SELECT id FROM products"])
        #expect(valid["columns"] == ["id"])
    }

    @Test func failuresNameTheirPlace() async throws {
        let fixture = try await HarvestFixture()
        let datasource = try await fixture.datasource()
        let router = router(fixture)
        let id = JSONValue.string(datasource.id)
        let (status, problem) = try await post(
            router, "/sources/validate", ["datasource_id": id, "query_template": "SELECT id, nothing FROM products"])
        #expect(status == 422)
        #expect(problem["code"] == "invalid_query")
        #expect(problem["position"] == 12)
        #expect(problem["errors"]?.array?.first?["field"] == "query_template")
        let (refused, reason) = try await post(
            router, "/sources/validate", ["datasource_id": id, "query_template": "DELETE FROM products"])
        #expect(refused == 422)
        #expect(reason["detail"]?.string?.contains("only one SELECT or WITH") == true)

        func test(_ changes: [String: JSONValue]) async throws -> (Int, JSONValue) {
            var connection = fixture.source.connection
            for (name, value) in changes { connection[name] = value }
            return try await post(
                router, "/sources/test", ["type": "postgresql", "connection_config": .object(connection)])
        }
        for (changes, code, expected): ([String: JSONValue], String, Int) in [
            (["password": "canary-secret"], "wrong_credentials", 422), (["database": "gone"], "unknown_database", 422),
            (["port": JSONValue(freePort())], "unreachable", 502),
            (["user": "postgres", "password": "postgres"], "refused_role", 422),
        ] {
            let (status, problem) = try await test(changes)
            #expect(status == expected, "\(code)")
            #expect(problem["code"]?.string == code)
            #expect(problem["errors"]?.array?.first?["field"]?.string?.hasPrefix("connection_config.") == true)
            #expect(!problem.serialized.contains("canary"))
        }
        let (wrong, errors) = try await post(
            router, "/sources/test", ["type": "postgresql", "connection_config": ["port": 0], "colour": 1])
        #expect(wrong == 400)
        #expect(errors["errors"]?.array?.count ?? 0 >= 1)
        let (unknown, _) = try await post(
            router, "/sources/test", ["datasource_id": "3f2b9c1e-5a0d-4a53-8f0e-0d8f1c5b7a11"])
        #expect(unknown == 404)
        let (mixed, _) = try await post(
            router, "/sources/test", ["datasource_id": id, "connection_config": ["host": "attacker"]])
        #expect(mixed == 400)
    }

    @Test func readsUploadedAndMountedFiles() async throws {
        let fixture = try await HarvestFixture()
        let folder = try TemporaryFolder("routes")
        try "id;name\n1;Söl\n".write(toFile: folder.path + "/a.csv", atomically: false, encoding: .utf8)
        let router = router(fixture, folder: folder.path)
        let mapping: JSONValue = ["id": "id", "title": "name"]
        let (status, answer) = try await post(
            router, "/sources/preview",
            [
                "type": "csv", "connection_config": ["path": "a.csv"], "field_mapping": mapping,
                "embedding_fields": ["title"],
            ])
        #expect(status == 200)
        #expect(answer["records"]?.array?.first?["text"] == "Söl")
        let (outside, problem) = try await post(
            router, "/sources/test", ["type": "csv", "connection_config": ["path": "../a.csv"]])
        #expect(outside == 400)
        #expect(problem["errors"]?.array?.first?["field"] == "connection_config.path")

        let datasource = try await fixture.datasource(["type": "csv", "connectionConfig": [:], "fieldMapping": mapping])
        let (missing, _) = try await post(router, "/sources/test", ["datasource_id": .string(datasource.id)])
        #expect(missing == 422)
        let text = "id,name\n" + (1...50_000).map { "\($0),\"Product \($0)\"\n" }.joined()
        let packed = gzip(Array(text.utf8))
        let parts = AsyncStream { continuation in
            for start in stride(from: 0, to: packed.count, by: 10_000) {
                continuation.yield(Array(packed[start..<min(start + 10_000, packed.count)]))
            }
            continuation.finish()
        }
        _ = try await fixture.datasources.storeFile(
            datasourceID: datasource.id, name: "p.csv.gz", limit: 1 << 24, parts)
        let (_, count) = try await post(router, "/sources/count", ["datasource_id": .string(datasource.id)])
        #expect(count["total"] == 50_000)
    }

    @Test func asksForTheInternalToken() async throws {
        let fixture = try await HarvestFixture()
        let router = router(fixture, token: "t0ken")
        #expect(try await post(router, "/sources/test", [:]).0 == 401)
        #expect(try await post(router, "/sources/test", [:], token: "t0ken").0 == 400)
        #expect(try await router.respond(to: HTTPRequest(method: "GET", target: "/livez")).status == 200)
    }

    @Test func theDocumentNamesEveryRoute() async throws {
        let router = router(try await HarvestFixture())
        let documented = DataHarvesterDocument.json["paths"]?.object?.members.flatMap { path, operations in
            (operations.object?.names ?? []).map { "\($0.uppercased()) \(path)" }
        }
        #expect(Set(documented ?? []) == Set(router.routes.map { "\($0.method) \($0.path)" }))
    }
}

@Suite(.timeLimit(.minutes(1))) struct RemotePageProcessorTests {
    /// A data-processor that forgets a job, is busy, and answers late.
    private actor Script {
        var posts = 0
        var polls = 0
        func post() -> Int { posts += 1; return posts }
        func poll() -> Int { polls += 1; return polls }
    }

    @Test func postsPollsAndTriesAgain() async throws {
        let script = Script()
        var router = Router()
        router.on("POST", "/process") { request in
            let number = await script.post()
            if number == 1 { throw Problem.unavailable("busy", retryAfter: .milliseconds(1)) }
            let body = try request.json()
            guard body["operations"]?.array?.count == 1, request.headers["Authorization"] == "Bearer t" else {
                throw Problem.badRequest("unexpected")
            }
            return .json(["job_id": .string("job-\(number)"), "status": "started", "message": ""], status: 202)
        }
        router.on("GET", "/jobs/:id") { request in
            let number = await script.poll()
            if number == 1 { throw Problem.notFound("forgotten") }
            if number == 2 {
                return .json(
                    ["job_id": "x", "status": "processing", "message": "", "data": nil, "error": nil] as JSONValue)
            }
            #expect(request.query("wait") == "1")
            let done: JSONValue = [
                "job_id": "x", "status": "completed", "message": "",
                "data": [
                    "processed_items": 2, "operations_applied": 1, "data": [["_key": "1", "a": "B"]],
                    "row_errors": [["index": 1, "operation": "cast", "operation_index": 0, "message": "no number"]],
                ], "error": nil,
            ]
            return .json(done)
        }
        let server = HTTPServer(host: "127.0.0.1", port: 0, router: router, log: .silent, metrics: Metrics())
        let port = try await server.start()
        let shutdown = Shutdown()
        async let serving: Void = server.run(until: shutdown)
        let processor = RemotePageProcessor(
            client: DataProcessorClient(
                client: HTTPClient(log: .silent), url: "http://127.0.0.1:\(port)", internalToken: "t",
                polling: .init(interval: .seconds(1), limit: .seconds(20))), interval: .milliseconds(10),
            limit: .seconds(20))
        let rows = [JSONObject([("_key", "1"), ("a", "b")]), JSONObject([("_key", "2"), ("a", "c")])]
        let result = try await processor.process(rows, [["operation": "uppercase"]], trace: nil)
        #expect(result.rows == [JSONObject([("_key", "1"), ("a", "B")])])
        #expect(result.errors.map(\.index) == [1])
        #expect(await script.posts >= 2)
        await #expect(throws: ProcessingError.self) { try await processor.process(rows, [], trace: nil) }
        shutdown.request()
        try await serving
    }
}
