import Foundation
import HTTPServer
import Redis
import ServiceRuntime
import TestServers
import Testing
import WireProtocol

@testable import DataProcessor

@Suite struct JobTests {
    @Test func aJobIsAcceptedAndAnswersAsDocumented() async throws {
        let replica = try await Replica(redis: RedisServer.shared().createDatabase())
        try await replica.running {
            let accepted = try await replica.post(
                #"{"dataset":[{"_key":"1","a":" x "},{"a":2}],"operations":[{"operation":"trim"},{"operation":"split","field":"a","separator":"-"}]}"#
            )
            #expect(accepted.status == 202)
            #expect(accepted.json["status"] == "started" && accepted.json["message"]?.string?.isEmpty == false)
            let id = try #require(accepted.json["job_id"]?.string)
            let done = try await replica.get("/jobs/\(id)?wait=30")
            #expect(done.status == 200)
            #expect(
                done.json.serialized
                    == #"{"job_id":"\#(id)","status":"completed","message":"Successfully processed 2 items with 2 operations","data":{"processed_items":2,"operations_applied":2,"data":[{"_key":"1","a":["x"]},{"a":["2"]}],"row_errors":[]},"error":null}"#
            )
            #expect(try await replica.get("/jobs/\(id)").json == done.json)
            let expiry = try await replica.redis.send("PTTL", RedisArgument("processor:job:\(id)")).integer ?? 0
            #expect((3_500_000...3_600_000).contains(expiry))
            let metrics = try await replica.send("GET", "/metrics").body
            #expect(
                String(decoding: metrics, as: UTF8.self).contains(#"suite_processor_jobs_total{outcome="completed"} 1"#)
            )
        }
    }

    @Test func noOperationsAndNoRowsAreValid() async throws {
        let replica = try await Replica(redis: RedisServer.shared().createDatabase())
        try await replica.running {
            let done = try await replica.get("/jobs/\(try await replica.submit("", ""))?wait=30").json
            #expect(
                done["message"] == "Successfully processed 0 items with 0 operations" && done["data"]?["data"] == [])
            let without = try await replica.post(#"{"dataset":[{"a":1}]}"#)
            let id = without.json["job_id"]?.string ?? ""
            #expect(try await replica.get("/jobs/\(id)?wait=30").json["data"]?["data"] == [["a": 1]])
        }
    }

    @Test func rowErrorsAreInTheAnswerAndOnErrorFailFailsTheJob() async throws {
        let replica = try await Replica(redis: RedisServer.shared().createDatabase())
        try await replica.running {
            let cast = #"{"operation":"cast","fields":["n"],"to":"number"}"#
            let done = try await replica.get(
                "/jobs/\(try await replica.submit(cast, #"{"n":"1"},{"n":"secret"}"#))?wait=30"
            ).json
            #expect(done["status"] == "completed" && done["data"]?["data"] == [["n": 1]])
            #expect(done["message"] == "Successfully processed 2 items with 1 operations; 1 of them failed")
            #expect(done["data"]?["row_errors"]?.array?.first?["index"] == 1)
            #expect(!done.serialized.contains("secret"))
            let id =
                try await replica.post(#"{"dataset":[{"n":"secret"}],"operations":[\#(cast)],"on_error":"fail"}"#).json[
                    "job_id"]?.string ?? ""
            let failed = try await replica.get("/jobs/\(id)?wait=30").json
            #expect(failed["status"] == "failed" && failed["data"] == .null)
            #expect(
                failed["error"]
                    == "operation 0 (cast) failed on row 0: field 'n' holds a string that cannot be read as a number")
        }
    }

    @Test func anUnknownJobIs404() async throws {
        let replica = try await Replica(redis: RedisServer.shared().createDatabase())
        for path in [
            "/jobs/\(UUID())", "/jobs/x?wait=30", "/jobs/a%20b", "/jobs/" + String(repeating: "a", count: 3000),
        ] {
            #expect(try await replica.get(path).status == 404)
        }
        #expect(try await replica.get("/jobs/%00").status == 400)
        for wait in ["31", "-1", "x", "1e1", ""] {
            #expect(try await replica.get("/jobs/x?wait=\(wait)").status == 400)
        }
    }

    @Test(arguments: [
        "", "{", "null", "[]", #"{"operations":[]}"#, #"{"dataset":[],"operations":{}}"#,
        #"{"dataset":[],"operations":[]} x"#,
        #"{"dataset":[],"operations":[],"x":1}"#,
        #"{"dataset":[{"a":"\ud800"}],"operations":[]}"#, #"{"dataset":[{"a":1e999}],"operations":[]}"#,
        #"{"dataset":[{"a":\#(String(repeating: "[", count: 100))\#(String(repeating: "]", count: 100))}],"operations":[]}"#,
        #"{"dataset":\#(String(repeating: "[", count: 100_000)),"operations":[]}"#,
        #"{"dataset":[{}],"operations":[{"operation":"replace","fields":["a"],"pattern":"("}]}"#,
    ])
    func aBadRequestIs400WithTheReason(body: String) async throws {
        let replica = try await Replica(redis: RedisServer.shared().createDatabase())
        let answer = try await replica.post(body)
        #expect(answer.status == 400)
        #expect(answer.json["detail"]?.string?.isEmpty == false)
        #expect(try await replica.redis.send("DBSIZE").integer == 0)
    }

    @Test func validationErrorsNameTheirFields() async throws {
        let replica = try await Replica(redis: RedisServer.shared().createDatabase())
        let answer = try await replica.post(
            #"{"dataset":[{}],"operations":[{"operation":"trim"},{"operation":"limit","count":-1}]}"#)
        #expect(
            answer.json["errors"] == [
                ["field": "operations[1].count", "message": "must be a whole number from 0 to 10000000"]
            ])
        #expect(answer.json["detail"] == "operations[1].count must be a whole number from 0 to 10000000")
    }

    @Test func aBodyOverItsLimitIs413() async throws {
        let replica = try await Replica(
            redis: RedisServer.shared().createDatabase(), settings: ["PROCESSOR_BODY_BYTES": "2000"])
        let text = String(repeating: "a", count: 3000)
        #expect(try await replica.post(#"{"dataset":[{"a":"\#(text)"}],"operations":[]}"#).status == 413)
    }

    @Test func theInternalTokenIsAskedForAllButOperationalRoutes() async throws {
        let replica = try await Replica(
            redis: RedisServer.shared().createDatabase(), settings: ["INTERNAL_TOKEN": "t0ken"])
        for (method, path) in [
            ("POST", "/process"), ("GET", "/jobs/x"), ("GET", "/operations"), ("GET", "/openapi.json"),
            ("GET", "/nothing"),
        ] {
            #expect(try await replica.send(method, path).status == 401)
            #expect(try await replica.send(method, path, headers: [("Authorization", "Bearer wrong")]).status == 401)
            #expect(try await replica.send(method, path, headers: [("Authorization", "Bearer t0ken")]).status != 401)
        }
        for path in ["/health", "/livez", "/readyz", "/metrics"] {
            #expect(try await replica.send("GET", path).status == 200)
        }
    }

    // MARK: - Several replicas

    @Test func anotherReplicaWaitsForTheResult() async throws {
        let url = try await RedisServer.shared().createDatabase()
        let (first, second) = (try await Replica(redis: url), try await Replica(redis: url))
        let id = try await first.submit()
        #expect(try await second.get("/jobs/\(id)").json["status"] == "started")
        let waiting = Task { try await second.get("/jobs/\(id)?wait=30") }
        try await first.running {
            let answer = try await waiting.value.json
            #expect(answer["status"] == "completed")
        }
    }

    @Test func aWaitEndsWithItsTimeAndNeverEarly() async throws {
        let url = try await RedisServer.shared().createDatabase()
        let (first, second) = (try await Replica(redis: url), try await Replica(redis: url))
        let id = try await first.submit()
        for replica in [first, second] {
            let start = ContinuousClock.now
            #expect(try await replica.get("/jobs/\(id)?wait=1").json["status"] == "started")
            let time = ContinuousClock.now - start
            #expect(time > .milliseconds(990) && time < .seconds(4))
        }
    }

    @Test func aJobWhoseReplicaEndedFailsForGood() async throws {
        let url = try await RedisServer.shared().createDatabase()
        let (first, second) = (try await Replica(redis: url), try await Replica(redis: url))
        let id = try await first.submit()
        try await first.store.endLease(of: first.runner.owner)
        let lost = try await second.get("/jobs/\(id)?wait=30").json
        #expect(lost["status"] == "failed" && lost["error"] == "the data-processor that ran it ended; submit it again")
        // The replica was only frozen and goes on: what was told stays true.
        try await first.running {
            await first.runner.waitForCompletion(of: id, upTo: .seconds(30), until: Shutdown())
            let still = try await first.get("/jobs/\(id)").json
            #expect(still == lost)
        }
        #expect(first.metrics.exposition().contains(#"suite_processor_jobs_total{outcome="replaced"} 1"#))
    }

    // MARK: - Limits

    @Test func aFullStoreIs503UntilResultsExpire() async throws {
        let url = try await RedisServer.shared().createDatabase()
        let replica = try await Replica(
            redis: url, settings: ["PROCESSOR_STORE_BYTES": "3000", "PROCESSOR_JOB_TTL_SECONDS": "3"])
        let row = #"{"a":"\#(String(repeating: "x", count: 2000))"}"#
        try await replica.running {
            let id = try await replica.submit("", row)
            await replica.runner.waitForCompletion(of: id, upTo: .seconds(30), until: Shutdown())
            let refused = try await replica.send("POST", "/process", #"{"dataset":[\#(row)],"operations":[]}"#)
            #expect(refused.status == 503 && refused.header("Retry-After") == "3")
            let deadline = ContinuousClock.now + .seconds(10)
            while try await replica.send("POST", "/process", #"{"dataset":[\#(row)],"operations":[]}"#).status == 503 {
                try #require(ContinuousClock.now < deadline)
            }
        }
    }

    /// Else a sync of more than the budget would wait for the expiry of pages that it has long had.
    @Test func resultsThatWereFetchedMakeRoomOldestFirst() async throws {
        let replica = try await Replica(
            redis: try await RedisServer.shared().createDatabase(), settings: ["PROCESSOR_STORE_BYTES": "9000"])
        let row = #"{"a":"\#(String(repeating: "x", count: 2000))"}"#
        try await replica.running {
            var ids: [String] = []
            for _ in 0..<20 {
                ids.append(try await replica.submit("", row))
                #expect(try await replica.get("/jobs/\(ids.last ?? "")?wait=30").json["status"] == "completed")
            }
            #expect(try await replica.send("GET", "/jobs/\(ids[0])").status == 404)
            #expect(try await replica.get("/jobs/\(ids[19])").json["status"] == "completed")
            #expect(try await replica.get("/jobs/\(ids[18])").json["status"] == "completed")
        }
    }

    @Test func aResultThatDoesNotFitFailsTheJob() async throws {
        let url = try await RedisServer.shared().createDatabase()
        let big = #"{"operation":"set","field":"b","template":"{{a}}{{a}}{{a}}{{a}}"}"#
        let row = #"{"a":"\#(String(repeating: "x", count: 1000))"}"#
        let narrow = try await Replica(redis: url, settings: ["PROCESSOR_RESULT_BYTES": "4500"])
        try await narrow.running {
            let done = try await narrow.get("/jobs/\(try await narrow.submit(big, row))?wait=30").json
            #expect(done["status"] == "failed" && done["error"] == "the result would be larger than 4500 bytes")
        }
        let full = try await Replica(redis: url, settings: ["PROCESSOR_STORE_BYTES": "5000"])
        try await full.running {
            let done = try await full.get("/jobs/\(try await full.submit(big, row))?wait=30").json
            #expect(done["status"] == "failed" && done["error"] == "the store of results is full")
        }
    }

    @Test func theBytesAddUp() async throws {
        let replica = try await Replica(redis: RedisServer.shared().createDatabase())
        try await replica.running {
            var expected = 0
            for _ in 0..<20 {
                let id = try await replica.submit()
                expected += try await replica.send("GET", "/jobs/\(id)?wait=30").body.count + JobAnswer.Head.count
            }
            #expect(try await replica.redis.send("GET", "processor:bytes").integer == Int64(expected))
        }
    }

    @Test func aFullQueueIs503AndTheInputIsNeverInRedis() async throws {
        let replica = try await Replica(
            redis: RedisServer.shared().createDatabase(), settings: ["PROCESSOR_QUEUE_JOBS": "2"])
        let ids = [try await replica.submit("", #"{"a":"secret"}"#), try await replica.submit()]
        let refused = try await replica.send("POST", "/process", #"{"dataset":[],"operations":[]}"#)
        #expect(refused.status == 503 && refused.header("Retry-After") == "1")
        let stored = try await replica.redis.send("GET", RedisArgument("processor:job:\(ids[0])")).string
        #expect(stored?.contains("secret") == false)
        try await replica.running {
            for id in ids {
                let done = try await replica.get("/jobs/\(id)?wait=30").json
                #expect(done["status"] == "completed")
            }
            let next = try await replica.post(#"{"dataset":[],"operations":[]}"#)
            #expect(next.status == 202)
        }
    }

    @Test func withoutRedisTheAnswerIs503() async throws {
        let server = try await RedisServer()
        let replica = try await Replica(redis: server.url)
        try await server.stop()
        #expect(try await replica.post(#"{"dataset":[],"operations":[]}"#).status == 503)
        #expect(try await replica.get("/jobs/\(UUID())").status == 503)
        #expect(try await replica.send("GET", "/readyz").status == 503)
    }

    // MARK: - Stopping

    @Test func whatWasAcceptedIsFinishedAndNothingMoreIsTaken() async throws {
        let url = try await RedisServer.shared().createDatabase()
        let (replica, other) = (try await Replica(redis: url), try await Replica(redis: url))
        var ids: [String] = []
        for _ in 0..<10 { ids.append(try await replica.submit()) }
        replica.shutdown.request()
        try await replica.running {}
        for id in ids { #expect(try await other.get("/jobs/\(id)").json["status"] == "completed") }
        let late = try HTTPRequest(
            method: "POST", target: "/process", body: Array(#"{"dataset":[],"operations":[]}"#.utf8))
        #expect(await replica.router.respond(to: late).status == 503)
        #expect(try await other.store.hasLease(replica.runner.owner) == false)
    }

    @Test func aWaitDoesNotHoldTheStopBack() async throws {
        let replica = try await Replica(redis: RedisServer.shared().createDatabase())
        let id = try await replica.submit()
        async let waiting = replica.get("/jobs/\(id)?wait=30")
        replica.shutdown.request()
        let start = ContinuousClock.now
        let status = try await waiting.status
        #expect(status == 200)
        #expect(ContinuousClock.now - start < .seconds(10))
    }

    // MARK: - Description

    @Test func theDocumentDescribesEveryRouteAndResolves() async throws {
        let replica = try await Replica(redis: RedisServer.shared().createDatabase())
        let document = try await replica.get("/openapi.json").json
        let paths = try #require(document["paths"]?.object)
        let described = paths.members.flatMap { path, item in
            item.object?.names.map { "\($0.uppercased()) \(path)" } ?? []
        }
        let routes = replica.router.routes.map {
            "\($0.method) " + $0.path.replacingOccurrences(of: ":job_id", with: "{job_id}")
        }
        #expect(Set(described) == Set(routes))
        let text = document.serialized
        let schemas = try #require(document["components"]?["schemas"]?.object)
        for part in text.components(separatedBy: "#/components/schemas/").dropFirst() {
            #expect(schemas[String(part.prefix { $0 != "\"" })] != nil)
        }
        #expect(try await replica.get("/operations").json.serialized == OperationCatalogue.description.serialized)
    }

    @Test func configurationListsEveryProblem() {
        do {
            _ = try DataProcessorConfiguration(
                from: Environment([
                    "PORT": "many", "REDIS_URL": "http://x", "PROCESSOR_QUEUE_JOBS": "0", "FAILPOINT": "x",
                ]))
            Issue.record("accepted")
        } catch {
            #expect(error.problems.count == 4)
        }
    }
}
