import FastJSON
import HTTPServer
import ServiceRuntime
import Testing
import WireProtocol

@testable import Indexer

struct IndexerRoutesTests {
    let folder: StoreFolder
    let router: Router

    init() throws {
        folder = try StoreFolder()
        let settings = [
            "DATA_DIR": folder.path, "STORE_ONLY": "true", "QDRANT_API_KEY": "key", "INTERNAL_TOKEN": "token",
        ]
        router = IndexerRoutes(
            store: try folder.open(), health: HealthChecks(), metrics: Metrics(),
            configuration: try IndexerConfiguration(from: Environment(settings)), guardian: CollectionGuard()
        ).router(shutdown: Shutdown())
    }

    private func call(
        _ method: String, _ target: String, _ body: JSONValue? = nil, headers: HTTPFields = ["api-key": "key"]
    ) async throws -> (status: Int, body: JSONValue) {
        let request = try HTTPRequest(
            method: method, target: target, headers: headers, body: body?.serializedBytes ?? [])
        let response = await router.respond(to: request)
        return (response.status, try JSONReader.parse(response.bytes ?? []))
    }

    @Test func theDocumentNamesEveryRouteAndNoOther() async throws {
        let document = try await call("GET", "/openapi.json").body
        let documented = (document["paths"]?.object?.members ?? []).flatMap { path in
            (path.value.object?.names ?? []).map { "\($0.uppercased()) \(path.name)" }
        }
        let routes = router.routes.map { route in
            let path = route.path.split(separator: "/", omittingEmptySubsequences: false)
                .map { $0.hasPrefix(":") ? "{\($0.dropFirst())}" : String($0) }.joined(separator: "/")
            return "\(route.method) \(path)"
        }
        #expect(documented.sorted() == routes.sorted())
        let text = document.serialized
        for reference in text.split(separator: "#/components/schemas/").dropFirst() {
            let name = String(reference.prefix { $0 != "\"" })
            #expect(document["components"]?["schemas"]?[name] != nil, "\(name)")
        }
    }

