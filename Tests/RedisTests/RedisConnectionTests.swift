import ServiceRuntime
import TestServers
import Testing

@testable import Redis

struct RedisConnectionTests {
    private func connect() async throws -> RedisConnection {
        RedisConnection(url: try await RedisServer.shared().createDatabase(), log: .silent)
    }

    @Test func answersWithEveryKindOfValue() async throws {
        let redis = try await connect()
        #expect(try await redis.send("SET", "a", "1") == .simple("OK"))
        #expect(try await redis.send("INCR", "a") == .integer(2))
        #expect(try await redis.send("GET", "a").integer == 2)
        #expect(try await redis.send("GET", "none") == .null)
        try await redis.send("RPUSH", "list", "x", "y").integer.map { #expect($0 == 2) }
        #expect(try await redis.send("LRANGE", "list", "0", "-1") == .array([.bulk([120]), .bulk([121])]))
        await #expect(
            throws: RedisError.server(message: "WRONGTYPE Operation against a key holding the wrong kind of value")
        ) {
            try await redis.send("GET", "list")
        }
    }

    @Test(arguments: [0, 1, 16_383, 16_384, 500_000, 5_000_000])
    func carriesBytesOfAnySize(_ size: Int) async throws {
        let redis = try await connect()
        let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        let replies = try await redis.pipeline([
            ["SET", "k", RedisArgument(bytes)], ["STRLEN", "k"], ["GET", "k"], ["SET", "after", "1"],
        ])
        #expect(replies[1].integer == Int64(size))
        #expect(replies[2].bytes == bytes)
        #expect(replies[3] == .simple("OK"))
    }

    @Test func aThousandCallersGetTheirOwnAnswers() async throws {
        let redis = try await connect()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<1000 {
                group.addTask {
                    let echoed = try await redis.send("ECHO", RedisArgument(number)).integer
                    #expect(echoed == Int64(number))
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func anErrorInAPipelineIsAValueAndTheRestIsAnswered() async throws {
        let redis = try await connect()
        let replies = try await redis.pipeline([["SET", "a", "x"], ["INCR", "a"], ["GET", "a"]])
        #expect(replies[1] == .error("ERR value is not an integer or out of range"))
        #expect(replies[2].string == "x")
    }

    @Test func loadsAScriptAgainAfterTheServerForgotIt() async throws {
        let redis = try await connect()
        let script = RedisScript("return redis.call('INCRBY', KEYS[1], ARGV[1])")
        #expect(try await redis.run(script, keys: ["n"], arguments: ["2"]).integer == 2)
        _ = try await redis.send("SCRIPT", "FLUSH")
        let (replies, result) = try await redis.pipeline(
            [["SET", "other", "1"]], then: script, keys: ["n"], arguments: ["3"])
        #expect(replies == [.simple("OK")])
        #expect(result.integer == 5)
    }

    @Test func reconnectsAfterTheServerWasKilled() async throws {
        let server = try await RedisServer()
        let redis = RedisConnection(url: server.url, log: .silent)
        _ = try await redis.send("SET", "a", "kept")
        try await server.kill()
        let whileAway = Task { try await redis.send("GET", "a") }  // waits for the server, for it was never sent
        try await server.start()
        #expect(try await whileAway.value.string == "kept")
        #expect(try await redis.send("GET", "a").string == "kept")
    }

    @Test func aServerThatIsGoneIsARetryableErrorAndSoonTold() async throws {
        let redis = RedisConnection(url: "redis://:hunter2@127.0.0.1:\(freePort())", log: .silent)
        for _ in 0..<2 {
            let error = await #expect(throws: RedisError.self) { try await redis.send("PING") }
            #expect(error?.isRetryable == true)
            #expect(error?.isAmbiguous == false)
            #expect(error.map { !"\($0)".contains("hunter2") } == true)
        }
    }

    @Test func aCommandInFlightAtALossFailsAndIsNotSentAgain() async throws {
        let server = try await RedisServer()
        let redis = RedisConnection(url: server.url, log: .silent)
        let outside = RedisConnection(url: server.url, log: .silent)
        let name = try #require(try await redis.send("CLIENT", "ID").integer)
        async let waiting = redis.send("BLPOP", "nothing", "0")
        while try await outside.send("CLIENT", "LIST", "ID", RedisArgument(name)).string?.contains("cmd=blpop") != true
        {}
        _ = try await outside.send("CLIENT", "KILL", "ID", RedisArgument(name))
        do {
            _ = try await waiting
            Issue.record("answered")
        } catch let error as RedisError {
            #expect(error.isAmbiguous)
        }
        #expect(try await redis.send("PING") == .simple("PONG"))
    }

    @Test func aSilentServerIsATimeout() async throws {
        let server = try await RedisServer()
        let redis = RedisConnection(url: server.url, log: .silent, timeout: .seconds(1))
        _ = try await redis.send("PING")
        try server.pause()
        await #expect(throws: RedisError.timedOut) { try await redis.send("PING") }
        try server.resume()
        #expect(try await redis.send("PING") == .simple("PONG"))
    }

    @Test func authenticates() async throws {
        let server = try await RedisServer()
        try await server.command("ACL", "SETUSER", "worker", "on", ">geheim", "~*", "+@all")
        let redis = RedisConnection(url: "redis://worker:geheim@127.0.0.1:\(server.port)/2", log: .silent)
        #expect(try await redis.send("ACL", "WHOAMI").string == "worker")
        let wrong = RedisConnection(url: "redis://worker:falsch@127.0.0.1:\(server.port)", log: .silent)
        let error = await #expect(throws: RedisError.self) { try await wrong.send("PING") }
        #expect(error.map { "\($0)".contains("WRONGPASS") && !"\($0)".contains("falsch") } == true)
    }

    @Test func aBlockedWaitEndsWhenTheConnectionIsClosed() async throws {
        let server = try await RedisServer()
        let blocking = RedisBlockingConnection(url: server.url, log: .silent)
        let redis = RedisConnection(url: server.url, log: .silent)
        async let waiting = blocking.send(["BLMOVE", "a", "b", "RIGHT", "LEFT", "0"], timeout: .seconds(60))
        while try await redis.send("CLIENT", "LIST").string?.contains("cmd=blmove") != true {}
        blocking.close()
        do {
            _ = try await waiting
            Issue.record("answered")
        } catch let error as RedisError {
            #expect(error == .closed)
        }
    }

    @Test func theErrorOfAnUnknownCommandDoesNotQuoteItsArguments() async throws {
        let redis = try await connect()
        let error = await #expect(throws: RedisError.self) { try await redis.send("NOSUCH", "customer row") }
        #expect(error.map { !"\($0)".contains("customer") } == true)
    }

    @Test func refusesAServerThatEvicts() async throws {
        let good = RedisConnection(url: try await RedisServer.shared().url, log: .silent)
        try await checkQueuePolicy(of: good, log: .silent)
        let server = try await RedisServer(options: ["--maxmemory-policy", "allkeys-lru"])
        let bad = RedisConnection(url: server.url, log: .silent)
        await #expect(throws: RedisError.evictingPolicy("allkeys-lru")) {
            try await checkQueuePolicy(of: bad, log: .silent)
        }
    }
}
