import FastJSON
import Foundation
import ServiceRuntime
import Synchronization
import Testing
import WireProtocol

@testable import Indexer

struct TransferTests {
    let source: PlayedQdrant
    let target: PlayedQdrant
    let folder: StoreFolder

    init() async throws {
        source = try await PlayedQdrant(key: "key of the source")
        target = try await PlayedQdrant(key: "key of the target")
        folder = try StoreFolder()
    }

    /// Named vectors, nested payloads, numbers and UUIDs as ids.
    private func fill(_ count: Int = 900, in name: String = "products@1") async throws {
        let vectors = [
            CollectionConfiguration.Vector(name: "image", size: 3, distance: .dot),
            CollectionConfiguration.Vector(name: "text", size: 32, distance: .cosine),
        ]
        try await source.store.createCollection(name, CollectionConfiguration(vectors: vectors))
        _ = try await source.store.setPayloadSchema("price", ["data_type": "float"], in: name)
        var numbers = Numbers(7)
        let changes = (0..<count).map { index -> PointChange in
            let id = index % 3 == 0 ? PointID(uuidHigh: 1, low: UInt64(index)) : PointID(number: UInt64(index))
            let payload: JSONValue = [
                "name": .string("Cup \(index) \"é\"\n{[,"), "price": .number(Double(index) + 0.5),
                "tags": [["a": .null], [:], [[]]],
            ]
            var placed = [PlacedVector(position: 1, values: .dense(numbers.vector(32)))]
            if index % 2 == 0 { placed.append(PlacedVector(position: 0, values: .dense(numbers.vector(3)))) }
            return PointChange(id: id, effect: .upsert(vectors: placed, payload: payload.serializedBytes))
        }
        try await source.store.write(changes, to: name)
        try await source.store.changeAliases([.create(alias: "products", collection: name)])
    }