    @Test func everySecretIsTakenInItsHeaderAndNothingElse() async throws {
        let accepted: [HTTPFields] = [
            ["api-key": "key"], ["Authorization": "Bearer token"], ["Authorization": "Bearer key"],
        ]
        for headers in accepted { #expect(try await call("GET", "/collections", headers: headers).status == 200) }
        let refused: [HTTPFields] = [[:], ["api-key": "kex"], ["Authorization": "token"], ["Authorization": "Bearer "]]
        for headers in refused { #expect(try await call("GET", "/collections", headers: headers).status == 401) }
        #expect(try await call("GET", "/", headers: [:]).body["version"] == "1.19.0")
    }

    @Test func anAnswerHasQdrantsEnvelope() async throws {
        let created = try await call("PUT", "/collections/c", ["vectors": ["size": 2, "distance": "Dot"]])
        #expect(created.status == 200 && created.body["result"] == true && created.body["status"] == "ok")
        let stored = try await call(
            "PUT", "/collections/c/points?wait=true",
            ["points": [["id": 1, "vector": [0.15, 2], "payload": ["a": 1.50]]]])
        #expect(stored.body["result"] == ["operation_id": 1, "status": "completed"])
        let lazily = try await call("PUT", "/collections/c/points", ["points": [["id": 2, "vector": [0, 0]]]])
        #expect(lazily.body["result"]?["status"] == "acknowledged")
        let found = try await call("GET", "/collections/c/points/1")
        #expect(found.body["result"]?.serialized == #"{"id":1,"payload":{"a":1.5},"vector":[0.15,2]}"#)
        let page = try await call("POST", "/collections/c/points/scroll", ["limit": 1, "offset": nil, "filter": nil])
        #expect(page.body["result"]?["next_page_offset"] == 2)
        let legacy = try await call(
            "POST", "/collections/c/points/search", ["vector": [1, 0], "top": 1, "with_payload": ["a"]])
        #expect(legacy.body["result"] == [["id": 1, "version": 1, "score": 0.15, "payload": ["a": 1.5]]])
    }

    /// A fresh parser has no memory for numbers yet.
    @Test func aBodyWithoutAnyNumberIsRefusedAndCrashesNothing() async throws {
        _ = try await call("PUT", "/collections/c", ["vectors": ["size": 2, "distance": "Dot"]])
        _ = try await call("PUT", "/collections/none", [:])
        let vectors: [JSONValue] = [[], [:], nil, ["": []], [[]], "", 0]
        for vector in vectors {
            let body: JSONValue = ["points": [["id": 1, "vector": vector, "payload": nil]]]
            let isNone = vector == [:]  // a point without vectors, as Qdrant has them
            #expect(
                try await call("PUT", "/collections/c/points?wait=true", body).status == (isNone ? 200 : 400),
                "\(vector.serialized)")
            _ = try await call("PUT", "/collections/none/points?wait=true", body)
        }
        #expect(try await call("GET", "/collections").status == 200)
    }

    static let refusals: [(String, String, JSONValue?, Int, String)] = [
        ("GET", "/collections/x", nil, 404, "Not found: Collection `x` doesn't exist!"),
        ("GET", "/nowhere", nil, 404, "Not found: "),
        (
            "PUT", "/collections/c", ["vectors": ["size": 2, "distance": "Dot"]], 409,
            "Wrong input: Collection `c` already exists!"
        ),
        (
            "PUT", "/collections/d", ["vectors": ["size": 0, "distance": "Dot"]], 422,
            "Validation error in JSON body: [vectors.size: value 0 invalid"
        ),
        (
            "PUT", "/collections/a%3Cb", ["vectors": ["size": 1, "distance": "Dot"]], 422,
            "Validation error in path parameters: [name: collection name cannot contain \"<\" char]"
        ),
        (
            "PUT", "/collections/c/points", ["points": [["id": -1, "vector": [1, 2]]]], 400,
            "Format error in JSON body: points[0].id"
        ),
        (
            "PUT", "/collections/c/points", ["points": [["id": 1, "vector": [1, "x"]]]], 400,
            "Format error in JSON body: points[0].vector"
        ),
        (
            "PUT", "/collections/c/points", ["points": [["id": 1]]], 400,
            "Format error in JSON body: points[0].vector: is missing"
        ),
        (
            "PUT", "/collections/c/points", ["points": [["id": 1, "vector": [1]]]], 400,
            "Wrong input: Vector dimension error: expected dim: 2, got 1"
        ),
        (
            "PUT", "/collections/c/points", ["points": [["id": 1, "vector": ["t": [1]]]]], 400,
            "Wrong input: Not existing vector name error: t (points[0]"
        ),
        (
            "PUT", "/collections/c/points", ["points": [["id": 1, "vector": [1, 2], "payload": []]]], 400,
            "Format error in JSON body: points[0].payload"
        ),
        (
            "PUT", "/collections/c/points", ["batch": ["ids": [1, 2], "vectors": [[1, 2]]]], 422,
            "Validation error in JSON body: [batch.batch: number of ids and vectors must be equal (2 != 1)]"
        ),
        (
            "POST", "/collections/c/points/query", ["query": [1, 2], "limit": 0], 422,
            "Validation error in JSON body: [internal.limit: value 0 invalid"
        ),
        (
            "POST", "/collections/c/points/query", ["query": ["formula": ["sum": []]]], 400,
            "Bad request: cannot apply Formula without prefetches"
        ),
        (
            "POST", "/collections/c/points/query", ["query": [1, 2], "filter": ["most": 1]], 400,
            "Format error in JSON body: filter: unknown field `most`"
        ),
        ("POST", "/collections/c/points/scroll", ["order_by": 1], 400, "Format error in JSON body: order_by"),
        ("POST", "/collections/c/points/delete", [:], 400, "Format error in JSON body: body: needs points"),
        (
            "POST", "/collections/aliases",
            ["actions": [["rename_alias": ["old_alias_name": "x", "new_alias_name": "y"]]]], 404,
            "Not found: Alias x does not exists!"
        ),
    ]
    @Test(arguments: refusals)
    func aRefusalHasQdrantsStatusAndWords(method: String, target: String, body: JSONValue?, status: Int, text: String)
        async throws
    {
        _ = try await call("PUT", "/collections/c", ["vectors": ["size": 2, "distance": "Dot"]])
        let answer = try await call(method, target, body)
        #expect(answer.status == status)
        #expect(answer.body["status"]?["error"]?.string?.hasPrefix(text) == true, "\(answer.body.serialized)")
    }

    @Test func whatIsNoJSONIsRefused() async throws {
        _ = try await call("PUT", "/collections/c", ["vectors": ["size": 2, "distance": "Dot"]])
        for target in ["/collections/c/points?wait=true", "/collections/d"] {
            for body in [
                "", "{", "[]", "{\"points\":[{\"id\":1,\"vector\":[1e400,2]}]}", String(repeating: "[", count: 5000),
            ] {
                let request = try HTTPRequest(
                    method: "PUT", target: target, headers: ["api-key": "key"], body: Array(body.utf8))
                let status = await router.respond(to: request).status
                #expect(
                    status == 400 || (target == "/collections/d" && body.contains("points")),
                    "\(body.prefix(20)): \(status)")
            }
        }
    }
}
