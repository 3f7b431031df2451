import Foundation
import ServiceRuntime
import Synchronization
import Testing

@testable import HTTPServer

/// What happens to requests when clients go, stall or stay, and when the server stops.
@Suite struct LifecycleTests {
    private static let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    /// A handler that ends only by cancellation.
    private static func waitForCancellation(_ started: Signal, _ cancelled: Signal) async throws -> HTTPResponse {
        let never = Signal()
        await withTaskCancellationHandler {
            started.fire()
            await never.wait()
        } onCancel: {
            never.fire()
        }
        cancelled.fire()
        try Task.checkCancellation()
        return .text("not cancelled")
    }

    // MARK: - Clients that go

    @Test(arguments: [true, false])
    func aClientThatGoesCancelsItsHandler(byReset: Bool) async throws {
        let (started, cancelled) = (Signal(), Signal())
        var limits = HTTPLimits()
        limits.probe = .milliseconds(20)
        try await withServer(
            limits: limits, { $0.on("GET", "/") { _ in try await Self.waitForCancellation(started, cancelled) } }
        ) { port in
            let client = try RawClient(port: port)
            try await client.send(Self.get)
            await started.wait()
            byReset ? client.abort() : client.close()
            await cancelled.wait()
        }
    }

    @Test func aHalfClosedClientStillGetsAllItsAnswers() async throws {
        let (started, release) = (Signal(), Signal())
        try await withServer({ router in
            router.on("GET", "/") { _ in
                started.fire()
                await release.wait()
                try Task.checkCancellation()
                return .text("hello")
            }
        }) { port in
            let client = try RawClient(port: port)
            try await client.send(Self.get + Self.get + Self.get)
            client.endSending()
            await started.wait()
            release.fire()
            let answer = try await client.all()
            #expect(answer.statuses == [200, 200, 200])
            client.close()
        }
    }

    @Test func aHalfClosedClientThatWaitsLongIsAskedWithAnInterimResponse() async throws {
        let release = Signal()
        var limits = HTTPLimits()
        limits.probe = .milliseconds(20)
        try await withServer(
            limits: limits,
            { router in
                router.on("GET", "/") { _ in
                    await release.wait()
                    try Task.checkCancellation()
                    return .text("hello")
                }
            }
        ) { port in
            let client = try RawClient(port: port)
            try await client.send(Self.get)
            client.endSending()
            #expect(try await client.until("\r\n\r\n").hasPrefix("HTTP/1.1 100 Continue\r\n\r\n"))
            release.fire()
            #expect(try await client.all().statuses.last == 200)
            client.close()
        }
    }

    @Test func aHalfCloseInsideABodyIsABadRequest() async throws {
        try await withServer(Router.small) { port in
            let client = try RawClient(port: port)
            try await client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
            client.endSending()
            #expect(try await client.all().statuses == [400])
            client.close()
        }
    }

