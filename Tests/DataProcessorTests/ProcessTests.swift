import FastJSON
import Foundation
import HTTPClient
import TestServers
import Testing
import WireProtocol

@testable import DataProcessor

/// The executable itself, cut and stopped from outside.
@Suite struct ProcessTests {
    private static func start(_ redis: String, port: Int, _ settings: [String] = [], log: String) throws
        -> ServerProcess
    {
        let folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path
        let candidates = [folder, Bundle.main.bundlePath, FileManager.default.currentDirectoryPath + "/.build/debug"]
        guard let program = candidates.map({ $0 + "/data-processor" }).first(where: { access($0, X_OK) == 0 }) else {
            throw CocoaError(.fileNoSuchFile)
        }
        let environment =
            ["REDIS_URL=\(redis)", "PORT=\(port)", "PROCESSOR_LEASE_SECONDS=1", "LOG_FORMAT=json"] + settings
        return try ServerProcess(["env"] + environment + [program], log: log)
    }

    private static func answering(_ port: Int) async throws {
        let client = HTTPClient(log: .silent)
        let deadline = ContinuousClock.now + .seconds(20)
        while (try? await client.send(ClientRequest(url: "http://127.0.0.1:\(port)/readyz")))?.status != 200 {
            try #require(ContinuousClock.now < deadline, "the data-processor does not start")
        }
    }

    private static func submit(_ port: Int, rows: Int) async throws -> String {
        let dataset = Array(repeating: #"{"a":" <b>x</b> y "}"#, count: rows).joined(separator: ",")
        let body = #"{"dataset":[\#(dataset)],"operations":[{"operation":"strip_html"},{"operation":"trim"}]}"#
        let answer = try await HTTPClient(log: .silent).send(
            ClientRequest(method: "POST", url: "http://127.0.0.1:\(port)/process", body: Array(body.utf8)))
        return try JSONReader.parse(answer.body)["job_id"]?.string ?? ""
    }

    @Test func aKilledReplicaIsToldByAnother() async throws {
        let url = try await RedisServer.shared().createDatabase()
        let folder = try TemporaryFolder("processor")
        let port = freePort()
        let process = try Self.start(
            url, port: port, ["FAILPOINT=processor.before-result:1:abort"], log: folder.path + "/log")
        try await Self.answering(port)
        let id = try await Self.submit(port, rows: 1)
        process.waitUntilExit()
        let other = try await Replica(redis: url)
        let lost = try await other.get("/jobs/\(id)?wait=30").json
        #expect(lost["status"] == "failed" && lost["error"]?.string == JobReader.lostMessage)
    }

    @Test func sigtermFinishesWhatWasAcceptedAndExitsWithZero() async throws {
        let url = try await RedisServer.shared().createDatabase()
        let folder = try TemporaryFolder("processor")
        let port = freePort()
        let process = try Self.start(
            url, port: port, ["PROCESSOR_CONCURRENCY=1", "PROCESSOR_LEASE_SECONDS=30"], log: folder.path + "/log")
        try await Self.answering(port)
        var ids: [String] = []
        for _ in 0..<5 { ids.append(try await Self.submit(port, rows: 2000)) }
        process.signal(SIGTERM)
        #expect(process.waitUntilExit(limit: 30))
        let other = try await Replica(redis: url)
        for id in ids { #expect(try await other.get("/jobs/\(id)").json["status"] == "completed") }
    }

    @Test func aBadConfigurationExitsWith78() async throws {
        let folder = try TemporaryFolder("processor")
        let process = try Self.start("http://x", port: -1, log: folder.path + "/log")
        #expect(process.waitUntilExit() == false)
        let text = try String(contentsOfFile: folder.path + "/log", encoding: .utf8)
        #expect(text.contains("PORT must be") && text.contains("REDIS_URL must be"))
    }
}