    private func content(of store: EmbeddedStore, _ name: String) async throws -> [String] {
        let page = try await store.scroll(
            ScrollRequest(limit: 10_000, fields: PointFields(payload: .all, vectors: .all)), in: name)
        return PointWriter.list(page.points).split(separator: UInt8(ascii: "\n")).map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    private func run(_ words: String..., said: Said = Said()) async throws {
        let environment = Environment(["QDRANT_API_KEY": "key of the source", "TARGET_API_KEY": "key of the target"])
        try await TransferCommand(words, environment).run { said.add($0) }
    }

    @Test(arguments: ["points.jsonl", "points.jsonl.gz"])
    func anExportImportedElsewhereIsTheSameCollection(name: String) async throws {
        try await fill()
        let path = "\(folder.path)/\(name)"
        let said = Said()
        try await run("export", "products@1", path, "--url", source.url, said: said)
        #expect(said.lines.last == "exported 900 points of products@1")  // a slow machine says how far it is before
        #expect(!FileManager.default.fileExists(atPath: path + ".part"))
        let reader = try PointsFileReader(path: path)
        let header = try PointsFileHeader(try PointsImport.json(try #require(try reader.next()), line: 1))
        #expect(header.points == 900 && header.collection == "products@1")
        #expect(header.payloadSchema == ["price": ["data_type": "float"]])
        #expect(header.aliases == ["products"])
        #expect(header.configuration["metadata"] == nil)
        var lines = 0
        while try reader.next() != nil { lines += 1 }
        #expect(lines == 900)
        try await run("import", path, "--url", target.url, "--api-key", "key of the target", said: said)
        #expect(said.lines.last == "imported 900 points into products@1, reachable as products")
        #expect(try await target.store.collection("products").name == "products@1")
        for _ in 0..<2 {  // again changes nothing
            try await run("import", path, "copied", "--url", target.url, "--api-key=key of the target")
            let made = try await target.store.collection("copied")
            let original = try await source.store.collection("products@1")
            #expect(made.points == 900 && made.configuration.vectors == original.configuration.vectors)
            #expect(made.payloadSchema["price"] == original.payloadSchema["price"])
            #expect(try await content(of: target.store, "copied") == content(of: source.store, "products@1"))
        }
    }

    @Test func aCopyKeepsNameAliasesAndPoints() async throws {
        try await fill(2500)
        let said = Said()
        try await run("copy", "products", target.url, "--url", source.url, said: said)
        #expect(
            said.lines.last
                == "the copy products@1 has all 2500 points, compared with the source, reachable as products")
        #expect(try await content(of: target.store, "products") == content(of: source.store, "products@1"))
        #expect(try await target.store.collection("products").name == "products@1")
        // What changed since comes with the next copy; what was deleted is noticed.
        try await source.store.write([.upsert(1, [1, 2, 3]), .delete(2)], to: "products@1")
        await #expect(throws: TransferError.self) { try await run("copy", "products", target.url, "--url", source.url) }
        #expect(
            try await target.store.retrieve([PointID(number: 1)], from: "products", fields: PointFields()).first?
                .payload
                == Array("{}".utf8))
        try await run("copy", "products", target.url, "--url", source.url, "--as", "other")
        #expect(try await target.store.collection("other").points == 2499)
    }

    @Test func aReplacedCollectionKeepsItsAliasesAndNothingElse() async throws {
        try await fill(20)
        let path = "\(folder.path)/points.jsonl"
        try await run("export", "products", path, "--url", source.url)
        try await target.store.createCollection("products@1", .unnamed(1))
        try await target.store.write([.upsert(1, [1]), .upsert(1000, [1])], to: "products@1")
        try await target.store.changeAliases([.create(alias: "shop", collection: "products@1")])
        let incarnation = try await target.store.collection("shop").incarnation
        try await run("import", path, "--replace", "--url", target.url, "--api-key", "key of the target")
        #expect(try await target.store.collection("shop").incarnation != incarnation)
        #expect(try await content(of: target.store, "shop") == content(of: source.store, "products@1"))
        try await target.store.write([.upsert(1000, [1, 0, 0])], to: "shop")
        try await run("copy", "products", target.url, "--replace", "--url", source.url)
        #expect(try await content(of: target.store, "shop") == content(of: source.store, "products@1"))
    }

    @Test func whatIsReplacedUnderAnAliasIsTheCollectionBehindIt() async throws {
        try await fill(20)
        let path = "\(folder.path)/points.jsonl"
        try await run("export", "products", path, "--url", source.url)
        try await target.store.createCollection("shelf@3", .unnamed(1))
        try await target.store.write([.upsert(1, [1]), .upsert(1000, [1])], to: "shelf@3")
        try await target.store.changeAliases([.create(alias: "shelf", collection: "shelf@3")])
        let said = Said()
        try await run(
            "import", path, "shelf", "--replace", "--url", target.url, "--api-key", "key of the target", said: said)
        #expect(said.lines.last == "imported 20 points into shelf@3")
        #expect(try await content(of: target.store, "shelf") == content(of: source.store, "products@1"))
        try await target.store.write([.upsert(1000, [1, 0, 0])], to: "shelf")
        try await run("copy", "products", target.url, "--as", "shelf", "--replace", "--url", source.url)
        #expect(target.store.collectionNames() == ["shelf@3"])
        #expect(try await content(of: target.store, "shelf") == content(of: source.store, "products@1"))
    }

    @Test(arguments: ["products", "products@1"])
    func aCollectionIsNotReplacedByItself(name: String) async throws {
        try await fill(20)
        try await source.store.updateCollection("products@1", ["metadata": ["suite_incarnation": "a"]])
        for url in [source.url, source.url + "/", source.url.replacing("127.0.0.1", with: "localhost")] {
            let error = await #expect(throws: TransferError.self) {
                try await run("copy", name, url, "--replace", "--url", source.url, "--api-key", "key of the source")
            }
            #expect(error?.description.contains("itself") == true, "\(error?.description ?? "none")")
            #expect(try await source.store.collection("products").points == 20)
        }
    }

