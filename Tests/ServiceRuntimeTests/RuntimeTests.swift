import Foundation
import ServiceRuntime
import Synchronization
import Testing
import WireProtocol

struct LogTests {
    private final class Lines: Sendable {
        let all = Mutex<[String]>([])
        func log(level: Log.Level = .info, format: Log.Format = .json) -> Log {
            Log(service: "indexer", level: level, format: format) { line in self.all.withLock { $0.append(line) } }
        }
    }

    @Test func aLineIsOneJSONObjectWithTheFieldsOfItsLog() throws {
        let lines = Lines()
        let trace = TraceContext()
        lines.log().with(["job_id": "j-1"]).with(trace).info("batch.applied", ["records": 50])
        let line = try #require(lines.all.withLock { $0.first })
        let object = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        #expect(object["event"] as? String == "batch.applied")
        #expect(object["service"] as? String == "indexer")
        #expect(object["job_id"] as? String == "j-1")
        #expect(object["trace_id"] as? String == trace.traceID)
        #expect(object["records"] as? Int == 50)
    }

    @Test func quieterLinesAreLeftOut() {
        let lines = Lines()
        lines.log(level: .warning).info("batch.applied")
        #expect(lines.all.withLock { $0.isEmpty })
    }
}

struct TimestampTests {
    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (1_760_000_000_123, "2025-10-09T08:53:20.123Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ])
    func isWrittenAsRFC3339(_ milliseconds: Int64, _ text: String) {
        #expect(Timestamp(milliseconds: milliseconds).text == text)
    }
}

struct TraceContextTests {
    @Test func aTraceparentIsKeptAndItsChildHasANewSpan() throws {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        let context = try #require(TraceContext(traceparent: text))
        #expect(context.traceparent == text)
        #expect(context.child().traceID == context.traceID)
        #expect(context.child().spanID != context.spanID)
    }

    @Test(arguments: [
        "", "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
    ])
    func whatTheStandardSaysToIgnoreIsIgnored(_ text: String) {
        #expect(TraceContext(traceparent: text) == nil)
    }
}

struct MetricsTests {
    @Test func expositionHasHelpTypeAndEverySeries() {
        let metrics = Metrics()
        metrics.add("suite_jobs_total", help: "Jobs ended.", ["outcome": "completed"])
        metrics.add("suite_jobs_total", 2, help: "Jobs ended.", ["outcome": "a\"b"])
        metrics.observe("suite_wait_seconds", 0.03, help: "Wait.", buckets: [0.01, 0.1])
        let text = metrics.exposition()
        #expect(text.contains("# HELP suite_jobs_total Jobs ended.\n# TYPE suite_jobs_total counter\n"))
        #expect(text.contains("suite_jobs_total{outcome=\"completed\"} 1.0\n"))
        #expect(text.contains("suite_jobs_total{outcome=\"a\\\"b\"} 2.0\n"))
        #expect(text.contains("suite_wait_seconds_bucket{le=\"0.01\"} 0\nsuite_wait_seconds_bucket{le=\"0.1\"} 1\n"))
        #expect(text.contains("suite_wait_seconds_bucket{le=\"+Inf\"} 1\n"))
    }
}

struct ShutdownTests {
    @Test func everyWaiterIsWokenAndALateOneReturnsAtOnce() async {
        let shutdown = Shutdown()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<10 { group.addTask { await shutdown.wait() } }
            shutdown.request()
        }
        await shutdown.wait()
        #expect(shutdown.isRequested)
        #expect(await shutdown.sleep(for: .seconds(3600)) == false)
    }

    @Test func aCancelledWaiterReturns() async {
        let shutdown = Shutdown()
        let task = Task { await shutdown.wait() }
        task.cancel()
        await task.value
        #expect(!shutdown.isRequested)
    }
}

struct HealthChecksTests {
    private struct Refused: Error {}

    @Test func aCheckThatHangsFailsInsteadOfHoldingTheAnswer() async {
        let checks = HealthChecks(limit: .milliseconds(500))
        await checks.add("redis", isRequired: true) { try await Task.sleep(for: .seconds(3600)) }
        await checks.add("database", isRequired: false) {}
        let results = await checks.results()
        #expect(results.map(\.status) == [.fail, .pass])
        #expect(HealthChecks.overall(results) == .fail)
    }

    @Test func aFailedExtraOnlyWarns() async {
        let checks = HealthChecks()
        await checks.add("provider", isRequired: false) { throw Refused() }
        #expect(HealthChecks.overall(await checks.results()) == .warn)
    }
}

struct FailpointsTests {
    @Test(arguments: ["x", "x:1", "x:0:abort", "x:1:explode"]) func aPlanThatCannotBeReadIsRefused(_ text: String) {
        #expect(throws: ConfigurationError.self) { try Failpoints(text) }
    }

    @Test func anotherPlaceIsPassedUnharmed() throws {
        let failpoints = try Failpoints("embedder.after-cache:1:abort")
        failpoints.reach("embedder.after-claim")
    }
}

struct BlockingExecutorTests {
    private actor Worker {
        private nonisolated let executor = BlockingExecutor(label: "worker")
        nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
        func thread() -> UInt { UInt(pthread_self()) }
    }

    @Test func anActorStaysOnItsOwnThread() async {
        let (one, other) = (Worker(), Worker())
        let first = await one.thread()
        let foreign = await other.thread()
        #expect(first != foreign)
        for _ in 0..<100 {
            await Task.yield()
            #expect(await one.thread() == first)
        }
    }
}

struct PreparingTests {
    private struct Away: RetryableError { var isRetryable: Bool }

    @Test func isTriedAgainWhileAServerIsAway() async throws {
        var tries = 0
        try await preparing(log: .silent, interval: .milliseconds(1)) {
            tries += 1
            if tries < 3 { throw Away(isRetryable: true) }
        }
        #expect(tries == 3)
    }

    @Test(arguments: [(false, Duration.seconds(60)), (true, .zero)])
    func endsWithWhatAnotherTryDoesNotHelpAgainst(isRetryable: Bool, limit: Duration) async {
        var tries = 0
        await #expect(throws: Away.self) {
            try await preparing(log: .silent, limit: limit) {
                tries += 1
                throw Away(isRetryable: isRetryable)
            }
        }
        #expect(tries == 1)
    }
}
