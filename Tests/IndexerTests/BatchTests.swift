import FastJSON
import Testing
import WireProtocol

@testable import Indexer

/// Requests of several updates, and updates with conditions.
struct BatchTests {
    let folder: StoreFolder
    let store: EmbeddedStore
    init() async throws {
        folder = try StoreFolder()
        store = try folder.open()
        try await store.createCollection("c", .unnamed(1))
    }
    private static func id(_ number: UInt64) -> PointID { PointID(number: number) }
    private static let marked = Filter(must: [.field(PayloadPath("mark")!, .equals(.bool(true)))])
    private static let mark = JSONObject([("mark", true)])
    private func state() async throws -> [String] {
        try await store.scroll(ScrollRequest(limit: 100), in: "c").points.map {
            "\($0.id) \(String(decoding: $0.payload ?? [], as: UTF8.self))"
        }
    }

    @Test func eachUpdateSeesWhatThoseBeforeItDid() async throws {
        try await store.write([.upsert(1, [1], ["n": 1])])
        _ = try await store.apply(
            .batch([
                .changes([.upsert(2, [2], ["n": 2]), .upsert(3, [3], ["n": 3])]),
                .selected(.ids([Self.id(1), Self.id(2)]), .setPayload(Self.mark)),
                .changes([.upsert(4, [4], ["mark": true])]),
                .selected(.filter(Self.marked), .setPayload(JSONObject([("seen", 1)]))),
                .selected(.ids([Self.id(1)]), .delete),
                .selected(.filter(Self.marked), .deletePayloadKeys([PayloadPath("mark")!])),
                .selected(.filter(Self.marked), .delete),
            ]), to: "c", wait: true)
        let expected = [#"2 {"n":2,"seen":1}"#, #"3 {"n":3}"#, #"4 {"seen":1}"#]
        #expect(try await state() == expected)
        let found = try await store.query(QueryRequest(query: .near([1])), in: "c")
        #expect(found.map(\.id.low) == [4, 3, 2])
        #expect(Set(found.map(\.version)).count == 1)
    }

    @Test func aBatchWithOneBadUpdateChangesNothingNowAndLater() async throws {
        try await store.write([.upsert(1, [1], ["n": 1])])
        await #expect(throws: StoreError.pointNotFound(Self.id(9))) {
            try await store.apply(
                .batch([
                    .changes([.upsert(1, [5], ["n": 5]), .upsert(2, [2])]),
                    .selected(.ids([Self.id(9)]), .setPayload(Self.mark)),
                ]), to: "c", wait: true)
        }
        await #expect(throws: StoreError.self) {
            try await store.apply(
                .batch([.changes([.upsert(2, [2])]), .changes([.upsert(3, [1, 2])])]), to: "c", wait: true)
        }
        #expect(try await state() == [#"1 {"n":1}"#])
        try await store.write([.upsert(3, [3])])
        await store.maintain(force: true)
        try await store.write([.upsert(4, [4])])
        try await store.find("c").checkpoint(compacting: true)
        #expect(try await state() == [#"1 {"n":1}"#, "3 {}", "4 {}"])
        #expect(try await store.query(QueryRequest(query: .near([1])), in: "c").map(\.id.low) == [4, 3, 1])
    }

    @Test func whatFailedBatchesLeaveBehindIsCompacted() async throws {
        try await store.write([.upsert(1, [1])])
        let points = (0..<2000).map { PointChange.upsert(UInt64($0), [5]) }
        await #expect(throws: StoreError.pointNotFound(Self.id(9999))) {
            try await store.apply(
                .batch([.changes(points), .selected(.ids([Self.id(9999)]), .setPayload(Self.mark))]), to: "c",
                wait: true)
        }
        let collection = try store.find("c")
        #expect(collection.needsCompaction && collection.index.pointCount == 1)
        await store.maintain()
        #expect(collection.index.snapshot.count == 1)
        #expect(try await state() == ["1 {}"])
    }

    @Test func aBatchIsOneRecordOfTheLog() async throws {
        let folder = try StoreFolder()
        do {
            let store = try folder.open()
            try await store.createCollection("c", .unnamed(1))
            try await store.write([.upsert(1, [1])])
            let before = try await store.find("c").writer.logBytes
            _ = try await store.apply(
                .batch([
                    .changes([.upsert(2, [2])]), .selected(.ids([Self.id(1), Self.id(2)]), .setPayload(Self.mark)),
                ]), to: "c", wait: true)
            let after = try await store.find("c").writer.logBytes
            // Cut within the batch: nothing of it is left.
            try folder.truncate(try folder.files("wal-")[0], to: before + (after - before) / 2)
        }
        let store = try folder.open()
        #expect(try await store.ids() == [1])
        #expect(try await store.payload(1) == "{}")
    }

    @Test func conditionsDecideWhatAnUpsertWrites() async throws {
        func upsert(_ points: [PointChange], onlyIf filter: Filter? = nil, _ mode: UpsertMode = .upsert) async throws {
            _ = try await store.apply(.changes(points, onlyIf: filter, mode: mode), to: "c", wait: true)
        }
        try await store.write([.upsert(1, [1], ["mark": true]), .upsert(2, [1])])
        try await upsert(
            [.upsert(1, [1], ["v": 1, "mark": true]), .upsert(2, [1], ["v": 1]), .upsert(3, [1])], onlyIf: Self.marked)
        #expect(try await state() == [#"1 {"v":1,"mark":true}"#, "2 {}", "3 {}"])
        try await upsert(
            [.upsert(3, [1], ["v": 2]), .upsert(4, [1], ["v": 2]), .upsert(4, [1], ["v": 3])], .insertOnly)
        #expect(try await state() == [#"1 {"v":1,"mark":true}"#, "2 {}", "3 {}", #"4 {"v":2}"#])
        try await upsert([.upsert(4, [1], ["v": 4]), .upsert(5, [1])], .updateOnly)
        try await upsert(
            [.upsert(1, [1], ["v": 5]), .upsert(2, [1], ["v": 5]), .upsert(6, [1])], onlyIf: Self.marked, .updateOnly)
        #expect(try await state() == [#"1 {"v":5}"#, "2 {}", "3 {}", #"4 {"v":4}"#])
    }

    @Test func aSelectionThatNamesAMissingPointIsRefused() async throws {
        try await store.write([.upsert(1, [1])])
        for change in [SelectedChange.setPayload(Self.mark), .clearPayload, .deleteVectors([""])] {
            await #expect(throws: StoreError.pointNotFound(Self.id(2))) {
                try await store.apply(.selected(.ids([Self.id(1), Self.id(2)]), change), to: "c", wait: true)
            }
        }
        #expect(try await state() == ["1 {}"])
        _ = try await store.apply(.selected(.ids([Self.id(2), Self.id(1)]), .delete), to: "c", wait: true)
        #expect(try await state().isEmpty)
    }

    @Test(arguments: [
        ("a.b", #"{"a":{"b":{"x":1},"c":2}}"#), ("a", #"{"a":{"c":2,"x":1}}"#),
        ("new.place", #"{"a":{"c":2},"new":{"place":{"x":1}}}"#),
        ("a.c.d", #"{"a":{"c":{"d":{"x":1}}}}"#), ("a.c[0]", #"{"a":{"c":[]}}"#),
    ]) func membersAreSetAtAKey(key: String, expected: String) throws {
        let payload = JSONObject([("a", ["c": 2])])
        let merged = Payload.merging(JSONObject([("x", 1)]), at: try #require(PayloadPath(key)), into: payload)
        #expect(merged == (try JSONReader.parse(Array(expected.utf8)).object))
    }

    @Test func membersAreSetInTheElementsOfAList() throws {
        let payload = JSONObject([("list", [["x": 0], 5, ["y": 1]])])
        let some = Payload.merging(
            JSONObject([("x", 1), ("y", nil)]), at: try #require(PayloadPath("list[2]")), into: payload)
        #expect(some == ["list": [["x": 0], 5, ["x": 1]]])
        let all = Payload.merging(JSONObject([("x", 1)]), at: try #require(PayloadPath("list[]")), into: payload)
        #expect(all == ["list": [["x": 1], ["x": 1], ["y": 1, "x": 1]]])
    }

    @Test func deletionsFollowPathsButTakeNoSingleElement() throws {
        let payload = JSONObject([("a", ["b": 1, "c": [["d": 1, "e": 2], ["d": 3]]]), ("l", [1, 2])])
        func deleting(_ paths: String...) throws -> JSONObject {
            Payload.deleting(try paths.map { try #require(PayloadPath($0)) }, from: payload)
        }
        #expect(try deleting("a.b", "l[0]") == ["a": ["c": [["d": 1, "e": 2], ["d": 3]]], "l": [1, 2]])
        #expect(try deleting("a.c[].d", "l[]") == ["a": ["b": 1, "c": [["e": 2], [:]]], "l": []])
        #expect(try deleting("a.c[0].d", "a.none.x") == ["a": ["b": 1, "c": [["e": 2], ["d": 3]]], "l": [1, 2]])
    }
}
