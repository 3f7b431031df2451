import WireProtocol

/// Reads what writes points: as one operation of its own path, or as one of a `points/batch`.
struct UpdateReader {
    let configuration: CollectionConfiguration
    /// Points that operations read before this one create.
    private var created: Set<PointID> = []
    /// Points that must be there already.
    private(set) var needed: [PointID] = []

    init(_ configuration: CollectionConfiguration) { self.configuration = configuration }

    /// The operations, in Qdrant's names.
    enum Operation: String, CaseIterable, Sendable {
        case upsert, delete
        case setPayload = "set_payload"
        case overwritePayload = "overwrite_payload"
        case deletePayload = "delete_payload"
        case clearPayload = "clear_payload"
        case updateVectors = "update_vectors"
        case deleteVectors = "delete_vectors"
    }

    /// `{"operations": [{"upsert": {...}}, {"delete": {...}}]}`
    mutating func batch(_ body: RequestBody) throws -> [PointsUpdate] {
        guard let operations = try body.list("operations") else { throw body.missing("operations") }
        return try operations.map { operation in
            guard let kind = Operation.allCases.first(where: { operation.value($0.rawValue) != nil }),
                let inner = try operation.inner(kind.rawValue)
            else {
                throw RequestError.format(
                    operation.path, "must be one of \(Operation.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            switch kind {
            case .upsert, .updateVectors:
                let points = try PointsBody(
                    JSONValue.object(inner.object).serializedBytes(keepingPoints: true), path: inner.path)
                return try update(kind, points)
            default: return try update(kind, inner)
            }
        }
    }

    /// `upsert` or `updateVectors`
    mutating func update(_ operation: Operation, _ body: PointsBody) throws -> PointsUpdate {
        try body.rest.refuse("shard_key")
        let filter = try body.rest.filter("update_filter")
        if operation == .updateVectors {
            let changes = try body.vectorUpdates(in: configuration)
            needed += changes.map(\.id).filter { !created.contains($0) }
            return .changes(changes, onlyIf: filter)
        }
        let modes: KeyValuePairs<String, UpsertMode> = [
            "upsert": .upsert, "insert_only": .insertOnly, "update_only": .updateOnly,
        ]
        let mode = try body.rest.choice("update_mode", modes) ?? .upsert
        let changes = try body.upserts(into: configuration)
        if mode != .updateOnly { created.formUnion(changes.map(\.id)) }
        return .changes(changes, onlyIf: filter, mode: mode)
    }

    /// Every other operation.
    func update(_ operation: Operation, _ body: RequestBody) throws -> PointsUpdate {
        try body.refuse("shard_key")
        return .selected(try body.selection(), try change(operation, body))
    }

    private func change(_ operation: Operation, _ body: RequestBody) throws -> SelectedChange {
        switch operation {
        case .delete: return .delete
        case .clearPayload: return .clearPayload
        case .setPayload: return .setPayload(try payload(body), key: try body.payloadPath("key"))
        case .overwritePayload: return .overwritePayload(try payload(body), key: try body.payloadPath("key"))
        case .deletePayload:
            guard let keys = try body.payloadPaths("keys") else { throw body.missing("keys") }
            return .deletePayloadKeys(keys)
        case .deleteVectors: return .deleteVectors(try vectorNames(body))
        case .upsert, .updateVectors: preconditionFailure("read from a body of points")
        }
    }

    private func payload(_ body: RequestBody) throws -> JSONObject {
        guard let payload = try body.required("payload").object else {
            throw RequestError.format(body.place("payload"), "must be an object")
        }
        return payload
    }

    private func vectorNames(_ body: RequestBody) throws -> [String] {
        guard let names = try body.required("vector").array.map({ $0.compactMap(\.string) }),
            names.count == body.value("vector")?.array?.count
        else { throw RequestError.format(body.place("vector"), "must be a list of names") }
        if names.isEmpty {
            throw RequestError.validation(body.place("vector"), "value [] invalid, must be at least 1 characters")
        }
        for name in names where configuration.position(of: name) == nil {
            throw StoreError.wrongInput("Not existing vector name error: \(name)")
        }
        return names
    }
}
