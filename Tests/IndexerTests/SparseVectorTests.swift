import CVectorKernel
import FastJSON
import Foundation
import Testing
import WireProtocol

@testable import Indexer

extension SparseVector {
    init(_ weights: [UInt32: Float]) {
        let sorted = weights.sorted { $0.key < $1.key }
        self.init(indices: sorted.map(\.key), values: sorted.map(\.value))
    }
}

extension Query {
    static func near(_ weights: [UInt32: Float]) -> Query { .nearest(.values(.sparse(SparseVector(weights)))) }
}

extension PointChange {
    /// With "text" (dense, position 0) and "lexical" (sparse, position 1), where they are given.
    static func hybrid(
        _ id: UInt64, dense: [Float]? = nil, sparse: [UInt32: Float]? = nil, _ payload: JSONValue = [:]
    ) -> PointChange {
        var vectors: [PlacedVector] = []
        if let dense { vectors.append(PlacedVector(position: 0, values: .dense(dense))) }
        if let sparse { vectors.append(PlacedVector(position: 1, values: .sparse(SparseVector(sparse)))) }
        return PointChange(
            id: PointID(number: id), effect: .upsert(vectors: vectors, payload: payload.serializedBytes))
    }
}

struct SparseVectorTests {
    let folder: StoreFolder
    init() throws { folder = try StoreFolder() }

    static func hybrid(idf: Bool) -> CollectionConfiguration {
        CollectionConfiguration(
            vectors: [.init(name: "text", size: 2, distance: .dot)], sparseVectors: [.init(name: "lexical", idf: idf)])
    }
    private func lexical(_ weights: [UInt32: Float], in store: EmbeddedStore, limit: Int = 10) async throws -> [String]
    {
        try await store.query(QueryRequest(query: .near(weights), using: "lexical", limit: limit), in: "c").map {
            "\($0.id) \(Double($0.score ?? .nan))"
        }
    }

    @Test func aSearchFindsWhatSharesATermWithTheQueryBestFirst() async throws {
        let store = try folder.open()
        try await store.createCollection("c", Self.hybrid(idf: false))
        try await store.write([
            .hybrid(1, sparse: [7: 1, 9: 0.5]), .hybrid(2, sparse: [9: 2]), .hybrid(3, dense: [1, 1]),
            .hybrid(4, sparse: [8: 3]), .hybrid(5, sparse: [.max: 0.25]),
        ])
        #expect(try await lexical([7: 1, 9: 2], in: store) == ["2 4.0", "1 2.0"])
        #expect(try await lexical([.max: 4], in: store) == ["5 1.0"])
        #expect(try await lexical([1: 1], in: store).isEmpty)
        #expect(try await lexical([:], in: store).isEmpty)
        #expect(try await lexical([7: 1, 9: 2], in: store, limit: 1) == ["2 4.0"])
    }

    @Test func rareTermsCountMoreByTheInverseFrequencyAmongPointsThatHaveTheVector() async throws {
        let store = try folder.open()
        try await store.createCollection("c", Self.hybrid(idf: true))
        try await store.write(
            (0..<9).map { .hybrid($0, sparse: [1: 1, UInt32($0 + 100): 1]) }
                + (20..<50).map { .hybrid($0, dense: [1, 0]) })
        // ln((9 - 9 + 0.5) / (9 + 0.5) + 1) and ln((9 - 1 + 0.5) / (1 + 0.5) + 1)
        let (common, rare) = (Float(0.051293295), Float(1.8971199))
        func scores() async throws -> [Float] {
            try await store.query(
                QueryRequest(query: .near([1: 1, 103: 2]), using: "lexical", limit: 2), in: "c"
            ).map { $0.score ?? .nan }
        }
        let before = try await scores()
        #expect(abs(before[0] - (common + 2 * rare)) < 1e-5)
        #expect(abs(before[1] - common) < 1e-6)

        // A deleted or replaced point counts no more: N = 8, n = 8 and n = 1.
        try await store.write([.delete(0)])
        let after = try await scores()
        #expect(abs(after[0] - (log(0.5 / 8.5 + 1) + 2 * log(7.5 / 1.5 + 1))) < 1e-5)

        try await store.updateCollection("c", ["sparse_vectors": ["lexical": ["modifier": "none"]]])
        #expect(try await scores() == [3, 1])
    }

