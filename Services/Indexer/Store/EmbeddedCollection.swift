import FastJSON
import Foundation
import ServiceRuntime
import Synchronization
import WireProtocol

/// One collection of the embedded store: reads are of moments of its index, writes go through its `CollectionWriter`.
final class EmbeddedCollection: Sendable {
    let name: String
    let folder: String
    let incarnation: String
    let index: PointIndex
    let writer: CollectionWriter
    private let description: Mutex<(configuration: CollectionConfiguration, payloadSchema: JSONObject)>
    let pool: ScanPool

    let failures = Mutex<(count: Int, retryAt: ContinuousClock.Instant?)>((0, nil))

    static let descriptionFile = "collection.json"

    /// What a store gives its collections.
    struct Surroundings {
        var writers: BlockingExecutor
        var syncer: LogSyncer
        var pool: ScanPool
        var log: Log
        var acceptLoss: Bool
    }

    /// A new, empty collection. Its folder appears with all that belongs into it, or not at all.
    static func create(
        _ name: String, _ configuration: CollectionConfiguration, in parent: String, _ surroundings: Surroundings
    ) throws -> EmbeddedCollection {
        let incarnation = newIncarnation()
        let temporary = "\(parent)/.new-\(incarnation)"
        let folder = "\(parent)/\(incarnation)"
        if mkdir(temporary, 0o700) != 0 { throw StoreFile.failure("cannot create", temporary) }
        do {
            try OpenedCollection.create(in: temporary, columns: configuration.columns)
            try save(name, incarnation, configuration, payloadSchema: JSONObject(), in: temporary)
            if rename(temporary, folder) != 0 { throw StoreFile.failure("cannot create", folder) }
            try StoreFile.synchroniseFolder(parent)
            return try EmbeddedCollection(folder: folder, surroundings)
        } catch {
            // Nobody is told of it, so the next start must not find it. What cannot be removed now is then.
            _ = rename(folder, temporary)
            _ = try? FileManager.default.removeItem(atPath: temporary)
            throw error
        }
    }

    private static func newIncarnation() -> String {
        PointID(uuidHigh: .random(in: 0 ... .max), low: .random(in: 0 ... .max)).text
    }

    init(folder: String, _ surroundings: Surroundings) throws {
        let path = "\(folder)/\(Self.descriptionFile)"
        let value: JSONValue
        do { value = try JSONReader.parse(StoreFile.content(of: path)) } catch let error as JSONError {
            throw StoreError.unreadable(file: path, reason: error.message)
        }
        guard let name = value["name"]?.string, let incarnation = value["incarnation"]?.string,
            let request = value["config"]?.object
        else { throw StoreError.unreadable(file: path, reason: "name, incarnation or config is missing") }
        let configuration = try CollectionConfiguration(
            request: request, saved: value["positions"]?.object,
            positions: value["next_position"]?.integer.map(Int.init))
        let log = surroundings.log.with(["collection": .string(name)])
        let index = PointIndex(vectors: configuration.positions)
        let opened = try OpenedCollection(
            folder: folder, columns: configuration.columns, index: index, acceptLoss: surroundings.acceptLoss,
            log: log)
        self.name = name
        self.folder = folder
        // A collection that has lost something is not the one it was: who believes that it has everything must look again.
        self.incarnation = opened.repair == nil ? incarnation : Self.newIncarnation()
        self.index = index
        pool = surroundings.pool
        let payloadSchema = value["payload_schema"]?.object ?? JSONObject()
        index.snapshot.schema.replace(payloadSchema)
        description = Mutex((configuration, payloadSchema))
        writer = CollectionWriter(
            name: name, folder: folder, configuration: configuration, index: index, syncer: surroundings.syncer,
            executor: surroundings.writers, opened: opened)
        if self.incarnation != incarnation {
            try Self.save(name, self.incarnation, configuration, payloadSchema: payloadSchema, in: folder)
        }
    }

