import WireProtocol

/// Writes points into a collection over HTTP, several requests at a time, each waiting for the disk of the other side.
///
/// Points are written whole: doing it again changes nothing.
struct PointsUpload: Sendable {
    let qdrant: QdrantConnection
    /// Its own name: an alias is not what is made or deleted (`CollectionReader.names`).
    let collection: String
    /// The collection is made anew, under its aliases. What somebody else stores in it meanwhile is newer, and stays.
    var replaces = false
    var concurrentRequests = 4
    /// Units: bytes of one request.
    var bodyBytes = 4 << 20

    /// One request: points as JSON, separated by commas.
    struct Part: Sendable {
        var bytes: [UInt8] = []
        var count = 0
        /// Of the file that they came from.
        var lines: ClosedRange<Int>?
        /// Where a point may come again: two requests with the same point keep their order.
        var ids: Set<PointID> = []

        mutating func add(_ point: ArraySlice<UInt8>) {
            if count > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes += point
            count += 1
        }
    }

    /// Sends what `next` gives until it gives nil. `stored` is told of each part as it is there.
    /// Throws: the first failure, once the others under way have ended.
    func send(_ next: () async throws -> Part?, stored: (Part) throws -> Void) async throws {
        try await withThrowingTaskGroup(of: (Int, Part).self) { group in
            var underway: [Int: Set<PointID>] = [:]
            var number = 0
            while let part = try await next() {
                while underway.count >= concurrentRequests
                    || underway.values.contains(where: { !$0.isDisjoint(with: part.ids) }),
                    let (finished, done) = try await group.next()
                {
                    underway[finished] = nil
                    try stored(done)
                }
                underway[number] = part.ids
                group.addTask { [number] in (number, try await put(part)) }
                number += 1
            }
            for try await (_, done) in group { try stored(done) }
        }
    }

    private func put(_ part: Part) async throws -> Part {
        var writer = JSONWriter(reserving: part.bytes.count + 16)
        writer.raw("{\"points\":[")
        writer.raw(part.bytes)
        writer.raw(replaces ? "],\"update_mode\":\"insert_only\"}" : "]}")
        do {
            _ = try await qdrant.send(
                "PUT", QdrantConnection.path(collection, "/points?wait=true"), writer.bytes, collection: collection,
                waits: true)
        } catch let error as StoreError {
            guard let lines = part.lines else { throw error }
            throw TransferError("lines \(lines.lowerBound) to \(lines.upperBound) were refused: \(error)")
        }
        return part
    }

    /// The collection as described, and its payload indexes; one that is there must have the same vectors.
    func prepare(_ request: JSONObject, payloadSchema: JSONObject) async throws {
        let store = QdrantStore(qdrant: qdrant)
        var aliases: [AliasChange] = []
        if replaces {
            aliases = try await store.aliases().filter { $0.collection == collection }
                .map { .create(alias: $0.alias, collection: collection) }
            _ = try await store.deleteCollection(collection)
        }
        let reader = CollectionReader(qdrant: qdrant, name: collection)
        let existing: QdrantCollection
        do {
            existing = try await reader.information()
        } catch StoreError.collectionNotFound {
            let body = JSONValue.object(QdrantStore.marked(request)).serializedBytes
            _ = try await qdrant.send(
                "PUT", QdrantConnection.path(collection), body, collection: collection, isIdempotent: false,
                waits: true)
            if !aliases.isEmpty { try await store.changeAliases(aliases) }
            existing = try await reader.information()
        }
        let (wanted, found) = (VectorShapes(request), VectorShapes(existing.request))
        guard wanted == found else {
            throw TransferError(
                "the collection \(collection) is there with other vectors: it has \(found), the points have \(wanted)")
        }
        for field in payloadSchema.members where existing.payloadSchema[field.name] == nil {
            _ = try await store.setPayloadSchema(field.name, field.value, in: collection)
        }
    }
}

extension PointsUpload {
    /// Gives the collection these other names; `moving`: also where another collection has them. Answers those that it has now.
    func setAliases(_ wanted: [String], moving: Bool) async throws -> [String] {
        let store = QdrantStore(qdrant: qdrant)
        let (aliases, names) = (try await store.aliases(), try await store.collectionNames())
        let possible = wanted.filter { alias in
            let holder = aliases.first { $0.alias == alias }?.collection
            return !names.contains(alias) && (holder == nil || holder == collection || moving)
        }
        if !possible.isEmpty {
            try await store.changeAliases(possible.map { .create(alias: $0, collection: collection) })
        }
        return possible
    }
}

/// What must agree for points to go from one collection into another.
struct VectorShapes: Sendable, Equatable, CustomStringConvertible {
    /// Name to size and distance, or "sparse".
    private var shapes: [String: String] = [:]

    /// Of a creation request.
    init(_ request: JSONObject) {
        switch request["vectors"] {
        case .object(let object)? where object["size"] != nil: shapes[""] = Self.shape(.object(object))
        case .object(let object)?: for vector in object.members { shapes[vector.name] = Self.shape(vector.value) }
        default: break
        }
        for vector in request["sparse_vectors"]?.object?.members ?? [] {
            shapes[vector.name] = vector.value["modifier"]?.string == "idf" ? "sparse with idf" : "sparse"
        }
    }

    private static func shape(_ parameters: JSONValue) -> String {
        let form = parameters["multivector_config"]?.nonNull == nil ? "" : "multivector "
        return "\(form)\(parameters["size"]?.text ?? "?") \(parameters["distance"]?.text ?? "?")"
    }

    var description: String {
        if shapes.isEmpty { return "none" }
        return shapes.sorted { $0.key < $1.key }
            .map { $0.key.isEmpty ? $0.value : "\($0.key): \($0.value)" }.joined(separator: ", ")
    }
}

/// Why a transfer ended, for the person who started it.
struct TransferError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
