import CVectorKernel
import FastJSON
import Foundation
import Resilience
import ServiceRuntime
import Synchronization
import WireProtocol

/// One collection of the embedded store: reads here, from moments of its index; writes through its `CollectionWriter`.
final class EmbeddedCollection: Sendable {
    let name: String
    let folder: String
    let incarnation: String
    let index: PointIndex
    let writer: CollectionWriter
    private let description: Mutex<(configuration: CollectionConfiguration, payloadSchema: JSONObject)>
    let pool: ScanPool

    private let failures = Mutex<(count: Int, retryAt: ContinuousClock.Instant?)>((0, nil))

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

    // MARK: - Reads

    func retrieve(_ ids: [PointID], fields: PointFields) async throws -> [StoredPoint] {
        try await pool.run { [self] in
            let (snapshot, slots) = index.snapshot(locating: ids)
            var seen = Set<PointID>()
            return try ids.filter { seen.insert($0).inserted }.compactMap { id in
                try slots[id].map { try point($0, of: snapshot, fields) }
            }
        }
    }

    func count(_ filter: Filter?) async throws -> Int {
        guard let filter else { return index.pointCount }
        return try await pool.run { [self] in
            let (snapshot, located) = index.snapshot(locating: filter.ids)
            return try matches(filter, snapshot, located).population
        }
    }

    func scroll(_ request: ScrollRequest) async throws -> ScrollPage {
        if let order = request.orderBy { return try await scroll(request, by: order) }
        return try await pool.run { [self] in
            let (snapshot, located) = index.snapshot(locating: request.filter?.ids ?? [])
            let mask = try matches(request.filter, snapshot, located)
            let limit = min(request.limit, snapshot.liveCount)
            let slots = snapshot.smallestIDs(in: mask, from: request.offset ?? PointID(number: 0), limit: limit + 1)
            let points = try slots.prefix(limit).map { try point(Int($0), of: snapshot, request.fields) }
            let next = slots.count > limit ? PointID(snapshot.view.slot(Int(slots[limit]))) : nil
            return ScrollPage(points: points, next: next)
        }
    }

    private func scroll(_ request: ScrollRequest, by order: OrderBy) async throws -> ScrollPage {
        guard request.offset == nil else {
            throw StoreError.wrongInput(
                "Cannot use an `offset` when using `order_by`. The alternative for paging is to use `order_by.start_from` and a filter to exclude the IDs that you've already seen for the `order_by.start_from` value"
            )
        }
        return try await pool.run { [self] in
            let (snapshot, located) = index.snapshot(locating: request.filter?.ids ?? [])
            let mask = try matches(request.filter, snapshot, located)
            let points = try snapshot.ordered(by: order, in: mask, limit: request.limit).map { entry in
                var point = try point(entry.slot, of: snapshot, request.fields)
                point.orderValue = entry.value.json
                return point
            }
            return ScrollPage(points: points, next: nil)
        }
    }

    func buildColumn(_ field: String) async throws {
        guard let path = PayloadPath(field) else { return }
        try await pool.run { [self] in
            let snapshot = index.snapshot
            try snapshot.columns.column(path).with(snapshot) { _ in }
        }
    }

    func facet(_ request: FacetRequest) async throws -> [FacetHit] {
        try await pool.run { [self] in
            let (snapshot, located) = index.snapshot(locating: request.filter?.ids ?? [])
            return try snapshot.facets(
                request.key, in: try matches(request.filter, snapshot, located), limit: request.limit)
        }
    }

    /// Best first.
    func query(_ request: QueryRequest) async throws -> [StoredPoint] {
        try await pool.run { [self] in
            let query = moment(for: request)
            return try points(try await query.hits(of: request), of: query.snapshot, request.fields)
        }
    }

    func groups(_ request: GroupsRequest) async throws -> [PointGroup] {
        try await pool.run { [self] in
            let query = moment(for: request.query)
            return try await GroupSearch(request, query).groups().map { group in
                PointGroup(id: group.id, points: try points(group.hits, of: query.snapshot, request.query.fields))
            }
        }
    }

    private func moment(for request: QueryRequest) -> CollectionQuery {
        let (snapshot, located) = index.snapshot(locating: request.ids)
        return CollectionQuery(snapshot: snapshot, located: located, configuration: configuration, pool: pool)
    }

    private func points(
        _ hits: [CollectionQuery.Hit], of snapshot: Snapshot, _ fields: PointFields
    ) throws -> [StoredPoint] {
        try hits.map { hit in
            var point = try point(hit.slot, of: snapshot, fields)
            point.score = hit.score
            point.orderValue = hit.orderValue
            return point
        }
    }

    private func matches(_ filter: Filter?, _ snapshot: Snapshot, _ located: [PointID: Int]) throws -> Bitmap {
        guard let filter else { return snapshot.live }
        return try FilterEvaluation(snapshot: snapshot, located: located, vectorNames: configuration.vectorNames)
            .matches(
                filter)
    }

