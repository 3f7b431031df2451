import Foundation
import ServiceRuntime
import Testing
import WireProtocol

@testable import Indexer

struct EmbeddedStoreTests {
    let folder: StoreFolder
    let store: EmbeddedStore
    init() throws {
        folder = try StoreFolder()
        store = try folder.open()
    }

    @Test func findsTheNearestByEachDistance() async throws {
        for distance in Distance.allCases {
            try await store.createCollection(distance.rawValue, .unnamed(2, distance))
            try await store.write(
                [.upsert(1, [1, 0]), .upsert(2, [0, 2]), .upsert(3, [3, 3])], to: distance.rawValue)
        }
        func nearest(_ distance: Distance) async throws -> [String] {
            try await store.query(QueryRequest(query: .near([1, 0.1]), limit: 3), in: distance.rawValue)
                .map { "\($0.id) \((Double($0.score ?? 0) * 1000).rounded() / 1000)" }
        }
        #expect(try await nearest(.cosine) == ["1 0.995", "3 0.774", "2 0.1"])
        #expect(try await nearest(.dot) == ["3 3.3", "1 1.0", "2 0.2"])
        #expect(try await nearest(.euclid) == ["1 0.1", "2 2.147", "3 3.523"])
        #expect(try await nearest(.manhattan) == ["1 0.1", "2 2.9", "3 4.9"])
    }

    @Test func theCodesLoseNothingAgainstTheExactScan() async throws {
        try await store.createCollection("c", .unnamed(96, .cosine))
        var numbers = Numbers(4)
        let centres = (0..<20).map { _ in numbers.vector(96) }
        for batch in 0..<9 {
            try await store.write(
                (0..<2000).map { row in
                    let centre = centres[Int.random(in: 0..<20, using: &numbers)]
                    return .upsert(UInt64(batch * 2000 + row), zip(centre, numbers.vector(96)).map { $0 + 0.4 * $1 })
                })
        }
        for _ in 0..<20 {
            let target = zip(centres[Int.random(in: 0..<20, using: &numbers)], numbers.vector(96)).map { $0 + 0.4 * $1 }
            for limit in [10, 1000] {
                let fast = try await store.query(QueryRequest(query: .near(target), limit: limit), in: "c")
                let exact = try await store.query(
                    QueryRequest(query: .near(target), limit: limit, exact: true), in: "c")
                #expect(fast.map(\.id) == exact.map(\.id))
                #expect(fast.map(\.score) == exact.map(\.score))
            }
        }
    }