    @Test func clientsThatComeAndGoDoNotDisturbOthers() async throws {
        try await withServer(Router.small) { port in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<40 {
                    group.addTask {
                        for _ in 0..<10 {
                            let client = try RawClient(port: port)
                            try await client.send(number.isMultiple(of: 2) ? Self.get : "GET / HT")
                            if number.isMultiple(of: 4) {
                                #expect(try await client.until("hello").statuses == [200])
                            }
                            number.isMultiple(of: 3) ? client.abort() : client.close()
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    // MARK: - Clients that stall

    private static func short(_ limit: WritableKeyPath<HTTPLimits, Duration>, _ duration: Duration = .milliseconds(60))
        -> HTTPLimits
    {
        var limits = HTTPLimits()
        limits[keyPath: limit] = duration
        return limits
    }

    @Test func aSlowHeaderIsEndedWith408() async throws {
        try await withServer(limits: Self.short(\.head, .seconds(1)), Router.small) { port in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<30 {
                    group.addTask {
                        let client = try RawClient(port: port)
                        try await client.send("GET / HTTP/1.1\r\nHost: a\r\n")
                        #expect(try await client.all().statuses == [408])
                        client.close()
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test func aClientThatSaysNothingIsClosedWithoutAWord() async throws {
        try await withServer(limits: Self.short(\.head), Router.small) { port in
            let client = try RawClient(port: port)
            #expect(try await client.all() == "")
            client.close()
        }
    }

    @Test func anIdleConnectionIsClosedWithoutAWord() async throws {
        try await withServer(limits: Self.short(\.idle), Router.small) { port in
            let client = try RawClient(port: port)
            try await client.send(Self.get)
            #expect(try await client.all().statuses == [200])
            client.close()
        }
    }

    @Test func aStalledBodyIsEndedWith408() async throws {
        try await withServer(limits: Self.short(\.stall), Router.small) { port in
            let client = try RawClient(port: port)
            try await client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
            #expect(try await client.all().statuses == [408])
            client.close()
        }
    }

    @Test func aClientThatDoesNotTakeItsAnswerIsClosed() async throws {
        let ended = Signal()
        try await withServer(
            limits: Self.short(\.stall),
            { router in
                router.on("GET", "/") { _ in
                    .stream(contentType: "text/plain") { writer in
                        defer { ended.fire() }
                        while true { try await writer.write([UInt8](repeating: 97, count: 1 << 16)) }
                    }
                }
            }
        ) { port in
            let client = try RawClient(port: port)
            try await client.send(Self.get)
            await ended.wait()
            client.close()
        }
    }

    @Test func oneConnectionTooManyIsTold() async throws {
        var limits = HTTPLimits()
        limits.connections = 2
        try await withServer(limits: limits, Router.small) { port in
            let held = try [RawClient(port: port), RawClient(port: port)]
            for client in held {
                try await client.send(Self.get)
                #expect(try await client.until("hello").statuses == [200])
            }
            let third = try RawClient(port: port)
            let answer = try await third.all()
            #expect(answer.statuses == [503])
            #expect(answer.contains("Retry-After: 1"))
            third.close()
            held[0].close()
            try await held[1].send(Self.get)
            #expect(try await held[1].until("hello").statuses == [200])
            held[1].close()
        }
    }

    @Test func bodiesThatAreTooMuchTogetherAreTold() async throws {
        var limits = HTTPLimits()
        limits.bufferedBytes = 1000
        try await withServer(limits: limits, Router.small) { port in
            let (held, second) = (try RawClient(port: port), try RawClient(port: port))
            try await held.send(
                "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 801\r\n\r\n")
            _ = try await held.until("100 Continue\r\n\r\n")
            try await held.send(String(repeating: "a", count: 800))
            try await second.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1100\r\n\r\n")
            try await second.send(String(repeating: "b", count: 1100))
            #expect(try await second.all().statuses == [503])
            try await held.send("a")
            #expect(try await held.until(String(repeating: "a", count: 801)).statuses == [200])
            held.close()
            second.close()
        }
    }

    // MARK: - Stopping

    private struct Stopping {
        var router = Router()
        var limits = HTTPLimits()
        /// An address of its own where a test looks at a closed port: another test's server may have it by then.
        var host = "127.0.0.1"
        func start() async throws -> (HTTPServer, Int) {
            let server = HTTPServer(
                host: host, port: 0, router: router, limits: limits, log: .silent, metrics: Metrics(),
                accessLog: false)
            return (server, try await server.start())
        }
    }

    @Test func aRequestInFlightIsFinishedAndNobodyNewIsLetIn() async throws {
        let (started, release) = (Signal(), Signal())
        var setup = Stopping(host: "127.0.0.2")
        Router.small(&setup.router)
        setup.router.on("GET", "/slow") { _ in
            started.fire()
            await release.wait()
            return .text("finished")
        }
        let (server, port) = try await setup.start()
        let shutdown = Shutdown()
        async let running: Void = server.run(until: shutdown)
        let (idle, busy) = (try RawClient(host: setup.host, port: port), try RawClient(host: setup.host, port: port))
        try await idle.send(Self.get)
        _ = try await idle.until("hello")
        try await busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + Self.get)
        await started.wait()
        shutdown.request()
        #expect(try await idle.isClosed())
        #expect(throws: RawClient.Failure.self) { try RawClient(host: setup.host, port: port) }
        release.fire()
        let answer = try await busy.all()
        #expect(answer.statuses == [200])
        #expect(answer.contains("Connection: close") && answer.hasSuffix("finished"))
        try await running
        idle.close()
        busy.close()
    }

    @Test func eventStreamsAreCancelledAtTheEndOfTheGraceAndEndInGoodOrder() async throws {
        let cancelled = Signal()
        var setup = Stopping()
        setup.limits.drain = .milliseconds(50)
        setup.router.on("GET", "/") { _ in
            .events { writer in
                try await writer.send(data: "first")
                _ = try await Self.waitForCancellation(Signal(), cancelled)
            }
        }
        let (server, port) = try await setup.start()
        let client = try RawClient(port: port)
        try await client.send(Self.get)
        _ = try await client.until("data: first")
        async let rest = client.all()
        await server.stop()
        #expect(cancelled.hasFired)
        #expect(try await rest.hasSuffix("0\r\n\r\n"))
        client.close()
    }

    @Test func aPortInUseIsAnErrorThatNamesIt() async throws {
        try await withServer(Router.small) { port in
            let second = HTTPServer(host: "127.0.0.1", port: port, router: Router(), log: .silent, metrics: Metrics())
            await #expect(
                throws: HTTPServerError.cannotListen(host: "127.0.0.1", port: port, reason: "Address already in use")
            ) {
                _ = try await second.start()
            }
        }
    }
}
