import Testing

@testable import Redis

struct RedisURLTests {
    @Test func readsEveryPart() throws {
        let url = try RedisURL("redis://queue:p%40ss@cache.internal:6400/3")
        #expect(url.address == .tcp(host: "cache.internal", port: 6400))
        #expect(url.user == "queue")
        #expect(url.password == "p@ss")
        #expect(url.database == 3)
    }

    @Test func hasDefaults() throws {
        let url = try RedisURL("redis://:secret@localhost")
        #expect(url.address == .tcp(host: "localhost", port: 6379))
        #expect(url.user == nil)
        #expect(url.password == "secret")
        #expect(url.database == 0)
    }

    @Test(arguments: ["http://:hunter2@x", "rediss://:hunter2@x", "redis://:hunter2@x/one", ""])
    func refusesWithoutRepeatingASecret(_ text: String) {
        let error = #expect(throws: RedisError.self) { try RedisURL(text) }
        #expect(error.map { !"\($0)".contains("hunter2") } == true)
    }
}