    @Test func aChangedPointKeepsWhatTheChangeDoesNotName() async throws {
        let vectors = [
            CollectionConfiguration.Vector(name: "image", size: 2, distance: .dot),
            CollectionConfiguration.Vector(name: "text", size: 3, distance: .dot),
        ]
        try await store.createCollection("c", CollectionConfiguration(vectors: vectors))
        let id = PointID(number: 7)
        func change(_ effect: PointChange.Effect) async throws {
            try await store.write([PointChange(id: id, effect: effect)])
        }
        func state() async throws -> String {
            let found = try await store.retrieve([id], from: "c", fields: PointFields(payload: .all, vectors: .all))
            return found.map { point in
                "\(String(decoding: point.payload ?? [], as: UTF8.self)) \((point.vectors ?? []).map { "\($0.name) \($0.values)" })"
            }.joined()
        }
        try await change(
            .upsert(vectors: [PlacedVector(position: 1, values: .dense([1, 2, 3]))], payload: Array("{\"a\":1}".utf8)))
        #expect(try await state() == "{\"a\":1} [\"text dense([1.0, 2.0, 3.0])\"]")
        try await change(.payload(Array("{\"b\":2}".utf8)))
        #expect(try await state() == "{\"b\":2} [\"text dense([1.0, 2.0, 3.0])\"]")
        try await change(.vectors([PlacedVector(position: 0, values: .dense([4, 5]))]))
        #expect(try await state() == "{\"b\":2} [\"image dense([4.0, 5.0])\", \"text dense([1.0, 2.0, 3.0])\"]")
        try await change(.dropVectors(2))
        #expect(try await state() == "{\"b\":2} [\"image dense([4.0, 5.0])\"]")
        #expect(try await store.query(QueryRequest(query: .near([1, 1, 1]), using: "text"), in: "c").isEmpty)
        #expect(
            try await store.query(QueryRequest(query: .near([1, 1]), using: "image"), in: "c").map(\.id) == [id])
        try await change(.delete)
        #expect(try await state() == "")
        #expect(try await store.write([PointChange(id: id, effect: .payload([]))]).missing == [0])
    }

    @Test func aPointThatComesTwiceInARequestTakesTheLast() async throws {
        try await store.createCollection("c", .unnamed(1))
        try await store.write([
            .upsert(1, [1], ["v": 1]), .upsert(1, [2], ["v": 2]), .payload(1, ["v": 3]), .upsert(2, [1]), .delete(2),
        ])
        #expect(try await store.ids() == [1])
        #expect(try await store.payload(1) == "{\"v\":3}")
        #expect(try await store.query(QueryRequest(query: .near([1])), in: "c").map(\.score) == [2])
    }

    @Test func aRequestWithOneBadPointChangesNothingAndNamesIt() async throws {
        try await store.createCollection("c", .unnamed(2))
        let error = await #expect(throws: StoreError.self) {
            try await store.write([.upsert(1, [1, 2]), .upsert(2, [1]), .upsert(3, [1, .infinity])])
        }
        #expect(error?.description.contains("Vector dimension error: expected dim: 2, got 1 (point 1, id 2)") == true)
        #expect(error?.description.contains("(point 2, id 3)") == true)
        #expect(try await store.ids().isEmpty)
    }

    @Test func scrollsInOrderOfIDsNumbersFirst() async throws {
        try await store.createCollection("c", .unnamed(1))
        let uuid = try #require(PointID(uuid: "550e8400-e29b-41d4-a716-446655440000"))
        try await store.write((1...25).map { .upsert(UInt64($0 * 7 % 26), [1]) })
        try await store.write([PointChange(id: uuid, effect: .upsert(vectors: [], payload: []))])
        var pages: [[String]] = []
        var request = ScrollRequest(limit: 10)
        repeat {
            let page = try await store.scroll(request, in: "c")
            pages.append(page.points.map(\.id.text))
            request.offset = page.next
        } while request.offset != nil
        let all = (1...25).map { "\($0)" } + [uuid.text]
        #expect(pages.map(\.count) == [10, 10, 6])
        #expect(pages.flatMap { $0 } == all)
    }

    @Test func aReaderSeesOneMomentWhilePointsMove() async throws {
        try await store.createCollection("c", .unnamed(4))
        let count = 500
        try await store.write((0..<count).map { .upsert(UInt64($0), [1, 0, 0, 0]) })
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [store] in
                for round in 0..<40 {
                    try await store.write((0..<count).map { .upsert(UInt64($0), [1, Float(round), 0, 0]) })
                }
            }
            for _ in 0..<3 {
                group.addTask { [store] in
                    for _ in 0..<40 {
                        let found = try await store.query(
                            QueryRequest(query: .near([1, 0, 0, 0]), limit: 1000), in: "c")
                        #expect(Set(found.map(\.id)).count == count)
                        #expect(try await store.count(nil, in: "c") == count)
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func aliasesNameACollectionAndSwitchAtOnce() async throws {
        try await store.createCollection("products@1", .unnamed(1))
        try await store.createCollection("products@2", .unnamed(1))
        try await store.write([.upsert(1, [1])], to: "products@1")
        try await store.changeAliases([.create(alias: "products", collection: "products@1")])
        #expect(try await store.ids(in: "products") == [1])
        try await store.changeAliases([
            .delete(alias: "products"), .create(alias: "products", collection: "products@2"),
        ])
        #expect(try await store.ids(in: "products").isEmpty)
        await #expect(throws: StoreError.collectionNotFound("nowhere")) {
            try await store.changeAliases([.delete(alias: "products"), .create(alias: "x", collection: "nowhere")])
        }
        #expect(store.aliases().map(\.alias) == ["products"])
        #expect(try await store.deleteCollection("products@2"))
        #expect(store.aliases().isEmpty)
        #expect(try await !store.deleteCollection("products@2"))
    }

    @Test func aCollectionCreatedAnewHasAnotherIncarnation() async throws {
        try await store.createCollection("c", .unnamed(1))
        let first = try await store.collection("c").incarnation
        await #expect(throws: StoreError.collectionExists("c")) { try await store.createCollection("c", .unnamed(1)) }
        _ = try await store.deleteCollection("c")
        try await store.createCollection("c", .unnamed(1))
        #expect(try await store.collection("c").incarnation != first)
    }

    @Test func deletesAndChangesWhatAFilterSelects() async throws {
        try await store.createCollection("c", .unnamed(1))
        try await store.write(
            (0..<10).map { .upsert(UInt64($0), [1], ["even": .bool($0 % 2 == 0), "n": JSONValue($0)]) })
        let even = try Filter(["must": [["key": "even", "match": ["value": true]]]])
        _ = try await store.apply(
            .selected(.filter(even), .setPayload(JSONObject([("mark", "x")]))), to: "c", wait: true)
        #expect(try await store.payload(4) == #"{"even":true,"n":4,"mark":"x"}"#)
        _ = try await store.apply(
            .selected(.ids([PointID(number: 4)]), .deletePayloadKeys([try #require(PayloadPath("mark"))])), to: "c",
            wait: true)
        #expect(try await store.payload(4) == #"{"even":true,"n":4}"#)
        _ = try await store.apply(.selected(.filter(even), .delete), to: "c", wait: true)
        #expect(try await store.ids() == [1, 3, 5, 7, 9])
    }

    @Test func aSecondProcessIsKeptOut() throws {
        #expect(throws: StoreError.inUse(path: folder.path)) { try EmbeddedStore(folder: folder.path, log: .silent) }
    }
}
