import ServiceRuntime
import Synchronization
import Testing
import WireProtocol

@testable import HTTPServer

@Suite struct RouterTests {
    private func answer(_ router: Router, _ method: String, _ target: String, body: String = "") async throws
        -> HTTPResponse
    {
        await router.respond(to: try HTTPRequest(method: method, target: target, body: Array(body.utf8)))
    }
    private func text(_ router: Router, _ method: String, _ target: String) async throws -> String {
        String(decoding: try await answer(router, method, target).bytes ?? [], as: UTF8.self)
    }
    private func tell(_ name: String) -> Handler {
        { request in
            .text(([name] + request.parameters.members.map { "\($0.name)=\($0.value)" }).joined(separator: " "))
        }
    }

    @Test(arguments: [
        ("/jobs", "list"), ("/jobs/active", "active"), ("/jobs/7", "one id=7"), ("/jobs/7/errors", "errors id=7"),
        ("/jobs/a%2Fb%20c", "one id=a/b c"), ("/jobs%2Factive", "rest path=jobs/active"), ("/jobs/%61ctive", "active"),
        ("/ui/app/main.js", "ui path=app/main.js"), ("/ui/", "ui path="), ("/jobs/", "rest path=jobs/"),
        ("/", "rest path="),
    ])
    func theMostSpecificPatternWins(_ target: String, _ expected: String) async throws {
        var router = Router()
        router.on("GET", "/*path", tell("rest"))
        router.on("GET", "/jobs/:id", tell("one"))
        router.on("GET", "/jobs", tell("list"))
        router.on("GET", "/ui/*path", tell("ui"))
        router.on("GET", "/jobs/:id/errors", tell("errors"))
        router.on("GET", "/jobs/active", tell("active"))
        #expect(try await text(router, "GET", target) == expected)
    }

    @Test func aMethodIsLookedForInEveryPatternThatMatches() async throws {
        var router = Router()
        router.on("POST", "/sources/test", tell("test"))
        router.on("GET", "/sources/:id", tell("one"))
        router.on("DELETE", "/sources/:id", tell("delete"))
        #expect(try await text(router, "GET", "/sources/test") == "one id=test")
        let refused = try await answer(router, "PUT", "/sources/test")
        #expect(refused.status == 405)
        #expect(refused.headers["Allow"] == "DELETE, GET, HEAD, POST")
        #expect(refused.headers["Content-Type"] == "application/problem+json")
        #expect(try await answer(router, "GET", "/nothing").status == 404)
        #expect(router.routes.map(\.path) == ["/sources/test", "/sources/:id", "/sources/:id"])
    }

    @Test func middlewaresWrapTheRoutesAfterThemAndUnknownPaths() async throws {
        let order = Mutex<[String]>([])
        func mark(_ name: String) -> Middleware {
            { request, next in
                order.withLock { $0.append("\(name)>") }
                var response = try await next(request)
                order.withLock { $0.append("<\(name)\(response.status)") }
                response.headers.append("X-Seen", name)
                return response
            }
        }
        var router = Router()
        router.on("GET", "/open", tell("open"))
        router.use(mark("outer"))
        router.group("/api") { router in
            router.use(mark("inner"))
            router.on("GET", "/fails") { _ in throw Problem.conflict("taken", extra: JSONObject([("job", "j")])) }
        }
        router.on("GET", "/plain", tell("plain"))

        #expect(try await answer(router, "GET", "/open").headers["X-Seen"] == nil)
        let failed = try await answer(router, "GET", "/api/fails")
        #expect(failed.status == 409 && failed.headers.all("X-Seen") == ["inner", "outer"])
        #expect(order.withLock { $0 } == ["outer>", "inner>", "<inner409", "<outer409"])
        #expect(try await answer(router, "GET", "/plain").headers.all("X-Seen") == ["outer"])
        #expect(try await answer(router, "GET", "/nothing").headers.all("X-Seen") == ["outer"])
        #expect(try await answer(router, "POST", "/plain").headers.all("X-Seen") == ["outer"])
    }

    @Test func aMiddlewareCanRefuseAndCanTellHandlersWhoAsks() async throws {
        struct User: Sendable { var name: String }
        var router = Router()
        router.use { request, next in
            guard let name = request.query("user") else { throw Problem.unauthorized() }
            var request = request
            request[User.self] = User(name: name)
            return try await next(request)
        }
        router.on("GET", "/me") { .text($0[User.self]?.name ?? "nobody") }
        #expect(try await text(router, "GET", "/me?user=a%26b+c") == "a&b c")
        let refused = try await answer(router, "GET", "/me")
        #expect(refused.status == 401 && refused.headers["WWW-Authenticate"] == "Bearer")
    }

