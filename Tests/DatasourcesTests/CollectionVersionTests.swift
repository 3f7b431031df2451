import Datasources
import Testing
import WireProtocol

@Suite struct CollectionVersionTests {
    private static let other = EmbeddingSpace(provider: "openai", model: "text-embedding-3-small", dimensions: 1536)

    private func rebuilding(_ fixture: StoreFixture, templates: [String: String?] = [:]) async throws
        -> VectorCollection.Version
    {
        _ = try await fixture.collections.ensure(name: "products", vectorSize: 384, space: .example)
        return try await fixture.collections.addVersion(
            of: "products", vectorSize: 1536, space: Self.other, templates: templates)
    }

    private func products(_ fixture: StoreFixture) async throws -> VectorCollection {
        try #require(try await fixture.collections.collection(name: "products"))
    }

    @Test func aNameAndItsPhysicalCollectionsAreToldApart() async throws {
        let fixture = try await StoreFixture()
        let made = try await fixture.collections.ensure(name: "products", vectorSize: 384, space: .example)
        #expect(made.active.physicalName == "products@1")
        #expect(try await fixture.collections.ensure(name: "products", vectorSize: 384, space: .example) == made)
        #expect(try await fixture.collections.collection(physicalName: "products@1") == made)
        #expect(VectorCollection.parts(ofPhysical: "products@12") == ("products", 12))
        #expect(VectorCollection.parts(ofPhysical: "products") == ("products", 1))
    }

