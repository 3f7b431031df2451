import FastJSON
import Foundation
import HTTPClient
import HTTPServer
import Redis
import ServiceRuntime
import TestServers
import WireProtocol

@testable import DataProcessor

/// A data-processor in this process, on a real server and a real Redis.
final class Replica: Sendable {
    let redis: RedisConnection
    let store: JobStore
    let runner: JobRunner
    let shutdown = Shutdown()
    let metrics = Metrics()
    let configuration: DataProcessorConfiguration
    let router: Router
    private let server: HTTPServer
    private let client = HTTPClient(log: .silent)
    private let port: Int

    init(redis url: String, settings: [String: String] = [:]) async throws {
        configuration = try DataProcessorConfiguration(
            from: Environment(
                ["REDIS_URL": url, "PORT": "0", "PROCESSOR_LEASE_SECONDS": "600"].merging(settings) { $1 }))
        redis = RedisConnection(url: url, log: .silent)
        store = JobStore(
            redis: redis, lifetime: configuration.jobLifetime * 1000, budget: configuration.storeBytes,
            lease: configuration.lease * 1000)
        runner = JobRunner(store: store, limits: configuration.limits, log: .silent, metrics: metrics)
        let health = HealthChecks()
        await health.add("redis", isRequired: true) { [redis] in _ = try await redis.send("PING") }
        router = DataProcessorRoutes(
            runner: runner, reader: JobReader(store: store, runner: runner, shutdown: shutdown), health: health,
            metrics: metrics, configuration: configuration
        ).router(shutdown: shutdown)
        server = HTTPServer(
            host: "127.0.0.1", port: 0, router: router, log: .silent, metrics: metrics, accessLog: false)
        port = try await server.start()
    }

    /// Works while `body` runs, then stops as at SIGTERM.
    func running<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        async let work: Void = runner.run(until: shutdown)
        let result: Result<Value, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        shutdown.request()
        try await work
        await server.stop()
        return try result.get()
    }

    func send(_ method: String, _ path: String, _ body: String = "", headers: [(String, String)] = []) async throws
        -> ClientResponse
    {
        try await client.send(
            ClientRequest(
                method: method, url: "http://127.0.0.1:\(port)\(path)", headers: headers, body: Array(body.utf8)))
    }

    func get(_ path: String) async throws -> (status: Int, json: JSONValue) {
        let response = try await send("GET", path)
        return (response.status, try JSONReader.parse(response.body))
    }

    func post(_ body: String) async throws -> (status: Int, json: JSONValue) {
        let response = try await send("POST", "/process", body)
        return (response.status, try JSONReader.parse(response.body))
    }

    /// Submits and returns the job's id.
    func submit(_ operations: String = "", _ rows: String = #"{"a":" x "}"#) async throws -> String {
        let answer = try await post(#"{"dataset":[\#(rows)],"operations":[\#(operations)]}"#)
        guard answer.status == 202, let id = answer.json["job_id"]?.string else {
            throw Refused(answer.status, answer.json)
        }
        return id
    }

    struct Refused: Error {
        var status: Int
        var json: JSONValue
        init(_ status: Int, _ json: JSONValue) { (self.status, self.json) = (status, json) }
    }
}