    @Test func errorsAreProblemsAndSayNothingOfAnUnknownCause() async throws {
        struct Secret: Error { var password = "hunter2" }
        var router = Router()
        router.on("GET", "/a/:id") { _ in throw Secret() }
        router.on("POST", "/b") { _ in
            throw Problem.badRequest("two fields are wrong", errors: [FieldError(field: "a", message: "is required")])
        }
        let failed = try await text(router, "GET", "/a/7")
        #expect(
            failed.contains("\"status\":500") && failed.contains("\"instance\":\"/a/7\"") && !failed.contains("hunter2")
        )
        #expect(
            try await text(router, "POST", "/b")
                == #"{"type":"about:blank","title":"Bad Request","status":400,"detail":"two fields are wrong","instance":"/b","errors":[{"field":"a","message":"is required"}]}"#
        )
    }

    @Test func aRouterCanHaveItsOwnFormOfErrors() async throws {
        var router = Router()
        router.errorForm = { error, _ in
            .json(
                ["status": ["error": .string(Problem(answering: error).detail)]],
                status: Problem(answering: error).status)
        }
        #expect(try await text(router, "GET", "/x") == #"{"status":{"error":"nothing answers /x"}}"#)
    }
}

@Suite struct RequestReadingTests {
    struct Body: Decodable {
        var name: String
        var options: Options
        struct Options: Decodable {
            var sizes: [Int]
            enum CodingKeys: String, CodingKey { case sizes = "batch_sizes" }
        }
        enum CodingKeys: String, CodingKey { case name, options }
    }

    private func problem(_ body: String, headers: HTTPFields = [:]) throws -> Problem? {
        let request = try HTTPRequest(method: "POST", target: "/", headers: headers, body: Array(body.utf8))
        do {
            _ = try request.decode(Body.self)
            return nil
        } catch {
            return error
        }
    }

    @Test func whatIsWrongIsNamedByItsPath() throws {
        #expect(try problem(#"{"name":"a","options":{"batch_sizes":[1]}}"#) == nil)
        #expect(
            try problem(#"{"options":{"batch_sizes":[1]}}"#)?.errors == [
                FieldError(field: "name", message: "is required")
            ])
        #expect(
            try problem(#"{"name":"a","options":{"batch_sizes":[1,"x"]}}"#)?.errors
                == [FieldError(field: "options.batch_sizes[1]", message: "must be a whole number")])
        for body in ["", "{", #"{"name":"a"} x"#, "\u{FEFF}{}", String(repeating: "[", count: 100_000)] {
            #expect(try problem(body)?.status == 400)
        }
    }

    @Test func aBodyTooDeepIsRefusedBeforeItIsDecoded() throws {
        let deep =
            #"{"name":"a","options":{"batch_sizes":[1]},"x":"# + String(repeating: "[", count: 65)
            + String(repeating: "]", count: 65) + "}"
        #expect(try problem(deep)?.detail.contains("deep") == true)
    }

    @Test func anEncodedBodyIsNotUnpacked() throws {
        #expect(try problem("{}", headers: ["Content-Encoding": "gzip"])?.status == 415)
    }

    @Test func queryNumbersAreChecked() throws {
        let request = try HTTPRequest(target: "/?limit=20&limit=30&offset=-1&big=99999999999999999999&flag=yes&empty")
        #expect(try request.queryInteger("limit", default: 5, in: 1...100) == 20)
        #expect(try request.queryInteger("none", default: 5, in: 1...100) == 5)
        #expect(request.query("empty") == "")
        for name in ["offset", "big", "empty"] {
            #expect(throws: Problem.self) { try request.queryInteger(name, default: 5, in: 0...100) }
        }
        #expect(throws: Problem.self) { try request.queryFlag("flag", default: false) }
    }

    @Test func fieldsAreFoundWithoutCaseAndReplacedTogether() {
        var fields: HTTPFields = ["Content-Type": "a", "content-type": "b", "X-Other": "c"]
        #expect(fields["CONTENT-TYPE"] == "a" && fields.all("Content-type") == ["a", "b"])
        fields["Content-Type"] = "d"
        #expect(fields.map(\.value) == ["c", "d"])
        fields["X-Other"] = nil
        #expect(fields.slots.count == 1)
    }
}
