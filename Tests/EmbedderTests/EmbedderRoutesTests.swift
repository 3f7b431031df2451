import FastJSON
import HTTPServer
import ServiceRuntime
import Testing
import WireProtocol

@testable import Embedder

struct EmbedderRoutesTests {
    private func router(_ provider: FakeProvider = FakeProvider(), token: String? = nil) async throws -> Router {
        let fixture = try await LaneFixture(provider)
        var environment = ["EMBEDDING_PROVIDER": "hashing", "EMBEDDER_MAX_TEXTS": "3"]
        environment["INTERNAL_TOKEN"] = token
        let routes = EmbedderRoutes(
            service: fixture.service, health: HealthChecks(), metrics: Metrics(),
            configuration: try EmbedderConfiguration(from: Environment(environment)))
        return routes.router(shutdown: Shutdown())
    }
    private func post(_ router: Router, _ body: String, headers: HTTPFields = [:]) async throws -> (
        status: Int, json: JSONValue
    ) {
        let request = try HTTPRequest(method: "POST", target: "/embed", headers: headers, body: Array(body.utf8))
        let response = await router.respond(to: request)
        return (response.status, try JSONReader.parse(response.bytes ?? []))
    }

    @Test func answersVectorsInOrderWithWhatTheyCost() async throws {
        let (status, json) = try await post(try await router(), #"{"texts":["a","b","a"],"task":"query"}"#)
        #expect(status == 200)
        let vectors = json["vectors"]?.array?.map { $0.array?.compactMap { $0.double.map(Float.init) } ?? [] }
        #expect(vectors == ["a", "b", "a"].map { FakeProvider.vector(of: $0) })
        #expect(json["provider"] == "openai" && json["model"] == "fake" && json["dimensions"] == 4)
        #expect(json["cached"] == 1 && json["tokens"] == 20)
    }

    @Test(arguments: [
        (#"{"texts":[]}"#, "texts"), (#"{"texts":["a",""]}"#, "texts[1]"), (#"{"texts":["a"," \n"]}"#, "texts[1]"),
        (#"{"texts":["a","b","c","d"]}"#, "texts"), (#"{"texts":["a"],"provider":"x"}"#, "provider"),
        (#"{"texts":["a"],"model":"x"}"#, "model"), (#"{"texts":["a"],"dimensions":5}"#, "dimensions"),
        (#"{"texts":["a"],"dimensions":0}"#, "dimensions"), (#"{"texts":["a"],"task":"x"}"#, "task"),
        (#"{"texts":["a",1]}"#, "texts"), (#"{}"#, "texts"), (#"{"texts":["a"],"dimension":4}"#, "dimension"),
    ])
    func badInputIsRefusedWithItsField(body: String, field: String) async throws {
        let (status, json) = try await post(try await router(), body)
        #expect(status == 400)
        #expect(json["errors"]?.array?.first?["field"]?.string?.hasPrefix(field) == true, "\(json.serialized)")
    }

    @Test func aRefusedTextIsNamedAndAnOutageIs503() async throws {
        let refusing = FakeProvider { call, _ in
            if call.texts.contains("bad") { throw EmbeddingError(.contentFiltered, "policy") }
            return FakeProvider.answer(call)
        }
        let (status, json) = try await post(try await router(refusing), #"{"texts":["a","bad"]}"#)
        #expect(status == 422)
        #expect(json["errors"]?.array?.map { $0["field"] } == ["texts[1]"])
        let out = FakeProvider { _, _ in throw EmbeddingError(.connection, "refused") }
        #expect(try await post(try await router(out), #"{"texts":["a"]}"#).status == 503)
        let unknown = FakeProvider { _, _ in throw EmbeddingError(.modelNotFound, "no such model") }
        let refused = try await post(try await router(unknown), #"{"texts":["a"]}"#)
        #expect(refused.0 == 422)
        #expect(refused.1["detail"]?.string?.contains("no such model") == true)
    }

    @Test func theInternalTokenIsAskedForWhenItIsSet() async throws {
        let router = try await router(token: "secret")
        #expect(try await post(router, #"{"texts":["a"]}"#).status == 401)
        #expect(try await post(router, #"{"texts":["a"]}"#, headers: ["authorization": "Bearer wrong"]).status == 401)
        #expect(try await post(router, #"{"texts":["a"]}"#, headers: ["authorization": "Bearer secret"]).status == 200)
    }

    @Test func everyRouteIsDescribed() async throws {
        let router = try await router()
        let described = EmbedderDocument.json["paths"]?.object?.members.flatMap { path, operations in
            (operations.object?.names ?? []).map { "\($0.uppercased()) \(path)" }
        }
        #expect(Set(described ?? []) == Set(router.routes.map { "\($0.method) \($0.path)" }))
        let list = await router.respond(to: try HTTPRequest(target: "/providers"))
        #expect(list.status == 200)
        let extraction = try HTTPRequest(method: "POST", target: "/extract-text")
        #expect(await router.respond(to: extraction).status == 501)
    }
}

struct EmbedderConfigurationTests {
    @Test func allProblemsComeAtOnce() {
        let environment = Environment([
            "PORT": "99999", "REDIS_URL": "http://x", "EMBEDDING_PROVIDER": "openai", "EMBEDDING_BATCH_SIZE": "5000",
            "EMBEDDING_MODEL": "my-model", "FAILPOINT": "x",
        ])
        #expect { try EmbedderConfiguration(from: environment) } throws: {
            ($0 as? ConfigurationError)?.problems.count == 6
        }
    }

    @Test func withoutAModelThereIsHashingAndItSaysSo() throws {
        for environment in [["EMBEDDING_MODEL_DIR": "/nowhere"], [:], ["EMBEDDING_PROVIDER": "hashing"]] {
            let configuration = try EmbedderConfiguration(from: Environment(environment))
            let gates = try EmbeddingProviders(configuration, metrics: Metrics(), log: .silent).gates
            #expect(gates.map(\.description.name) == ["hashing"])
            #expect(gates[0].description.degraded?.contains("words are found, meanings are not") == true)
        }
    }

    @Test(.enabled(if: TestModel.isPresent, "EMBEDDING_MODEL_DIR names no model"))
    func theModelAndFeatureHashingAreThereTogether() throws {
        func names(_ provider: String) throws -> [String] {
            let environment = ["EMBEDDING_PROVIDER": provider, "EMBEDDING_MODEL_DIR": TestModel.path]
            let configuration = try EmbedderConfiguration(from: Environment(environment))
            return try EmbeddingProviders(configuration, metrics: Metrics(), log: .silent).gates.map(\.description.name)
        }
        #expect(try names("local") == ["local", "hashing"])
        #expect(try names("hashing") == ["hashing", "local"])
    }

    @Test func aBrokenModelIsNotReplacedInSilence() throws {
        let folder = try TestModel.folder("broken")
        for file in ["vocab.txt", "model.safetensors"] {
            try "broken file".write(toFile: folder + "/" + file, atomically: true, encoding: .utf8)
        }
        let configuration = try EmbedderConfiguration(from: Environment(["EMBEDDING_MODEL_DIR": folder]))
        #expect(throws: ConfigurationError.self) {
            try EmbeddingProviders(configuration, metrics: Metrics(), log: .silent)
        }
    }

    @Test func openAIIsTheDefaultWhenAskedForAndBesidesOtherwise() throws {
        func names(_ environment: [String: String]) throws -> [String] {
            let configuration = try EmbedderConfiguration(from: Environment(environment))
            return try EmbeddingProviders(configuration, metrics: Metrics(), log: .silent).gates.map(
                \.description.space.identifier)
        }
        let hashing = "hashing|feature-hashing-v1|384|none|normalized"
        let openAI = "openai|text-embedding-3-small|1536|none|normalized"
        #expect(try names(["OPENAI_API_KEY": "k"]) == [hashing, openAI])
        #expect(try names(["OPENAI_API_KEY": "k", "EMBEDDING_PROVIDER": "openai"]) == [openAI, hashing])
        #expect(
            try names([
                "OPENAI_BASE_URL": "http://h:1", "EMBEDDING_PROVIDER": "openai", "EMBEDDING_MODEL": "m",
                "EMBEDDING_DIMENSIONS": "8",
            ])
                == ["openai|m|8|none|normalized", hashing])
    }
}