    @Test func aDeletedCollectionIsFoundByNobodyAndItsNameIsFreeAtTheEnd() async throws {
        let fixture = try await StoreFixture()
        _ = try await rebuilding(fixture)
        #expect(try await fixture.collections.discardAll(of: "none").isEmpty)
        for _ in 0..<2 {
            #expect(try await fixture.collections.discardAll(of: "products") == ["products@1", "products@2"])
        }
        #expect(try await fixture.collections.collections().isEmpty)
        #expect(try await fixture.collections.versionsToRemove(discardedBefore: .zero).count == 2)
        try await fixture.collections.removeVersion(physicalName: "products@1")
        await #expect(throws: DatasourcesError.self) {
            try await fixture.collections.ensure(name: "products", vectorSize: 3, space: .example)
        }
        try await fixture.collections.removeVersion(physicalName: "products@2")
        try await fixture.collections.removeVersion(physicalName: "products@2")
        let again = try await fixture.collections.ensure(name: "products", vectorSize: 3, space: .example)
        #expect(again.active.physicalName == "products@1" && again.active.vectorSize == 3)
    }

    @Test func whatDatasourcesFillIsKnownWhoeverMadeIt() async throws {
        let fixture = try await StoreFixture()
        _ = try await fixture.collections.ensure(name: "products", vectorSize: 3, space: nil)
        #expect(try await fixture.collections.filledPhysicalNames().isEmpty)
        let (made, _) = try await fixture.store.create(DatasourceDraft(draftBody()))
        #expect(try await fixture.collections.filledPhysicalNames() == ["products@1"])
        let space = EmbeddingSpace(provider: "openai", model: "small", dimensions: 3)
        try await fixture.collections.setSpace(
            physicalName: "products@1", space, datasourceID: made.id)
        let filled = try await products(fixture)
        #expect(filled.active.space == space && filled.datasourceID == made.id)
        #expect(try await fixture.store.delete(id: made.id))
        #expect(try await fixture.collections.filledPhysicalNames() == ["products@1"], "its points are kept")
    }

    @Test func aVersionIsSwitchedToAndBack() async throws {
        let fixture = try await StoreFixture()
        let version = try await rebuilding(fixture)
        #expect(version.physicalName == "products@2")
        #expect(version.state == .building)
        #expect(try await products(fixture).active.physicalName == "products@1")
        let switched = try await fixture.collections.switchVersion(of: "products")
        #expect(switched.active.physicalName == "products@2")
        #expect(switched.previous?.physicalName == "products@1")
        #expect(switched.building == nil)
        await #expect(throws: DatasourcesError.self) { try await fixture.collections.switchVersion(of: "products") }
        let back = try await fixture.collections.rollBackVersion(of: "products")
        #expect(back.active.physicalName == "products@1")
        #expect(back.building?.physicalName == "products@2")
        await #expect(throws: DatasourcesError.self) { try await fixture.collections.rollBackVersion(of: "products") }
        #expect(try await fixture.collections.switchVersion(of: "products", to: 2).active.number == 2)
    }

    @Test func oneVersionIsBuiltAtATimeAndNumbersAreNotUsedAgain() async throws {
        let fixture = try await StoreFixture()
        _ = try await rebuilding(fixture)
        await #expect(throws: DatasourcesError.self) {
            try await fixture.collections.addVersion(of: "products", vectorSize: 3, space: .example)
        }
        let given = try await fixture.collections.discardVersion(in: .building, of: "products")
        #expect(given.physicalName == "products@2")
        #expect(try await fixture.collections.versionsToRemove(discardedBefore: .seconds(60)).isEmpty)
        #expect(try await fixture.collections.versionsToRemove(discardedBefore: .zero) == ["products@2"])
        try await fixture.collections.removeVersion(physicalName: "products@2")
        let next = try await fixture.collections.addVersion(of: "products", vectorSize: 384, space: .example)
        #expect(next.physicalName == "products@3")
        try await fixture.collections.removeVersion(physicalName: "products@3")  // it is not given up
        #expect(try await products(fixture).versions.map(\.number) == [1, 3])
    }

    @Test func theNextRebuildAndTheRetentionGiveTheRetiredVersionUp() async throws {
        let fixture = try await StoreFixture()
        _ = try await rebuilding(fixture)
        _ = try await fixture.collections.switchVersion(of: "products")
        #expect(try await fixture.collections.discardRetired(olderThan: .seconds(3600)).isEmpty)
        _ = try await fixture.collections.addVersion(of: "products", vectorSize: 384, space: .example)
        let during = try await products(fixture)
        #expect(during.versions.map(\.state) == [.removing, .active, .building])
        #expect(during.previous == nil)
        #expect(during.beside?.number == 3)
        _ = try await fixture.collections.switchVersion(of: "products")
        #expect(try await fixture.collections.discardRetired(olderThan: .zero) == ["products@2"])
    }

    @Test func twoCallersCannotBothSwitchOrBuild() async throws {
        let fixture = try await StoreFixture()
        _ = try await fixture.collections.ensure(name: "products", vectorSize: 384, space: .example)
        func won(_ body: @escaping @Sendable () async throws -> Void) async throws -> Int {
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        do {
                            try await body()
                            return true
                        } catch is DatasourcesError { return false }
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
        }
        let collections = fixture.collections
        #expect(
            try await won { _ = try await collections.addVersion(of: "products", vectorSize: 8, space: Self.other) }
                == 1)
        #expect(try await won { _ = try await collections.switchVersion(of: "products") } == 1)
        #expect(try await products(fixture).active.number == 2)
    }

    @Test func theDatasourcesTakeTheSettingsOfTheVersionThatIsActive() async throws {
        let fixture = try await StoreFixture()
        let explicit = try await fixture.store.create(
            DatasourceDraft(
                draftBody([
                    "qdrantCollection": "products",
                    "embedding": ["provider": "local", "model": "all-MiniLM-L6-v2", "template": "{{title}}"],
                ]))
        ).datasource
        let plain = try await fixture.store.create(
            DatasourceDraft(draftBody(["name": "other", "qdrantCollection": "products"]))
        ).datasource
        _ = try await rebuilding(fixture, templates: [explicit.id: "Product: {{title}}"])

        func template(_ datasource: Datasource, _ physicalName: String) async throws -> String? {
            try await fixture.store.datasource(id: datasource.id, filling: physicalName)?.embedding.template
        }
        #expect(try await template(explicit, "products@1") == "{{title}}")
        #expect(try await template(explicit, "products@2") == "Product: {{title}}")
        #expect(try await template(plain, "products@2") == nil)

        _ = try await fixture.collections.switchVersion(of: "products")
        let switched = try #require(try await fixture.store.datasource(id: explicit.id))
        #expect(
            switched.embedding
                == .init(
                    provider: "openai", model: "text-embedding-3-small", dimensions: 1536,
                    template: "Product: {{title}}"))
        #expect(try await fixture.store.datasource(id: plain.id)?.embedding == .init())
        #expect(try await template(explicit, "products@1") == "{{title}}")
        #expect(try await template(explicit, "products@2") == "Product: {{title}}")

        _ = try await fixture.collections.rollBackVersion(of: "products")
        let back = try #require(try await fixture.store.datasource(id: explicit.id))
        #expect(back.embedding.template == "{{title}}")
        #expect(back.embedding.model == "all-MiniLM-L6-v2")
        #expect(try await template(explicit, "products@2") == "Product: {{title}}")
    }

    @Test func whatADatasourceSetsItselfMustFitTheActiveVersion() async throws {
        let fixture = try await StoreFixture()
        let collection = try await fixture.collections.ensure(name: "products", vectorSize: 384, space: .example)
        #expect(collection.conflict(with: .init()) == nil)
        #expect(collection.conflict(with: .init(model: "all-MiniLM-L6-v2", template: "x")) == nil)
        #expect(collection.conflict(with: .init(model: "another"))?.contains("rebuild") == true)
        #expect(collection.conflict(with: .init(dimensions: 768)) != nil)
        #expect(collection.conflict(with: .init(provider: "openai")) != nil)
    }
}
