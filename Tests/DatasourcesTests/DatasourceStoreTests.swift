import Crypto
import Postgres
import ServiceRuntime
import TestServers
import Testing
import WireProtocol

@testable import Datasources

struct StoreFixture {
    let pool: PostgresPool
    let store: DatasourceStore
    let collections: VectorCollectionStore
    static let keys = Hex.encode(Array(repeating: 7, count: 32))

    init() async throws {
        let url = try await PostgresServer.shared().createDatabase("datasources")
        pool = PostgresPool(url: url, size: 4, log: .silent, metrics: nil, applicationName: "test")
        try await datasourcesMigrator(pool: pool).up()
        store = DatasourceStore(pool: pool, keyRing: try KeyRing(specification: Self.keys))
        collections = VectorCollectionStore(pool: pool)
    }
}

@Suite struct DatasourceStoreTests {
    @Test func keepsADatasourceAndItsSecretsSealed() async throws {
        let fixture = try await StoreFixture()
        let (made, webhookSecret) = try await fixture.store.create(DatasourceDraft(draftBody()))
        #expect(webhookSecret.hasPrefix("whsec_"))
        let found = try #require(try await fixture.store.datasource(id: made.id))
        #expect(found == made)
        #expect(!JSONValue.object(found.json).serialized.contains("canary"))
        #expect(found.json["connectionConfig"]?["hasSecrets"]?.bool == true)
        #expect(try fixture.store.connection(of: found)["password"] == "s3cret-canary")
        #expect(try fixture.store.webhookSecret(of: found) == webhookSecret)
        let rows = try await fixture.pool.query("SELECT row_to_json(d)::text FROM datasources d")
        #expect(rows[0].text(0)?.contains("canary") == false)
        #expect(rows[0].text(0)?.contains(webhookSecret) == false)
        let second = try await fixture.store.regenerateWebhookSecret(id: made.id)
        let changed = try #require(try await fixture.store.datasource(id: made.id))
        #expect(try fixture.store.webhookSecret(of: changed) == second)
    }

    @Test func anUpdateDoesNotTakeASwitchBackThatItHasNotSeen() async throws {
        let fixture = try await StoreFixture()
        let (made, _) = try await fixture.store.create(DatasourceDraft(draftBody()))
        let update = try await fixture.pool.transaction { transaction in
            // As a switch of its collection does it.
            _ = try await transaction.query("SELECT id FROM datasources WHERE id = $1 FOR UPDATE", [.uuid(made.id)])
            let update = Task { try await fixture.store.update(id: made.id, ["description": "new"]) }
            let waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            while try await fixture.pool.query(waiting).isEmpty { await Task.yield() }
            _ = try await transaction.query(
                "UPDATE datasources SET embedding = '{\"provider\": \"openai\", \"model\": \"m\", \"dimensions\": 8}' WHERE id = $1",
                [.uuid(made.id)])
            return update
        }
        let updated = try await update.value
        #expect(updated.description == "new")
        #expect(updated.embedding.provider == "openai" && updated.embedding.dimensions == 8)
    }