    @Test func aCollectionWithOtherVectorsIsLeftAlone() async throws {
        try await fill(10)
        try await target.store.createCollection("products@1", .unnamed(4))
        let path = "\(folder.path)/points.jsonl"
        try await run("export", "products", path, "--url", source.url)
        for words in [
            ["copy", "products", target.url, "--url", source.url],
            ["import", path, "products@1", "--url", target.url, "--api-key", "key of the target"],
        ] {
            let environment = Environment([
                "QDRANT_API_KEY": "key of the source", "TARGET_API_KEY": "key of the target",
            ])
            let error = await #expect(throws: TransferError.self) {
                try await TransferCommand(words, environment).run { _ in }
            }
            #expect(
                error?.description
                    == "the collection products@1 is there with other vectors: it has 4 Dot, the points have image: 3 Dot, text: 32 Cosine"
            )
        }
    }

    static let header =
        #"{"format":"semantic-ingestion.points.v1","collection":"c","config":{"vectors":{"size":2,"distance":"Dot"}}}"#
    static let faults: [(String, String)] = [
        ("", "line 1 is missing"),
        ("{}\n", "line 1 is not the first line of an export"),
        ("{\"id\":1\n", "line 1 is not valid JSON"),
        (header + "\n{\"id\":1,\"vector\":[1,2]}\n{\"id\":2,\"vector\":[1,", "line 3 is not valid JSON: "),
        (
            header + "\n{\"id\":1,\"vector\":[1,2]}\n\n{\"id\":2,\"vector\":[1,2,3]}\n",
            "line 4: the vector has 3 numbers, not 2 (point 2)"
        ),
        (header + "\n{\"id\":1,\"vector\":[1,2]}\n{\"id\":\"x\",\"vector\":[1,2]}", "line 3: id"),
        (header + "\n{\"id\":1,\"vector\":{\"a\":[1,2]}}", "line 2: Not existing vector name error: a"),
        (header + "\n[1]", "line 2 is no point"),
        (header + "\n{\"id\":1,\"vector\":[1,2]},{\"id\":2,\"vector\":[1,2]}", "line 2 is not valid JSON"),
        (
            header.dropLast() + ",\"points\":3}\n{\"id\":1,\"vector\":[1,2]}\n{\"id\":2,\"vector\":[1,2]}\n",
            "the file holds 2 points, its first line says 3"
        ),
    ]
    @Test(arguments: faults)
    func aBadLineIsNamed(text: String, message: String) async throws {
        let path = "\(folder.path)/points.jsonl"
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        let error = await #expect(throws: TransferError.self) {
            try await run("import", path, "--url", target.url, "--api-key", "key of the target")
        }
        #expect(error?.description.hasPrefix(message) == true, "\(error?.description ?? "none")")
        let stored = (try? await target.store.collection("c").points) ?? 0
        #expect(stored == (message.hasPrefix("the file holds") ? 2 : 0))
    }

    @Test func aPackedFileThatIsCutOffIsNoticed() async throws {
        try await fill(500)
        let path = "\(folder.path)/points.jsonl.gz"
        try await run("export", "products", path, "--url", source.url)
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        try whole.dropLast(100).write(to: URL(fileURLWithPath: path))
        let error = await #expect(throws: TransferError.self) {
            try await run("import", path, "--url", target.url, "--api-key", "key of the target")
        }
        #expect(error?.description.contains("cannot be read on after line") == true, "\(error?.description ?? "none")")
    }

    @Test func theLastLineOfARepeatedPointCounts() async throws {
        let path = "\(folder.path)/points.jsonl"
        let lines = [Self.header] + (0..<4000).map { "{\"id\":\($0 % 2),\"vector\":[\($0),0]}" }
        try Data(lines.joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: path))
        try await run("import", path, "--url", target.url, "--api-key", "key of the target")
        let points = try await target.store.retrieve(
            [PointID(number: 0), PointID(number: 1)], from: "c", fields: PointFields(payload: .none, vectors: .all))
        #expect(points.map { $0.vectors?[0].values } == [.dense([3998, 0]), .dense([3999, 0])])
    }

    @Test(arguments: [
        ["export", "c"], ["export"], ["import"], ["import", "a", "b", "c"], ["copy", "c"], ["copy", "c", "ftp://x"],
        ["export", "c", "f", "--as", "d"], ["copy", "c", "http://x", "--as"], ["export", "c", "f", "--url", "x"],
        ["import", "f", "--replace=no"],
    ])
    func aWrongCommandLineIsRefused(words: [String]) {
        let error = #expect(throws: TransferCommand.WrongUsage.self) { try TransferCommand(words, Environment([:])) }
        #expect(error?.description.contains("usage: indexer export") == true)
    }

    @Test func theSuitesTokenGoesToNobodyElse() throws {
        let environment = Environment(["INTERNAL_TOKEN": "token", "INDEXER_URL": "http://indexer:8002"])
        let own = try TransferCommand(["export", "c", "f"], environment)
        #expect(own == .export(collection: "c", file: "f", .init(url: "http://indexer:8002", key: "token")))
        let other = try TransferCommand(["export", "c", "f", "--url", "http://elsewhere"], environment)
        #expect(other == .export(collection: "c", file: "f", .init(url: "http://elsewhere", key: nil)))
    }

    @Test func valuesAreFoundWithoutBeingRead() throws {
        let text = Array(#" {"a" : [1 , "],\"}" , {"b":[{}]},null ],"c":{"d\"":tru},"e":-1.5e3}"#.utf8)
        try text.withUnsafeBufferPointer { buffer in
            let scanner = JSONScanner(buffer)
            let members = try scanner.members()
            #expect(members.map(\.name) == ["a", "c", "e"])
            func string(_ range: Range<Int>) -> String { String(decoding: text[range], as: UTF8.self) }
            #expect(
                try scanner.elements(at: members[0].value.lowerBound).map(string) == [
                    "1", #""],\"}""#, #"{"b":[{}]}"#, "null",
                ])
            #expect(string(members[1].value) == #"{"d\"":tru}"# && string(members[2].value) == "-1.5e3")
        }
        for end in 1..<text.count {
            let part = Array(text[..<end])
            #expect(throws: JSONScanner.Broken.self) {
                try part.withUnsafeBufferPointer { _ = try JSONScanner($0).members() }
            }
        }
    }
}

/// What a command said.
final class Said: Sendable {
    private let state = Mutex<[String]>([])
    func add(_ line: String) { state.withLock { $0.append(line) } }
    var lines: [String] { state.withLock { $0 } }
}
