import Foundation
import ServiceRuntime
import WireProtocol

@testable import Indexer

/// A folder of its own for one test, gone with it.
final class StoreFolder: Sendable {
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "store-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The store before it may take a moment to go: the thread that ran its last job lets it go after it has answered.
    func open(_ options: EmbeddedStore.Options = .init(), log: Log = .silent) throws -> EmbeddedStore {
        let deadline = ContinuousClock.now + .seconds(10)
        while true {
            do {
                return try EmbeddedStore(folder: path, options: options, log: log)
            } catch StoreError.inUse where ContinuousClock.now < deadline {
                sched_yield()
            }
        }
    }

    /// The folder of its one collection.
    var collection: String {
        get throws {
            let parent = "\(path)/collections"
            let names = try FileManager.default.contentsOfDirectory(atPath: parent).filter { !$0.hasPrefix(".") }
            return "\(parent)/\(names[0])"
        }
    }
    func files(_ prefix: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: try collection).filter { $0.hasPrefix(prefix) }.sorted()
            .map { "\(try collection)/\($0)" }
    }
    func content(_ path: String) throws -> [UInt8] { try StoreFile.content(of: path) }
    func overwrite(_ path: String, at offset: Int, with bytes: [UInt8]) throws {
        let file = try StoreFile(path)
        try bytes.withUnsafeBytes { try file.write($0, at: offset) }
    }
    func truncate(_ path: String, to length: Int) throws { try StoreFile(path).truncate(to: length) }
}

/// The same numbers in every run.
struct Numbers: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
    mutating func vector(_ size: Int) -> [Float] { (0..<size).map { _ in Float.random(in: -1...1, using: &self) } }
}

extension CollectionConfiguration {
    static func unnamed(_ size: Int, _ distance: Distance = .dot) -> CollectionConfiguration {
        CollectionConfiguration(vectors: [Vector(name: "", size: size, distance: distance)])
    }
}

extension Query {
    static func near(_ numbers: [Float]) -> Query { .nearest(.values(.dense(numbers))) }
}

extension PointChange {
    static func upsert(_ id: UInt64, _ values: [Float], _ payload: JSONValue = [:]) -> PointChange {
        PointChange(
            id: PointID(number: id),
            effect: .upsert(
                vectors: [PlacedVector(position: 0, values: .dense(values))], payload: payload.serializedBytes))
    }
    static func delete(_ id: UInt64) -> PointChange { PointChange(id: PointID(number: id), effect: .delete) }
    static func payload(_ id: UInt64, _ payload: JSONValue) -> PointChange {
        PointChange(id: PointID(number: id), effect: .payload(payload.serializedBytes))
    }
}

extension EmbeddedStore {
    @discardableResult
    func write(_ changes: [PointChange], to collection: String = "c") async throws -> WriteOutcome {
        try await apply(.changes(changes), to: collection, wait: true)
    }
    func ids(_ filter: Filter? = nil, in collection: String = "c") async throws -> [UInt64] {
        try await scroll(ScrollRequest(filter: filter, limit: 1_000_000), in: collection).points.map { $0.id.low }
    }
    func payload(_ id: UInt64, in collection: String = "c") async throws -> String? {
        try await retrieve([PointID(number: id)], from: collection, fields: PointFields()).first
            .flatMap { $0.payload.map { String(decoding: $0, as: UTF8.self) } }
    }
}