    @Test func theCorpusOfTheFrequenciesMayBeNarrower() async throws {
        let store = try folder.open()
        try await store.createCollection("c", Self.hybrid(idf: true))
        try await store.write((0..<10).map { .hybrid($0, sparse: [$0 < 5 ? 1 : 2: 1, 3: 1], ["half": .bool($0 < 5)]) })
        var request = QueryRequest(query: .near([1: 1]), using: "lexical", limit: 1)
        request.idfCorpus = try Filter(["must": [["key": "half", "match": ["value": true]]]])
        let narrow = try await store.query(request, in: "c").first?.score ?? .nan
        #expect(abs(narrow - log(0.5 / 5.5 + 1)) < 1e-6)
    }

    @Test func singleVectorsComeAndGo() async throws {
        let store = try folder.open()
        try await store.createCollection("c", Self.hybrid(idf: false))
        let id = PointID(number: 1)
        func vectors() async throws -> [String] {
            let fields = PointFields(payload: .none, vectors: .all)
            return try await store.retrieve([id], from: "c", fields: fields).first?.vectors.map {
                $0.map { "\($0.name) \($0.values)" }
            } ?? []
        }
        let has = try Filter(["must": [["has_vector": "lexical"]]])
        try await store.write([.hybrid(1, dense: [1, 2])])
        #expect(try await store.count(has, in: "c") == 0)
        let sparse = PlacedVector(
            position: 1, values: .sparse(SparseVector(indices: [9, 3], values: [0.5, 2])))
        try await store.write([PointChange(id: id, effect: .vectors([sparse]))])
        let both = [
            "text dense([1.0, 2.0])", "lexical sparse(Indexer.SparseVector(indices: [3, 9], values: [2.0, 0.5]))",
        ]
        #expect(try await vectors() == both)
        #expect(try await store.count(has, in: "c") == 1)
        try await store.write([.payload(1, ["a": 1])])
        #expect(try await vectors() == both)
        #expect(try await lexical([3: 1], in: store) == ["1 2.0"])
        _ = try await store.apply(
            .selected(.ids([id]), .deleteVectors(["lexical"])), to: "c", wait: true)
        #expect(try await vectors() == [both[0]])
        #expect(try await lexical([3: 1], in: store).isEmpty)
        #expect(try await store.count(has, in: "c") == 0)
    }

