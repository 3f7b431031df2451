import WireProtocol

/// One operation of a Qdrant update, as it stands in `points/batch`, and the endpoint that takes it alone.
struct QdrantOperation: Sendable {
    var name: String
    /// The operation's own body.
    var body: [UInt8]
    var method = "POST"
    /// Behind `/collections/{name}/points`.
    var path: String
    /// What it is about, where that is known.
    var ids: Set<PointID> = []

    struct Request: Sendable {
        var method: String
        /// Behind `/collections/{name}/points`.
        var path: String
        var body: [UInt8]
    }
    var request: Request { Request(method: method, path: path, body: body) }

    /// In order. An operation that fills a body goes to its own endpoint; small ones share `points/batch`.
    static func requests(for operations: [QdrantOperation], bodyBytes: Int) -> [Request] {
        var requests: [Request] = []
        var held: [QdrantOperation] = []
        var size = 0
        func close() {
            if !held.isEmpty { requests.append(held.count == 1 ? held[0].request : batch(held)) }
            (held, size) = ([], 0)
        }
        for operation in operations {
            if size + operation.body.count > bodyBytes { close() }
            held.append(operation)
            size += operation.body.count
        }
        close()
        return requests
    }

    private static func batch(_ operations: [QdrantOperation]) -> Request {
        var writer = JSONWriter(reserving: operations.reduce(32) { $0 + $1.body.count + 32 })
        writer.raw("{\"operations\":[")
        for (index, operation) in operations.enumerated() {
            writer.raw(index > 0 ? ",{" : "{")
            writer.write(operation.name)
            writer.raw(":")
            writer.raw(operation.body)
            writer.raw("}")
        }
        writer.raw("]}")
        return Request(method: "POST", path: "/batch", body: writer.bytes)
    }
}

extension QdrantOperation {
    static func selected(_ selection: PointSelection, _ change: SelectedChange) throws -> QdrantOperation {
        var body = QdrantBody()
        switch selection {
        case .ids(let ids): body["points"] = .array(ids.map(\.json))
        case .filter(let filter): try body.set(filter)
        }
        let (name, method, path): (String, String, String)
        switch change {
        case .delete: (name, method, path) = ("delete", "POST", "/delete")
        case .setPayload(let payload, let key):
            (name, method, path) = ("set_payload", "POST", "/payload")
            body["payload"] = .object(payload)
            body["key"] = key.map { .string($0.text) }
        case .overwritePayload(let payload, let key):
            (name, method, path) = ("overwrite_payload", "PUT", "/payload")
            body["payload"] = .object(payload)
            body["key"] = key.map { .string($0.text) }
        case .deletePayloadKeys(let keys):
            (name, method, path) = ("delete_payload", "POST", "/payload/delete")
            body["keys"] = .array(keys.map { .string($0.text) })
        case .clearPayload: (name, method, path) = ("clear_payload", "POST", "/payload/clear")
        case .deleteVectors(let names):
            (name, method, path) = ("delete_vectors", "POST", "/vectors/delete")
            body["vector"] = .array(names.map { .string($0) })
        }
        return QdrantOperation(
            name: name, body: JSONValue.object(body.members).serializedBytes, method: method, path: path)
    }
}

/// Changes of single points as operations: neighbours of one kind share one, up to so many bytes.
struct QdrantChanges {
    private let names: [String]
    private let bodyBytes: Int
    /// Behind the points of an upsert: its condition and mode.
    private let suffix: [UInt8]
    private var writer = JSONWriter()
    private var kind = Kind.none
    private var ids: Set<PointID> = []
    private(set) var operations: [QdrantOperation] = []

    private enum Kind { case none, upsert, vectors, delete }

    init(_ configuration: CollectionConfiguration, bodyBytes: Int, onlyIf: Filter?, mode: UpsertMode) throws {
        names = configuration.vectorNames.map { $0 ?? "" }
        self.bodyBytes = bodyBytes
        var condition = QdrantBody()
        if let filter = onlyIf {
            guard let json = filter.json else {
                throw StoreError.wrongInput("a filter without its JSON cannot be sent")
            }
            condition["update_filter"] = json
        }
        switch mode {
        case .upsert: break
        case .insertOnly: condition["update_mode"] = "insert_only"
        case .updateOnly: condition["update_mode"] = "update_only"
        }
        let members = JSONValue.object(condition.members).serializedBytes.dropFirst()
        suffix = Array("]".utf8) + (condition.members.isEmpty ? [] : Array(",".utf8)) + members
    }

    mutating func add(_ change: PointChange) {
        switch change.effect {
        case .upsert(let vectors, let payload):
            begin(.upsert, opening: "{\"points\":[")
            write(change.id, vectors)
            writer.raw(",\"payload\":")
            writer.raw(payload)
            writer.raw("}")
        case .vectors(let vectors):
            begin(.vectors, opening: "{\"points\":[")
            write(change.id, vectors)
            writer.raw("}")
        case .delete:
            begin(.delete, opening: "{\"points\":[")
            writer.write(change.id.json)
        case .payload(let payload):
            end()
            writer.raw("{\"points\":[")
            writer.write(change.id.json)
            writer.raw("],\"payload\":")
            writer.raw(payload)
            writer.raw("}")
            append("overwrite_payload", "PUT", "/payload", ids: [change.id])
            return
        case .dropVectors(let mask):
            end()
            let dropped = names.indices.filter { mask >> UInt64($0) & 1 == 1 }.map { JSONValue.string(names[$0]) }
            if dropped.isEmpty { return }
            writer.write(["points": .array([change.id.json]), "vector": .array(dropped)] as JSONValue)
            append("delete_vectors", "POST", "/vectors/delete", ids: [change.id])
            return
        }
        ids.insert(change.id)
        if writer.bytes.count >= bodyBytes { end() }
    }

    mutating func finish() -> [QdrantOperation] {
        end()
        return operations
    }

    private mutating func begin(_ kind: Kind, opening: StaticString) {
        if self.kind == kind { return writer.raw(",") }
        end()
        self.kind = kind
        writer = JSONWriter(reserving: min(bodyBytes, 1 << 20))
        writer.raw(opening)
    }

    private mutating func end() {
        switch kind {
        case .none: break
        case .upsert:
            writer.raw(suffix)
            append("upsert", "PUT", "", ids: ids)
        case .vectors:
            writer.raw("]}")
            append("update_vectors", "PUT", "/vectors", ids: ids)
        case .delete:
            writer.raw("]}")
            append("delete", "POST", "/delete", ids: ids)
        }
        kind = .none
        ids = []
    }

    private mutating func append(_ name: String, _ method: String, _ path: String, ids: Set<PointID>) {
        operations.append(QdrantOperation(name: name, body: writer.bytes, method: method, path: path, ids: ids))
        writer = JSONWriter()
    }

    /// `{"id": ..., "vector": ...`
    private mutating func write(_ id: PointID, _ vectors: [PlacedVector]) {
        writer.raw("{\"id\":")
        writer.write(id.json)
        writer.raw(",\"vector\":")
        if vectors.count == 1, names[vectors[0].position].isEmpty {
            writer.write(vectors[0].values)
        } else {
            writer.raw("{")
            for (index, vector) in vectors.enumerated() {
                if index > 0 { writer.raw(",") }
                writer.write(names[vector.position])
                writer.raw(":")
                writer.write(vector.values)
            }
            writer.raw("}")
        }
    }
}
