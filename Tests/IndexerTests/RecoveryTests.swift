import Foundation
import ServiceRuntime
import Synchronization
import Testing
import WireProtocol

@testable import Indexer

/// What is there after the process ended without a word: every store here is dropped, not closed.
struct RecoveryTests {
    let folder: StoreFolder
    init() throws { folder = try StoreFolder() }

    @Test func aFolderDeletedUnderTheStoreTakesNoMoreWrites() async throws {
        let store = try folder.open()
        try await store.createCollection("c", .unnamed(2))
        try await store.write([.upsert(1, [1, 0])], to: "c")
        let before = try await store.collection("c").incarnation
        try FileManager.default.removeItem(atPath: folder.path)
        await #expect(throws: StoreError.self) { try await store.write([.upsert(2, [0, 1])], to: "c") }
        await #expect(throws: StoreError.collectionNotFound("c")) { try await store.collection("c") }

        try await store.createCollection("c", .unnamed(2))
        #expect(throws: StoreError.inUse(path: folder.path)) { try folder.open() }
        try await store.write([.upsert(3, [1, 1])], to: "c")
        #expect(try await store.collection("c").incarnation != before)
        #expect(try await store.count(nil, in: "c") == 1)
    }

    /// Five requests of one point each; answers where each one's record ends in the log.
    private func fiveRequests() async throws -> [Int] {
        let store = try folder.open()
        try await store.createCollection("c", .unnamed(4))
        var ends: [Int] = []
        for number in 1...5 {
            try await store.write([.upsert(UInt64(number), [1, 2, 3, Float(number)], ["n": JSONValue(number)])])
            ends.append(try await store.find("c").writer.logBytes)
        }
        return ends
    }
    private var logFile: String { get throws { try folder.files("wal-")[0] } }