    @Test(arguments: [
        (
            VectorValues.dense([1]),
            "Conversion between sparse and regular vectors failed for vector `lexical` (point 1, id 2)"
        ),
        (
            .sparse(SparseVector(indices: [4, 2, 4], values: [1, 1, 1])),
            "vector `lexical`: indices must be unique (point 1, id 2)"
        ),
        (
            .sparse(SparseVector(indices: [1], values: [1, 2])),
            "vector `lexical`: values must be the same length as indices (point 1, id 2)"
        ),
        (
            .sparse(SparseVector(indices: [1], values: [.nan])),
            "vector `lexical` has a number that float32 cannot hold (point 1, id 2)"
        ),
    ]) func aBadSparseVectorIsNamedAndNothingIsWritten(values: VectorValues, problem: String) async throws {
        let store = try folder.open()
        try await store.createCollection("c", Self.hybrid(idf: false))
        let bad = PointChange(
            id: PointID(number: 2),
            effect: .upsert(vectors: [PlacedVector(position: 1, values: values)], payload: []))
        await #expect(throws: StoreError.wrongInput(problem)) {
            try await store.write([.hybrid(1, sparse: [1: 1]), bad])
        }
        #expect(try await store.count(nil, in: "c") == 0)
    }

    /// Random changes, restarts, checkpoints and compactions; after each the store must answer as a list of points does.
    @Test(arguments: [false, true], [1, 2, 3] as [UInt64])
    func answersAsAListOfPointsDoesWhateverHappened(idf: Bool, seed: UInt64) async throws {
        var numbers = Numbers(seed)
        var model: [UInt64: [UInt32: Float]] = [:]
        var store = try folder.open()
        try await store.createCollection("c", Self.hybrid(idf: idf))
        func vector() -> [UInt32: Float] {
            var weights: [UInt32: Float] = [:]
            for _ in 0..<Int.random(in: 0..<12, using: &numbers) {
                let term = UInt32.random(in: 0..<UInt32.random(in: 1...60, using: &numbers), using: &numbers)
                weights[term] = Float(Int.random(in: 1...8, using: &numbers)) / 8
            }
            return weights
        }
        for round in 0..<40 {
            var changes: [PointChange] = []
            for _ in 0..<Int.random(in: 1...120, using: &numbers) {
                let id = UInt64.random(in: 0..<700, using: &numbers)
                switch Int.random(in: 0..<10, using: &numbers) {
                case 0:
                    changes.append(.delete(id))
                    model[id] = nil
                case 1:
                    changes.append(.hybrid(id, dense: [1, 0]))
                    model[id] = nil
                case 2: changes.append(.payload(id, ["round": JSONValue(round)]))
                case 3:
                    changes.append(PointChange(id: PointID(number: id), effect: .dropVectors(2)))
                    model[id] = nil
                default:
                    let weights = vector()
                    changes.append(.hybrid(id, dense: [0, 1], sparse: weights))
                    model[id] = weights
                }
            }
            try await store.write(changes)
            switch Int.random(in: 0..<8, using: &numbers) {
            case 0: store = try reopened(&store)
            case 1: await store.maintain(force: true)
            case 2: try await store.find("c").checkpoint(compacting: true)
            default: break
            }
            let query = vector()
            let expected = Self.bruteForce(query, model, idf: idf)
            let found = try await store.query(
                QueryRequest(query: .near(query), using: "lexical", limit: 1000), in: "c")
            #expect(Set(found.map(\.id.low)) == Set(expected.keys))
            let scores: [Float] = found.map { $0.score ?? .nan }
            let wanted: [Float] = found.map { expected[$0.id.low] ?? .nan }
            #expect(zip(scores, wanted).allSatisfy { abs($0 - $1) < 1e-4 })
            #expect(scores == scores.sorted(by: >))
        }
    }

    /// The same folder by another store, as after a kill.
    private func reopened(_ store: inout EmbeddedStore) throws -> EmbeddedStore {
        store = try EmbeddedStore(folder: NSTemporaryDirectory() + "store-none-\(UUID().uuidString)", log: .silent)
        return try folder.open()
    }

    private static func bruteForce(_ query: [UInt32: Float], _ model: [UInt64: [UInt32: Float]], idf: Bool) -> [UInt64:
        Float]
    {
        let points = Float(model.count)
        let weights = Dictionary(
            uniqueKeysWithValues: query.map { term, weight -> (UInt32, Float) in
                let having = Float(model.values.count { $0[term] != nil })
                return (term, idf ? weight * log((points - having + 0.5) / (having + 0.5) + 1) : weight)
            })
        return model.compactMapValues { vector in
            let shared = vector.filter { weights[$0.key] != nil }
            return shared.isEmpty ? nil : shared.reduce(0) { $0 + $1.value * (weights[$1.key] ?? 0) }
        }
    }

    @Test(arguments: [1, 3]) func everySliceOfManyBlocksIsSearched(threads: Int) async throws {
        let store = try folder.open()
        try await store.createCollection("c", Self.hybrid(idf: false))
        let count: UInt64 = 40_000
        for start in stride(from: 0, to: count, by: 10_000) {
            try await store.write((start..<(start + 10_000)).map { .hybrid($0, sparse: [1: 1, 2: Float($0)]) })
        }
        let snapshot = try store.find("c").index.snapshot
        let vector = Self.hybrid(idf: false).sparseVectors[0]
        let query = SparseVector([1: 1, 2: 1])
        func best(of mask: Bitmap) async -> [UInt32] {
            let scan = SparseScan(snapshot: snapshot, mask: mask, vector: vector, corpus: mask, parallelPostings: 1)
            return await scan.best(3, near: query, pool: ScanPool(threads: threads)).map(\.slot)
        }
        #expect(await best(of: snapshot.live) == [39_999, 39_998, 39_997])
        var few = Bitmap(count: snapshot.count)
        for slot in [5, 16_383, 16_384, 39_000] { few[slot] = true }
        #expect(await best(of: few) == [39_000, 16_384, 16_383])
    }

    @Test func readersSeeWholeRequestsWhileTheIndexGrowsAndIsCompacted() async throws {
        let store = try folder.open()
        try await store.createCollection("c", Self.hybrid(idf: true))
        let rounds = 60
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for round in 0..<rounds {
                    // A hundred new points; the hundred before them get other terms beside the common one.
                    let added = UInt64(round * 100)..<UInt64(round * 100 + 100)
                    let changed = UInt64(max(0, round - 1) * 100)..<UInt64(round * 100)
                    try await store.write(
                        added.map { .hybrid($0, sparse: [1: 1]) }
                            + changed.map { .hybrid($0, sparse: [1: 1, UInt32(2 + round % 5): 1]) })
                    if round % 20 == 19 { try await store.find("c").checkpoint(compacting: true) }
                }
            }
            for _ in 0..<2 {
                group.addTask {
                    var last = 0
                    while last < rounds * 100 {
                        let request = QueryRequest(query: .near([1: 1]), using: "lexical", limit: .max)
                        let found = try await store.query(request, in: "c")
                        #expect(found.count % 100 == 0 && found.count >= last)
                        #expect(Set(found.map(\.id)).count == found.count)
                        #expect(Set(found.map(\.score)).count <= 1)
                        last = found.count
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func aDamagedSparseFileIsNoticedAndNamed() async throws {
        do {
            let store = try folder.open()
            try await store.createCollection("c", Self.hybrid(idf: false))
            try await store.write((0..<50).map { .hybrid($0, sparse: [UInt32($0): 1]) })
            await store.maintain(force: true)
        }
        let file = try #require(try folder.files("seg-").first { $0.hasSuffix("-1.sparse") })
        try folder.overwrite(file, at: 40, with: [0xFF])
        #expect {
            _ = try folder.open()
        } throws: { error in
            guard case StoreError.damaged(let path, _, _) = error else { return false }
            return path == file
        }
    }

    @Test func vectorsAreAddedAndRemovedWhilePointsStay() async throws {
        let fields = PointFields(payload: .none, vectors: .all)
        func vectors(_ id: UInt64, _ store: EmbeddedStore) async throws -> [String] {
            (try await store.retrieve([PointID(number: id)], from: "c", fields: fields).first?.vectors ?? []).map {
                "\($0.name) \($0.values)"
            }
        }
        do {
            let store = try folder.open()
            try await store.createCollection("c", Self.hybrid(idf: false))
            try await store.write((0..<2000).map { .hybrid($0, dense: [1, Float($0)], sparse: [5: 1]) })
            await store.maintain(force: true)
            try await store.write([.hybrid(2000, dense: [1, 2000])])
            _ = try await store.addVector("image", ["dense": ["size": 3, "distance": "Dot"]], to: "c")
            _ = try await store.addVector("words", ["sparse": [:]], to: "c")
            let configuration = try await store.collection("c").configuration
            #expect(configuration.position(of: "image") == 2 && configuration.position(of: "words") == 3)
            await #expect(throws: StoreError.self) { _ = try await store.addVector("text", ["sparse": [:]], to: "c") }
            try await store.write([
                PointChange(
                    id: PointID(number: 7),
                    effect: .vectors([
                        PlacedVector(position: 2, values: .dense([1, 2, 3])),
                        PlacedVector(position: 3, values: .sparse(SparseVector([8: 2]))),
                    ]))
            ])
            _ = try await store.removeVector("lexical", from: "c")
            await #expect(throws: StoreError.wrongInput("Not existing vector name error: lexical")) {
                try await lexical([5: 1], in: store)
            }
            _ = try await store.addVector("lexical", ["sparse": [:]], to: "c")
            #expect(try await store.collection("c").configuration.position(of: "lexical") == 4)
        }
        for step in 0..<4 {
            let store = try folder.open()
            #expect(try await store.count(nil, in: "c") == 2001)
            #expect(try await vectors(6, store) == ["text dense([1.0, 6.0])"])
            #expect(
                try await vectors(7, store) == [
                    "text dense([1.0, 7.0])", "image dense([1.0, 2.0, 3.0])",
                    "words sparse(Indexer.SparseVector(indices: [8], values: [2.0]))",
                ])
            #expect(try await vectors(2000, store) == ["text dense([1.0, 2000.0])"])
            #expect(try await lexical([5: 1], in: store).isEmpty)
            let images = try await store.query(QueryRequest(query: .near([1, 0, 0]), using: "image"), in: "c")
            #expect(images.map(\.id.low) == [7])
            if step == 1 { await store.maintain(force: true) }
            if step == 2 { try await store.find("c").checkpoint(compacting: true) }
        }
    }

    // MARK: - Folders of before there were sparse vectors

    /// A record as format 1 had it: one upsert of one dense vector.
    private static func oldRecord(sequence: UInt64, id: UInt64, _ vector: [Float], _ payload: String) -> [UInt8] {
        var bytes: [UInt8] = []
        func add(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        add(UInt32(0x314C_5753))
        add(UInt32(0))
        let body: [UInt8] = {
            let header = bytes
            bytes = []
            add(UInt8(1))
            add(UInt32(1))
            add(UInt8(0))
            add(UInt64(0))
            add(id)
            add(UInt8(1))
            add(UInt8(1))
            add(UInt8(0))
            add(UInt32(vector.count))
            vector.withUnsafeBytes { bytes.append(contentsOf: $0) }
            add(UInt32(payload.utf8.count))
            bytes += Array(payload.utf8)
            defer { bytes = header }
            return bytes
        }()
        add(UInt32(body.count))
        add(UInt32(0))
        add(sequence)
        add(UInt64(0))
        bytes += body
        let crc = vector_crc32c(0, Array(bytes[8...]), bytes.count - 8)
        bytes.replaceSubrange(4..<8, with: withUnsafeBytes(of: crc.littleEndian) { Array($0) })
        return bytes
    }

    @Test func aFolderOfAnOlderIndexerIsReadWithItsLogAndItsChecksums() async throws {
        do {
            let store = try folder.open()
            try await store.createCollection("c", .unnamed(2))
            try await store.write([.upsert(1, [1, 2], ["a": 1]), .upsert(2, [3, 4])])
            await store.maintain(force: true)
        }
        // What the older one would have written.
        let manifestPath = "\(try folder.collection)/manifest.json"
        let manifest = try Manifest(in: try folder.collection)
        let extent = try #require(manifest.extents.first)
        let old: JSONValue = [
            "format": 1, "generation": JSONValue(manifest.generation), "slots": JSONValue(manifest.end.slots),
            "payload_end": JSONValue(manifest.end.payload), "sequence": .integer(Int64(manifest.sequence)),
            "first_log": JSONValue(manifest.firstLog), "checkpoint": JSONValue(manifest.checkpoint),
            "live_crc32c": JSONValue(Int(manifest.liveChecksum)),
            "extents": [
                [
                    "slots": [0, JSONValue(extent.end.slots)], "payload": [0, JSONValue(extent.end.payload)],
                    "crc32c": .array(["slots", "pay", "0.vec"].map { JSONValue(Int(extent.checksums[$0] ?? 0)) }),
                ]
            ],
        ]
        try StoreFile.replace(manifestPath, with: old.serializedBytes)
        let descriptionPath = "\(try folder.collection)/collection.json"
        var description = try #require(
            try JSONReader.parse(folder.content(descriptionPath)).object)
        description["positions"] = Optional.none
        description["next_position"] = Optional.none
        try StoreFile.replace(descriptionPath, with: JSONValue.object(description).serializedBytes)
        let log = try #require(try folder.files("wal-").last)
        let record = Self.oldRecord(sequence: 2, id: 3, [5, 6], #"{"old":true}"#)
        try StoreFile.replace(log, with: record)

        for _ in 0..<2 {
            let store = try folder.open()
            #expect(try await store.ids() == [1, 2, 3])
            #expect(try await store.payload(3) == #"{"old":true}"#)
            let found = try await store.query(QueryRequest(query: .near([1, 1]), limit: 1), in: "c")
            #expect(found.map(\.score) == [11])
            await store.maintain(force: true)
        }
    }
}