    private func point(_ slot: Int, of snapshot: Snapshot, _ fields: PointFields) throws -> StoredPoint {
        let record = snapshot.view.slot(slot)
        var point = StoredPoint(id: PointID(record), version: record.version)
        switch fields.payload {
        case .none: break
        case .all: point.payload = Array(snapshot.view.payload(of: slot))
        case .including(let paths):
            point.payload =
                JSONValue.object(
                    Payload.including(paths, of: try Payload.parse(snapshot.view.payload(of: slot)))
                ).serializedBytes(keepingPoints: true)
        case .excluding(let paths):
            point.payload =
                JSONValue.object(
                    Payload.excluding(paths, from: try Payload.parse(snapshot.view.payload(of: slot)))
                ).serializedBytes(keepingPoints: true)
        }
        if point.payload?.isEmpty == true { point.payload = Array("{}".utf8) }
        let configuration = configuration
        let names: [String]?
        switch fields.vectors {
        case .none: return point
        case .all: names = nil
        case .named(let wanted):
            names = wanted
            if let unknown = wanted.first(where: { configuration.position(of: $0) == nil }) {
                throw StoreError.wrongInput("Not existing vector name error: \(unknown)")
            }
        }
        let vectorNames = configuration.vectorNames
        point.vectors = []
        for column in snapshot.view.columns where record.vectors >> UInt64(column.position) & 1 == 1 {
            guard let name = vectorNames[column.position], names?.contains(name) ?? true else { continue }
            point.vectors?.append((name, try snapshot.view.values(column, of: slot)))
        }
        return point
    }

    func describe() async -> CollectionDescription {
        let (configuration, schema) = description.withLock { $0 }
        return CollectionDescription(
            name: name, configuration: configuration, incarnation: incarnation, sequence: index.snapshot.sequence,
            points: index.pointCount, payloadSchema: schema, diskBytes: await writer.diskBytes,
            memoryBytes: await writer.memoryBytes, payloadBytes: await writer.payloadBytes)
    }

    // MARK: - Maintenance

    /// Dead slots that a compaction would free.
    var needsCompaction: Bool {
        let snapshot = index.snapshot
        let dead = snapshot.count - snapshot.liveCount
        return dead >= CollectionCheckpoint.deadMinimum
            && Double(dead) > Double(snapshot.count) * CollectionCheckpoint.deadShare
    }

    /// False for a while after a failure: what a full disk refuses now it refuses a second later.
    var mayMaintain: Bool { failures.withLock { $0.retryAt.map { ContinuousClock.now >= $0 } ?? true } }
    func maintained(_ error: (any Error)?) {
        failures.withLock { failures in
            failures.count = error == nil ? 0 : failures.count + 1
            let delay = Self.maintenanceBackoff.delay(afterFailures: failures.count) ?? .zero
            failures.retryAt = error == nil ? nil : ContinuousClock.now + delay
        }
    }
    private static let maintenanceBackoff = Backoff(base: .seconds(1), cap: .seconds(60), attempts: .max)

    /// Runs on the caller's thread except for the moments on the writer's: call it where a blocking second harms nobody.
    func checkpoint(compacting: Bool) async throws {
        guard await writer.needsCheckpoint || compacting else { return }
        let log = await writer.log
        try log.synchronise()
        let plan = try await writer.beginCheckpoint(try WriteAheadLog(log.number + 1, in: folder))
        let saved: Manifest
        if compacting {
            let manifest = try await compact(plan)
            saved = try CollectionCheckpoint.save(
                manifest, plan, live: Bitmap(count: manifest.end.slots, filled: true))
        } else {
            do { for file in plan.files { try file.file.synchronise() } } catch {
                await writer.fail(error)
                throw error
            }
            saved = try CollectionCheckpoint.save(plan)
        }
        for path in await writer.endCheckpoint(saved) { unlink(path) }
    }

    /// Answers the manifest of the compacted segment, which is in use then.
    private func compact(_ plan: CheckpointPlan) async throws -> Manifest {
        var compaction = try CollectionCheckpoint.compact(plan)
        do {
            // What was written meanwhile is copied here as long as it is much, the rest on the writer's time.
            for _ in 0..<8 {
                let now = index.snapshot
                if now.count - compaction.moved.count <= CollectionCheckpoint.shortTail { break }
                guard compaction.segment.columns == now.view.columns else { break }
                try compaction.copy(from: now.view, live: now.live, upTo: now.count)
            }
            try await writer.adopt(compaction)
        } catch {
            compaction.segment.delete()
            throw error
        }
        return compaction.manifest
    }
}

extension Payload {
    static func parse(_ bytes: UnsafeRawBufferPointer) throws -> JSONObject {
        if bytes.isEmpty { return JSONObject() }
        guard case .object(let object) = try JSONReader.parse(bytes) else { return JSONObject() }
        return object
    }
}