    private static func save(
        _ name: String, _ incarnation: String, _ configuration: CollectionConfiguration, payloadSchema: JSONObject,
        in folder: String
    ) throws {
        let value: JSONValue = [
            "name": .string(name), "incarnation": .string(incarnation), "config": .object(configuration.request),
            "payload_schema": .object(payloadSchema), "positions": .object(configuration.savedPositions),
            "next_position": JSONValue(configuration.positions),
        ]
        try StoreFile.replace("\(folder)/\(descriptionFile)", with: value.serializedBytes)
    }

    var configuration: CollectionConfiguration { description.withLock { $0.configuration } }
    var settings: CollectionSettings.Current {
        description.withLock {
            CollectionSettings.Current(configuration: $0.configuration, payloadSchema: $0.payloadSchema)
        }
    }

    /// Changes what is echoed. The caller runs this on the store's writer thread.
    func update(_ change: (inout CollectionConfiguration, inout JSONObject) throws -> Void) throws {
        try description.withLock { description in
            var changed = description
            try change(&changed.configuration, &changed.payloadSchema)
            try Self.save(name, incarnation, changed.configuration, payloadSchema: changed.payloadSchema, in: folder)
            description = changed
            index.snapshot.schema.replace(changed.payloadSchema)
        }
    }

    /// Vectors may come and go with the change.
    func changeVectors(_ change: @Sendable (inout CollectionConfiguration) throws -> Void) async throws {
        try await writer.change { [self] in
            var changed = configuration
            try change(&changed)
            return changed
        } save: { changed in
            try update { current, _ in current = changed }
        }
    }

    // MARK: - Writes

    /// Checks every point and makes Cosine vectors length 1. Throws: `wrongInput` that lists the points at fault.
    func prepare(_ changes: [PointChange]) throws -> [PointChange] {
        let fitter = VectorFitter(configuration: configuration)
        var problems: [String] = []
        var count = 0
        var prepared = changes
        for index in changes.indices {
            func report(_ problem: String) {
                count += 1
                if problems.count < 10 { problems.append("\(problem) (point \(index), id \(changes[index].id))") }
            }
            func check(_ placed: inout [PlacedVector]) {
                for position in placed.indices { fitter.fit(&placed[position]).map(report) }
            }
            func check(payload: [UInt8]) {
                guard payload.count > Self.maximumPayload else { return }
                report("payload of \(payload.count) bytes is over the limit of \(Self.maximumPayload)")
            }
            switch prepared[index].effect {
            case .upsert(var placed, let payload):
                prepared[index].effect = .delete  // so that `placed` is changed in place
                check(&placed)
                check(payload: payload)
                prepared[index].effect = .upsert(vectors: placed, payload: payload)
            case .vectors(var placed):
                prepared[index].effect = .delete
                check(&placed)
                prepared[index].effect = .vectors(placed)
            case .payload(let payload): check(payload: payload)
            case .dropVectors, .delete: break
            }
        }
        guard problems.isEmpty else {
            let more = count > problems.count ? "; and \(count - problems.count) more" : ""
            throw StoreError.wrongInput(problems.joined(separator: "; ") + more)
        }
        return prepared
    }
    static let maximumPayload = 16 << 20

    private func prepare(_ update: PointsUpdate) throws -> PointsUpdate {
        switch update {
        case .changes(let changes, let filter, let mode):
            .changes(try prepare(changes), onlyIf: filter, mode: mode)
        case .selected: update
        case .batch(let updates): .batch(try updates.map(prepare))
        }
    }

    func apply(_ update: PointsUpdate, wait: Bool) async throws -> WriteOutcome {
        try await writer.apply(try prepare(update), wait: wait)
    }

    func describe() async -> CollectionDescription {
        let (configuration, schema) = description.withLock { $0 }
        return CollectionDescription(
            name: name, configuration: configuration, incarnation: incarnation, sequence: index.snapshot.sequence,
            points: index.pointCount, payloadSchema: schema, diskBytes: await writer.diskBytes,
            memoryBytes: await writer.memoryBytes, payloadBytes: await writer.payloadBytes)
    }
}
