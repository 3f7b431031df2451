import CVectorKernel
import FastJSON
import Foundation
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
    /// The vectors never change; what is echoed may.
    private let description: Mutex<(configuration: CollectionConfiguration, payloadSchema: JSONObject)>
    private let vectors: [CollectionConfiguration.Vector]
    private let pool: ScanPool

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
        let incarnation = PointID(uuidHigh: .random(in: 0 ... .max), low: .random(in: 0 ... .max)).text
        let temporary = "\(parent)/.new-\(incarnation)"
        let folder = "\(parent)/\(incarnation)"
        if mkdir(temporary, 0o700) != 0 { throw StoreFile.failure("cannot create", temporary) }
        try OpenedCollection.create(in: temporary, sizes: configuration.vectors.map(\.size))
        try save(name, incarnation, configuration, payloadSchema: JSONObject(), in: temporary)
        if rename(temporary, folder) != 0 { throw StoreFile.failure("cannot create", folder) }
        try StoreFile.synchroniseFolder(parent)
        return try EmbeddedCollection(folder: folder, surroundings)
    }

    init(folder: String, _ surroundings: Surroundings) throws {
        let path = "\(folder)/\(Self.descriptionFile)"
        let value: JSONValue
        do { value = try JSONReader.parse(StoreFile.content(of: path)) } catch let error as JSONError {
            throw StoreError.damaged(file: path, offset: 0, reason: error.message)
        }
        guard let name = value["name"]?.string, let incarnation = value["incarnation"]?.string,
            let request = value["config"]?.object
        else { throw StoreError.damaged(file: path, offset: 0, reason: "name, incarnation or config is missing") }
        let configuration = try CollectionConfiguration(request: request)
        let log = surroundings.log.with(["collection": .string(name)])
        let index = PointIndex(vectors: configuration.vectors.count)
        let opened = try OpenedCollection(
            folder: folder, sizes: configuration.vectors.map(\.size), index: index, acceptLoss: surroundings.acceptLoss,
            log: log)
        self.name = name
        self.folder = folder
        self.incarnation = incarnation
        self.index = index
        vectors = configuration.vectors
        pool = surroundings.pool
        let payloadSchema = value["payload_schema"]?.object ?? JSONObject()
        index.snapshot.schema.replace(payloadSchema)
        description = Mutex((configuration, payloadSchema))
        writer = CollectionWriter(
            name: name, folder: folder, configuration: configuration, index: index, syncer: surroundings.syncer,
            executor: surroundings.writers, opened: opened)
    }

    private static func save(
        _ name: String, _ incarnation: String, _ configuration: CollectionConfiguration, payloadSchema: JSONObject,
        in folder: String
    ) throws {
        let value: JSONValue = [
            "name": .string(name), "incarnation": .string(incarnation), "config": .object(configuration.request),
            "payload_schema": .object(payloadSchema),
        ]
        try StoreFile.replace("\(folder)/\(descriptionFile)", with: value.serializedBytes)
    }

    var configuration: CollectionConfiguration { description.withLock { $0.configuration } }
    var settings: CollectionSettings.Current {
        description.withLock {
            CollectionSettings.Current(configuration: $0.configuration, payloadSchema: $0.payloadSchema)
        }
    }
    var payloadSchema: JSONObject { description.withLock { $0.payloadSchema } }

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

    // MARK: - Writes

    /// Checks every point and makes Cosine vectors length 1. Throws: `wrongInput` that lists the points at fault.
    func prepare(_ changes: [PointChange]) throws -> [PointChange] {
        var problems: [String] = []
        var count = 0
        var prepared = changes
        for index in changes.indices {
            func check(_ placed: inout [PlacedVector]) {
                for position in placed.indices {
                    guard let problem = makeFit(&placed[position]) else { continue }
                    count += 1
                    if problems.count < 10 { problems.append("\(problem) (point \(index), id \(changes[index].id))") }
                }
            }
            func check(payload: [UInt8]) {
                guard payload.count > Self.maximumPayload else { return }
                count += 1
                if problems.count < 10 {
                    problems.append(
                        "payload of \(payload.count) bytes is over the limit of \(Self.maximumPayload) (point \(index), id \(changes[index].id))"
                    )
                }
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

    /// What is wrong with it; nothing: it is ready to be stored or compared.
    private func makeFit(_ vector: inout PlacedVector) -> String? {
        let expected = vectors[vector.position]
        guard case .dense(var numbers) = vector.values else {
            return "Conversion between sparse and regular vectors failed for vector `\(expected.name)`"
        }
        guard numbers.count == expected.size else {
            let name = expected.name.isEmpty ? "" : " for vector `\(expected.name)`"
            return "Vector dimension error: expected dim: \(expected.size), got \(numbers.count)\(name)"
        }
        vector.values = .dense([])  // so that `numbers` is changed in place
        let problem: String? = numbers.withUnsafeMutableBufferPointer { values in
            guard vector_is_finite(values.baseAddress, values.count) == 1 else {
                return "vector `\(expected.name)` has a number that float32 cannot hold"
            }
            if expected.distance == .cosine { vector_normalise(values.baseAddress, values.count) }
            return nil
        }
        vector.values = .dense(numbers)
        return problem
    }

    func apply(_ update: PointsUpdate, wait: Bool) async throws -> WriteOutcome {
        if case .changes(let changes, let filter, let mode) = update {
            return try await writer.apply(.changes(try prepare(changes), onlyIf: filter, mode: mode), wait: wait)
        }
        return try await writer.apply(update, wait: wait)
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
            var slots = [UInt32](repeating: 0, count: min(request.limit, snapshot.liveCount) + 1)
            let blocks: [UnsafePointer<vector_slot>?] = snapshot.view.blocks.map { $0.slots }
            var from = (request.offset ?? PointID(number: 0)).slot
            let found = vector_smallest_ids(
                blocks, UInt32(Block.shift), UInt32(snapshot.count), mask.words, &from, &slots, UInt32(slots.count))
            let page = slots.prefix(min(Int(found), request.limit))
            let points = try page.map { try point(Int($0), of: snapshot, request.fields) }
            let next = Int(found) > request.limit ? PointID(snapshot.view.slot(Int(slots[request.limit]))) : nil
            return withExtendedLifetime(snapshot) { ScrollPage(points: points, next: next) }
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

    func facet(_ request: FacetRequest) async throws -> [FacetHit] {
        try await pool.run { [self] in
            let (snapshot, located) = index.snapshot(locating: request.filter?.ids ?? [])
            return try snapshot.facets(
                request.key, in: try matches(request.filter, snapshot, located), limit: request.limit)
        }
    }

    func query(_ query: QueryRequest) async throws -> [StoredPoint] {
        guard query.prefetch.isEmpty else {
            throw StoreError.wrongInput("prefetch: is not supported by the embedded store yet")
        }
        let nearest: VectorTarget
        switch query.query {
        case .nearest(let target)?: nearest = target
        case nil:
            guard query.offset == 0 else {
                throw StoreError.wrongInput("offset: is not supported without a query by the embedded store yet")
            }
            let page = ScrollRequest(filter: query.filter, limit: query.limit, fields: query.fields)
            return try await scroll(page).points.map { point in
                var point = point
                point.score = 0
                return point
            }
        case .fusion?, .orderBy?, .sample?:
            throw StoreError.wrongInput("query: is not supported by the embedded store yet")
        }
        return try await pool.run { [self] in
            guard let position = vectors.firstIndex(where: { $0.name == query.using }) else {
                throw StoreError.wrongInput("Not existing vector name error: \(query.using)")
            }
            let vector = vectors[position]
            var wanted = query.filter?.ids ?? []
            if case .point(let id) = nearest { wanted.insert(id) }
            let (snapshot, located) = index.snapshot(locating: wanted)
            var mask = snapshot.present[position]
            if let filter = query.filter { mask.formIntersection(try matches(filter, snapshot, located)) }

            var target: PlacedVector
            switch nearest {
            case .values(let values): target = PlacedVector(position: position, values: values)
            case .point(let id):
                guard let slot = located[id] else { throw StoreError.pointNotFound(id) }
                guard snapshot.present[position][slot] else {
                    throw StoreError.wrongInput("point \(id) has no vector `\(query.using)`")
                }
                let floats = snapshot.view.floats(position, of: slot, size: vector.size)
                target = PlacedVector(
                    position: position, values: .dense(Array(UnsafeBufferPointer(start: floats, count: vector.size))))
                mask[slot] = false
            }
            if let problem = makeFit(&target) { throw StoreError.wrongInput(problem) }
            guard case .dense(let numbers) = target.values else { return [] }

            let scan = VectorScan(
                snapshot: snapshot, mask: mask, vector: position, size: vector.size, distance: vector.distance)
            let wantedCount = min(query.offset + query.limit, snapshot.liveCount)
            let found = try await scan.best(wantedCount, near: numbers, exact: query.exact, pool: pool)
            return try found.dropFirst(query.offset).compactMap { candidate in
                let score = vector.distance.presented(candidate.score)
                if let threshold = query.scoreThreshold {
                    guard vector.distance.largerIsBetter ? score >= threshold : score <= threshold else { return nil }
                }
                var point = try point(Int(candidate.slot), of: snapshot, query.fields)
                point.score = score
                return point
            }
        }
    }

    private func matches(_ filter: Filter?, _ snapshot: Snapshot, _ located: [PointID: Int]) throws -> Bitmap {
        guard let filter else { return snapshot.live }
        return try FilterEvaluation(snapshot: snapshot, located: located, vectorNames: vectors.map(\.name)).matches(
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
                ).serializedBytes
        case .excluding(let paths):
            point.payload =
                JSONValue.object(
                    Payload.excluding(paths, from: try Payload.parse(snapshot.view.payload(of: slot)))
                ).serializedBytes
        }
        if point.payload?.isEmpty == true { point.payload = Array("{}".utf8) }
        let names: [String]?
        switch fields.vectors {
        case .none: return point
        case .all: names = nil
        case .named(let wanted):
            names = wanted
            if let unknown = wanted.first(where: { name in !vectors.contains { $0.name == name } }) {
                throw StoreError.wrongInput("Not existing vector name error: \(unknown)")
            }
        }
        point.vectors = []
        for (position, vector) in vectors.enumerated() where record.vectors >> UInt64(position) & 1 == 1 {
            guard names?.contains(vector.name) ?? true else { continue }
            let floats = snapshot.view.floats(position, of: slot, size: vector.size)
            point.vectors?.append((vector.name, .dense(Array(UnsafeBufferPointer(start: floats, count: vector.size)))))
        }
        return point
    }

    func describe() async -> CollectionDescription {
        let (configuration, schema) = description.withLock { $0 }
        let snapshot = index.snapshot
        let codes = vectors.reduce(0) { $0 + vector_code_stride($1.size) + 4 }
        return CollectionDescription(
            name: name, configuration: configuration, incarnation: incarnation, points: snapshot.liveCount,
            payloadSchema: schema, diskBytes: await writer.diskBytes, memoryBytes: snapshot.count * (codes + 48))
    }

    // MARK: - Maintenance

    /// Dead slots that a compaction would free.
    var needsCompaction: Bool {
        let snapshot = index.snapshot
        let dead = snapshot.count - snapshot.liveCount
        return dead >= CollectionCheckpoint.deadMinimum
            && Double(dead) > Double(snapshot.count) * CollectionCheckpoint.deadShare
    }

    /// Runs on the caller's thread except for the moments on the writer's: call it where a blocking second harms nobody.
    func checkpoint(compacting: Bool) async throws {
        guard let plan = try await writer.beginCheckpoint(compacting: compacting) else { return }
        if compacting {
            let (manifest, segment, moved) = try CollectionCheckpoint.compact(plan)
            try await writer.endCompaction(manifest, into: segment, moved: moved)
        } else {
            await writer.endCheckpoint(try CollectionCheckpoint.save(plan))
        }
    }
}

extension Payload {
    static func parse(_ bytes: UnsafeRawBufferPointer) throws -> JSONObject {
        if bytes.isEmpty { return JSONObject() }
        guard case .object(let object) = try JSONReader.parse(bytes) else { return JSONObject() }
        return object
    }
}
