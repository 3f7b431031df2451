import HTTPServer
import WireProtocol

extension QdrantStore {
    func apply(_ update: PointsUpdate, to collection: String, wait: Bool) async throws -> WriteOutcome {
        switch update {
        case .selected(let selection, let change):
            let operation = try QdrantOperation.selected(selection, change)
            return WriteOutcome(sequence: try await send(operation.request, to: collection, wait: wait))
        case .batch(let updates):
            // Each asks what is there, so each comes after the one before it.
            var outcome = WriteOutcome(sequence: 0)
            for update in updates {
                let part = try await apply(update, to: collection, wait: wait)
                outcome.sequence = max(outcome.sequence, part.sequence)
            }
            return outcome
        case .changes(let changes, let onlyIf, let mode):
            let configuration = try await configuration(of: collection)
            let kept = try await present(changes, in: collection)
            let bodyBytes = bodyBytes
            // Many numbers become text: not on a thread that others wait for.
            let operations = try await BlockingPool.run {
                var writer = try QdrantChanges(configuration, bodyBytes: bodyBytes, onlyIf: onlyIf, mode: mode)
                for index in changes.indices where kept.contains(index) { writer.add(changes[index]) }
                return writer.finish()
            }
            return WriteOutcome(
                sequence: try await send(operations, to: collection, wait: wait),
                missing: changes.indices.filter { !kept.contains($0) })
        }
    }

    private func configuration(of collection: String) async throws -> CollectionConfiguration {
        let info = try await qdrant.result("GET", QdrantConnection.path(collection), collection: collection)
        return try CollectionConfiguration(request: QdrantCollection(info).request)
    }

    /// Positions of the changes whose point is there, where they need one: Qdrant refuses the operation otherwise.
    private func present(_ changes: [PointChange], in collection: String) async throws -> Set<Int> {
        let asked = Array(Set(changes.lazy.filter(\.effect.needsPoint).map(\.id)))
        var known = Set<PointID>()
        for start in stride(from: 0, to: asked.count, by: 1000) {
            let part = Array(asked[start..<min(start + 1000, asked.count)])
            let found = try await retrieve(part, from: collection, fields: PointFields(payload: .none))
            known.formUnion(found.map(\.id))
        }
        var kept = Set<Int>(minimumCapacity: changes.count)
        for (position, change) in changes.enumerated() {
            switch change.effect {
            case .upsert: known.insert(change.id)
            case .delete: known.remove(change.id)
            case .payload, .vectors, .dropVectors: if !known.contains(change.id) { continue }
            }
            kept.insert(position)
        }
        return kept
    }

    /// Upserts of different points go out together, anything else one after the other.
    private func send(_ operations: [QdrantOperation], to collection: String, wait: Bool) async throws -> UInt64 {
        let requests = QdrantOperation.requests(for: operations, bodyBytes: bodyBytes)
        var seen = Set<PointID>()
        let isOrdered = operations.contains { operation in
            defer { seen.formUnion(operation.ids) }
            return operation.name != "upsert" || !seen.isDisjoint(with: operation.ids)
        }
        return try await withThrowingTaskGroup(of: UInt64.self) { group in
            var last: UInt64 = 0
            for (index, request) in requests.enumerated() {
                if index >= (isOrdered ? 1 : concurrentRequests), let sequence = try await group.next() {
                    last = max(last, sequence)
                }
                group.addTask { try await send(request, to: collection, wait: wait) }
            }
            for try await sequence in group { last = max(last, sequence) }
            return last
        }
    }

    private func send(_ request: QdrantOperation.Request, to collection: String, wait: Bool) async throws -> UInt64 {
        let result = try await qdrant.result(
            request.method, QdrantConnection.path(collection, "/points\(request.path)?wait=\(wait)"), request.body,
            collection: collection, waits: true)
        // A batch answers a list.
        return Self.sequence(result.array?.last ?? result)
    }
}

extension PointChange.Effect {
    fileprivate var needsPoint: Bool {
        switch self {
        case .upsert, .delete: false
        case .payload, .vectors, .dropVectors: true
        }
    }
}