    @Test func anUpdateWithoutASecretKeepsIt() async throws {
        let fixture = try await StoreFixture()
        let (made, _) = try await fixture.store.create(DatasourceDraft(draftBody()))
        let changed = try await fixture.store.update(
            id: made.id,
            [
                "description": "new",
                "connectionConfig": ["host": "db.internal", "port": 5433, "database": "shop", "user": "reader"],
            ])
        #expect(changed.description == "new")
        #expect(changed.name == "Catalogue")
        #expect(try fixture.store.connection(of: changed)["password"] == "s3cret-canary")
        #expect(try fixture.store.connection(of: changed)["port"] == 5433)
        await #expect(throws: DatasourcesError.self) {
            try await fixture.store.update(
                id: made.id, ["connectionConfig": ["host": "attacker", "database": "shop", "user": "reader"]])
        }
        // What GET answered can be sent back.
        let again = try await fixture.store.update(id: made.id, .object(changed.json))
        #expect(try fixture.store.connection(of: again)["password"] == "s3cret-canary")
        #expect(again.json["connectionConfig"] == changed.json["connectionConfig"])
    }

    @Test func aMovedSecretDoesNotOpen() async throws {
        let fixture = try await StoreFixture()
        let (first, _) = try await fixture.store.create(DatasourceDraft(draftBody()))
        let (second, _) = try await fixture.store.create(DatasourceDraft(draftBody(["name": "Other"])))
        var thief = second
        thief.sealedSecrets = first.sealedSecrets
        #expect(throws: DatasourcesError.self) { try fixture.store.connection(of: thief) }
        let other = DatasourceStore(
            pool: fixture.pool, keyRing: try KeyRing(specification: Hex.encode(Array(repeating: 8, count: 32))))
        #expect(throws: DatasourcesError.self) { try other.connection(of: first) }
    }

    @Test func namesAreUniqueAndListsArePaged() async throws {
        let fixture = try await StoreFixture()
        for index in 0..<3 {
            _ = try await fixture.store.create(DatasourceDraft(draftBody(["name": .string("D\(index)")])))
        }
        await #expect(throws: DatasourcesError.nameTaken("D1")) {
            try await fixture.store.create(DatasourceDraft(draftBody(["name": "D1"])))
        }
        let page = try await fixture.store.datasources(limit: 2, offset: 1)
        #expect(page.total == 3)
        #expect(page.items.map(\.name) == ["D1", "D0"])
        #expect(try await fixture.store.delete(id: page.items[0].id))
        #expect(try await !fixture.store.delete(id: page.items[0].id))
        #expect(try await fixture.store.datasource(id: "no uuid") == nil)
    }

    @Test func keepsFilesInChunks() async throws {
        let fixture = try await StoreFixture()
        let (made, _) = try await fixture.store.create(
            DatasourceDraft(draftBody(["type": "csv", "connectionConfig": [:], "queryTemplate": nil])))
        let content = (0..<700_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        func parts(_ bytes: [UInt8]) -> AsyncStream<[UInt8]> {
            AsyncStream { continuation in
                for start in stride(from: 0, to: bytes.count, by: 100_001) {
                    continuation.yield(Array(bytes[start..<min(start + 100_001, bytes.count)]))
                }
                continuation.finish()
            }
        }
        let file = try await fixture.store.storeFile(
            datasourceID: made.id, name: "a.csv", limit: 1 << 20, parts(content))
        #expect(file.size == content.count)
        #expect(file.sha256 == Hex.encode(SHA256Digest.hash(content)))
        #expect(try await fixture.store.chunks(of: file, from: 0, count: 100) == content)
        #expect(try await fixture.store.chunks(of: file, from: 1, count: 1) == Array(content[262_144..<524_288]))
        #expect(try await fixture.store.chunks(of: file, from: 3, count: 1) == [])
        await #expect(throws: DatasourcesError.fileTooLarge(limit: 1000)) {
            try await fixture.store.storeFile(datasourceID: made.id, name: "b.csv", limit: 1000, parts(content))
        }
        let second = try await fixture.store.storeFile(
            datasourceID: made.id, name: "b.csv", limit: 1 << 20, parts([1, 2, 3]))
        #expect(try await fixture.store.file(of: made.id) == second)
        await #expect(throws: DatasourcesError.fileGone) { try await fixture.store.chunks(of: file, from: 0, count: 1) }
        let left = try await fixture.pool.query("SELECT count(*) FROM datasource_file_chunks")
        #expect(left[0].int(0) == 1)
    }

    @Test func migrationsGoDownAgain() async throws {
        let fixture = try await StoreFixture()
        try await datasourcesMigrator(pool: fixture.pool).down(to: 0)
        try await datasourcesMigrator(pool: fixture.pool).up()
    }
}
