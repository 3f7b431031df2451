import Foundation
import TestServers
import Testing

@Suite struct ServersTests {
    @Test func postgresKeepsItsDataOverAKill() async throws {
        let server = try await PostgresServer()
        let database = try #require(URL(string: try await server.createDatabase()))
        let name = String(database.path.dropFirst())
        try await server.execute("CREATE TABLE kept AS SELECT 1 AS one", in: name)
        try await server.kill()
        try await server.start()
        try await server.execute("SELECT one FROM kept", in: name)
        try await server.restart()
        await #expect(throws: ServerError.self) { try await server.execute("SELECT nothing FROM nowhere", in: name) }
    }

    @Test func redisComesBackAfterAKillAndAPause() async throws {
        let server = try await RedisServer()
        try await server.command("SET", "a", "1")
        try await server.kill()
        try await server.start()
        try server.pause()
        try server.resume()
        try await server.flush()
        #expect(try await server.createDatabase().hasSuffix("/1"))
    }
}