    @Test func everythingAnsweredIsThereAfterARestart() async throws {
        do {
            let store = try folder.open()
            try await store.createCollection("c", .unnamed(8, .cosine))
            var numbers = Numbers(1)
            for batch in 0..<20 {
                try await store.write(
                    (0..<100).map { .upsert(UInt64(batch * 100 + $0), numbers.vector(8), ["b": JSONValue(batch)]) })
            }
            try await store.write(
                (0..<500).map { .delete(UInt64($0)) } + (500..<600).map { .payload(UInt64($0), ["b": "changed"]) })
            _ = try await store.apply(.changes([.upsert(5000, numbers.vector(8))]), to: "c", wait: false)
        }
        for checkpoint in [false, true, true] {
            let store = try folder.open()
            #expect(try await store.ids() == (500..<2000).map { $0 } + [5000])
            #expect(try await store.payload(550) == #"{"b":"changed"}"#)
            #expect(try await store.payload(1999) == #"{"b":19}"#)
            let found = try await store.query(
                QueryRequest(query: .nearest(.point(PointID(number: 700))), limit: 3, exact: true), in: "c")
            #expect(
                found.map(\.id)
                    == (try await store.query(
                        QueryRequest(query: .nearest(.point(PointID(number: 700))), limit: 3), in: "c"))
                    .map(\.id))
            if checkpoint { await store.maintain(force: true) }
        }
    }

    @Test func aTornTailIsCutAndTheRestGoesOn() async throws {
        let ends = try await fiveRequests()
        for cut in [ends[4] - 1, ends[3] + 40, ends[3] + 10] {
            try folder.truncate(try logFile, to: cut)
            do {
                let store = try folder.open()
                #expect(try await store.ids() == [1, 2, 3, 4])
                try await store.write([.upsert(5, [0, 0, 0, 1])])
            }
            #expect(try await folder.open().ids() == [1, 2, 3, 4, 5])
        }
    }

    /// As a crash leaves it between the making of the next log and the writer's turn to it.
    @Test func anEmptyNextLogDoesNotMakeATornTailADamage() async throws {
        let ends = try await fiveRequests()
        try folder.truncate(try logFile, to: ends[4] - 1)
        for _ in 0..<2 {
            try Data().write(to: URL(fileURLWithPath: WriteAheadLog.path(2, in: try folder.collection)))
            let store = try folder.open()
            #expect(try await store.ids().count == 4)
        }
        try await folder.open().write([.upsert(5, [0, 0, 0, 1])])
        #expect(try await folder.open().ids() == [1, 2, 3, 4, 5])
    }

    /// The new segment is in use then, and the manifest on disk names the old one.
    @Test(arguments: [false, true]) func aCompactionWhoseManifestCannotBeSavedLosesNothing(isSavedLater: Bool)
        async throws
    {
        let count = 3000
        do {
            let store = try folder.open()
            try await store.createCollection("c", .unnamed(4))
            for round in 0..<2 {
                try await store.write(
                    (0..<count).map { .upsert(UInt64($0), [1, 0, 0, Float($0)], ["round": JSONValue(round)]) })
                if round == 0 { await store.maintain(force: true) }
            }
            let obstacle = "\(try folder.collection)/manifest.json.tmp"
            try FileManager.default.createDirectory(atPath: obstacle, withIntermediateDirectories: false)
            await store.maintain(force: true)
            #expect(try store.find("c").index.snapshot.count == count)
            #expect(try folder.files("seg-1").count == 3)
            try await store.write([.delete(1), .payload(2, ["round": "late"])])
            try FileManager.default.removeItem(atPath: obstacle)
            if isSavedLater { await store.maintain(force: true) }
            #expect(try folder.files("seg-1").isEmpty == isSavedLater)
            try await store.write([.delete(3)])
        }
        for _ in 0..<2 {
            let store = try folder.open()
            #expect(try await store.ids() == [0, 2] + (4..<UInt64(count)))
            #expect(try await store.payload(2) == #"{"round":"late"}"#)
            #expect(try await store.payload(2999) == #"{"round":1}"#)
            #expect(try folder.files("seg-").count == 3)
        }
    }

    @Test func garbageBehindTheLastRecordIsCut() async throws {
        let ends = try await fiveRequests()
        try folder.overwrite(try logFile, at: ends[4], with: Array(repeating: 0xAB, count: 5000))
        #expect(try await folder.open().ids() == [1, 2, 3, 4, 5])
        #expect(try folder.content(try logFile).count == ends[4])
    }

    @Test(arguments: [0, 20, 40, 70]) func damageInWhatWasAcknowledgedIsRefusedWithThePlace(distance: Int) async throws
    {
        let ends = try await fiveRequests()
        let path = try logFile
        let byte = try folder.content(path)[ends[1] + distance]
        try folder.overwrite(path, at: ends[1] + distance, with: [byte ^ 0x40])
        let error = #expect(throws: StoreError.self) { try folder.open() }
        guard case .damaged(let file, let offset, _)? = error else {
            Issue.record("not refused as damage: \(error.map(String.init(describing:)) ?? "-")")
            return
        }
        #expect(file == path && offset == ends[1])

        do {
            let store = try folder.open(.init(acceptLoss: true))
            #expect(try await store.ids() == [1, 2, 4, 5])
            await store.maintain()
        }
        #expect(try await folder.open().ids() == [1, 2, 4, 5])  // the loss was checkpointed: no second refusal
    }

    @Test func aMissingLogIsRefused() async throws {
        _ = try await fiveRequests()
        try FileManager.default.removeItem(atPath: try logFile)
        #expect(throws: StoreError.self) { try folder.open() }
        do {
            let store = try folder.open(.init(acceptLoss: true))
            #expect(try await store.ids() == [])
            await store.maintain()
            try await store.write([.upsert(9, [0, 0, 0, 1])])
        }
        #expect(try await folder.open().ids() == [9])
    }

    /// Each file of a checkpoint, with a byte changed in its middle or cut off there.
    @Test(arguments: ["slots", "pay", "vec", "bits", "manifest.json"], [false, true])
    func damageThatIsAcceptedLeavesACollectionThatWorks(file: String, isCut: Bool) async throws {
        let before: String
        do {
            let store = try folder.open()
            try await store.createCollection("c", .unnamed(4))
            for round in 0..<2 {
                try await store.write(
                    (0..<100).map { .upsert(UInt64($0), [1, 2, 3, Float($0)], ["n": JSONValue($0 + round)]) })
            }
            try await store.write([.delete(7)])
            await store.maintain(force: true)
            before = try await store.collection("c").incarnation
        }
        let path = try #require(
            try (folder.files("seg-") + folder.files("live-") + folder.files("manifest")).first { $0.hasSuffix(file) })
        let bytes = try folder.content(path)
        // In slot 150, which is live: files are longer than what is in them.
        let place = ["slots": 150 * 56, "pay": 1200, "vec": 150 * 16][file] ?? bytes.count / 2
        if isCut {
            try folder.truncate(path, to: place)
        } else {
            try folder.overwrite(path, at: place, with: bytes[place..<(place + 3)].map { ~$0 })
        }
        let error = #expect(throws: StoreError.self) { try folder.open() }
        #expect(error?.description.contains(path) == true)
        if file == "manifest.json" {
            #expect(error?.description.contains("accept-loss") == false)
            return
        }
        for acceptLoss in [true, false] {
            let store = try folder.open(.init(acceptLoss: acceptLoss))
            let ids = try await store.ids()
            #expect(ids.count >= 40 && Set(ids).count == ids.count)
            #expect(try await store.count(nil, in: "c") == ids.count)
            for id in ids where id != 1000 {
                #expect(try await store.payload(id)?.hasPrefix("{") == true)
            }
            #expect(try await store.collection("c").incarnation != before)
            try await store.write([.upsert(1000, [9, 9, 9, 9])])
            #expect(
                try await store.query(QueryRequest(query: .near([9, 9, 9, 9]), limit: 200), in: "c").count == ids.count
                    + (acceptLoss ? 1 : 0))
            await store.maintain()
        }
    }

    @Test func damageInASegmentIsRefusedWithTheFile() async throws {
        _ = try await fiveRequests()
        await (try folder.open()).maintain(force: true)
        let vectors = try folder.files("seg-").filter { $0.hasSuffix(".vec") }[0]
        try folder.overwrite(vectors, at: 20, with: [0x55])
        let error = #expect(throws: StoreError.self) { try folder.open() }
        #expect(error?.description.contains(vectors) == true)
        await (try folder.open(.init(acceptLoss: true))).maintain()
        #expect(try await folder.open().ids() == [1, 2, 3, 4, 5])
    }

    @Test func aCheckpointTakesTheLogAwayAndOnlyThat() async throws {
        do {
            let store = try folder.open()
            try await store.createCollection("c", .unnamed(4))
            for round in 0..<5 {
                try await store.write(
                    (0..<50).map { .upsert(UInt64(round * 50 + $0), [1, 2, 3, 4], ["r": JSONValue(round)]) })
                await store.maintain(force: true)
                #expect(try folder.files("wal-").count == 1)
                #expect(try await store.find("c").writer.logBytes == 0)
            }
            try await store.write([.delete(3)])
        }
        let store = try folder.open()
        #expect(try await store.count(nil, in: "c") == 249)
        #expect(try await store.payload(249) == #"{"r":4}"#)
        #expect(try folder.files("live-").count == 1)
    }

    @Test func theManifestDoesNotGrowWithTheCheckpoints() async throws {
        do {
            let store = try folder.open()
            try await store.createCollection("c", .unnamed(4))
            for round in 0..<20 {
                try await store.write([.upsert(UInt64(round), [1, 2, 3, 4], ["r": JSONValue(round)])])
                await store.maintain(force: true)
            }
            _ = try await store.addVector("words", ["sparse": [:]], to: "c")
            for round in 20..<25 {
                try await store.write([.upsert(UInt64(round), [1, 2, 3, 4])])
                await store.maintain(force: true)
            }
        }
        let extents = try Manifest(in: try folder.collection).extents
        #expect(extents.map(\.start.slots) == [0, 20] && extents.map(\.end.slots) == [20, 25])
        #expect(try await folder.open().ids() == Array(0..<25))
        let vectors = try folder.files("seg-").filter { $0.hasSuffix(".vec") }[0]
        try folder.overwrite(vectors, at: 3 * 16, with: [0x55])  // of the first part of the first extent
        #expect(throws: StoreError.self) { try folder.open() }
    }

    /// As somebody restores a backup beside what is there.
    @Test func aCollectionThatIsThereTwiceIsRefused() async throws {
        _ = try await fiveRequests()
        let own = try folder.collection
        try FileManager.default.copyItem(atPath: own, toPath: own + "-restored")
        let error = #expect(throws: StoreError.self) { try folder.open() }
        #expect(error?.description.contains(own + "-restored") == true)
    }

    /// As a deletion that was cut off before the list of aliases was saved.
    @Test func anAliasWithoutItsCollectionIsForgotten() async throws {
        do {
            let store = try folder.open()
            try await store.createCollection("c", .unnamed(1))
            try await store.changeAliases([.create(alias: "products", collection: "c")])
            try await store.createCollection("d", .unnamed(1))
            try await store.changeAliases([.create(alias: "others", collection: "d")])
        }
        let folders = try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/collections")
        let gone = try folders.map { "\(folder.path)/collections/\($0)" }.filter {
            String(decoding: try folder.content("\($0)/collection.json"), as: UTF8.self).contains(#""name":"c""#)
        }
        #expect(gone.count == 1)
        try FileManager.default.removeItem(atPath: gone[0])
        let store = try folder.open()
        #expect(store.aliases().map(\.alias) == ["others"])
        try await store.createCollection("c", .unnamed(1))
        #expect(store.aliases().map(\.alias) == ["others"])
    }

    /// As a crash between the new manifest and the removal of what it replaces leaves it.
    @Test func whatAnInterruptedCheckpointLeftIsRemoved() async throws {
        _ = try await fiveRequests()
        let parent = try folder.collection
        let strays = ["seg-9.slots", "seg-9-0.vec", "live-77.bits", "manifest.json.tmp", "wal-0.log"].map {
            "\(parent)/\($0)"
        }
        for stray in strays { try Data("x".utf8).write(to: URL(fileURLWithPath: stray)) }
        #expect(try await folder.open().ids() == [1, 2, 3, 4, 5])
        #expect(strays.allSatisfy { !FileManager.default.fileExists(atPath: $0) })
    }

    @Test func compactionKeepsEveryPointWhileWritersAndReadersGoOn() async throws {
        let count = 3000
        do {
            let store = try folder.open()
            try await store.createCollection("c", .unnamed(4))
            for round in 0..<3 {
                try await store.write(
                    (0..<count).map { .upsert(UInt64($0), [1, 0, 0, Float($0)], ["round": JSONValue(round)]) })
            }
            #expect(try store.find("c").needsCompaction)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await store.maintain() }
                group.addTask {
                    for id in 0..<300 {
                        try await store.write([.payload(UInt64(id), ["round": "late"]), .delete(UInt64(id + 1000))])
                    }
                }
                group.addTask {
                    for _ in 0..<50 {
                        let found = try await store.query(
                            QueryRequest(query: .near([1, 0, 0, 0]), limit: 4000), in: "c")
                        #expect((count - 300...count).contains(found.count))
                    }
                }
                try await group.waitForAll()
            }
            #expect(try store.find("c").index.snapshot.count < 2 * count)
            try await check(store, count)
        }
        try await check(try folder.open(), count)
        #expect(try folder.files("seg-2").count == 3 && folder.files("seg-1").isEmpty)
    }
    private func check(_ store: EmbeddedStore, _ count: Int) async throws {
        #expect(try await store.count(nil, in: "c") == count - 300)
        #expect(try await store.payload(299) == #"{"round":"late"}"#)
        #expect(try await store.payload(300) == #"{"round":2}"#)
        #expect(try await store.payload(1000) == nil)
        let late = try Filter(["must": [["key": "round", "match": ["value": "late"]]]])
        #expect(try await store.count(late, in: "c") == 300)
    }

    @Test func whatNobodyWaitsForIsSyncedSoon() async throws {
        let store = try folder.open(.init(lazySync: .milliseconds(1)))
        try await store.createCollection("c", .unnamed(1))
        _ = try await store.apply(.changes([.upsert(1, [1])]), to: "c", wait: false)
        let log = try await store.find("c").writer.log
        while log.durable < UInt64(log.length) { await Task.yield() }
    }

    @Test func creationsAndDeletionsThatWereCutOffAreCleared() async throws {
        _ = try await fiveRequests()
        let parent = "\(folder.path)/collections"
        for name in [".new-1", ".deleted-2"] {
            try FileManager.default.createDirectory(atPath: "\(parent)/\(name)", withIntermediateDirectories: true)
        }
        #expect(try await folder.open().ids() == [1, 2, 3, 4, 5])
        #expect(try FileManager.default.contentsOfDirectory(atPath: parent).count == 1)
    }
}
