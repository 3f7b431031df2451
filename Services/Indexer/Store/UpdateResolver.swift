import CVectorKernel
import FastJSON
import WireProtocol

/// Turns an update into changes of single points, with nothing left to look up.
struct UpdateResolver {
    let segment: Segment
    /// By position; `nil` where the collection has no such vector any more.
    let vectorNames: [String?]

    /// Throws: `pointNotFound` for an id that a change needs, `wrongInput` for a vector that is none.
    func changes(of update: PointsUpdate, _ points: inout PendingPoints) throws -> [PointChange] {
        switch update {
        case .changes(let changes, nil, .upsert): changes
        case .changes(let changes, let filter, let mode): try permitted(changes, onlyIf: filter, mode, &points)
        case .selected(let selection, let change): try selected(selection, change, &points)
        case .batch(let updates): try updates.flatMap { try self.changes(of: $0, &points) }
        }
    }

    private func matches(_ filter: Filter, _ snapshot: Snapshot, _ located: [PointID: Int]) throws -> Bitmap {
        try FilterEvaluation(snapshot: snapshot, located: located, vectorNames: vectorNames).matches(filter)
    }

    private func permitted(
        _ changes: [PointChange], onlyIf filter: Filter?, _ mode: UpsertMode, _ points: inout PendingPoints
    ) throws -> [PointChange] {
        let wanted = Set(changes.map(\.id)).union(filter?.ids ?? [])
        let (snapshot, located) = points.moment(of: segment, locating: wanted)
        let matching = try filter.map { try matches($0, snapshot, located) }
        var inserted = Set<PointID>()
        return changes.filter { change in
            if let slot = located[change.id] {
                return mode != .insertOnly && (matching.map { $0[slot] } ?? true)
            }
            return mode != .updateOnly && (mode != .insertOnly || inserted.insert(change.id).inserted)
        }
    }

    private func selected(
        _ selection: PointSelection, _ change: SelectedChange, _ points: inout PendingPoints
    ) throws -> [PointChange] {
        let effect = try effect(of: change)
        switch selection {
        case .ids(let ids):
            let (snapshot, located) = points.moment(of: segment, locating: ids)
            if case .delete = change {
            } else if let missing = ids.first(where: { located[$0] == nil }) {
                throw StoreError.pointNotFound(missing)
            }
            return try ids.compactMap { id in
                try located[id].map { PointChange(id: id, effect: try effect(snapshot.view, $0)) }
            }
        case .filter(let filter):
            let (snapshot, located) = points.moment(of: segment, locating: filter.ids)
            var changes: [PointChange] = []
            try matches(filter, snapshot, located).forEachSlot { slot in
                changes.append(
                    PointChange(
                        id: PointID(snapshot.view.slot(slot)), effect: try effect(snapshot.view, slot)))
            }
            return changes
        }
    }

    /// What happens to the point of a slot.
    private func effect(of change: SelectedChange) throws -> (SegmentView, Int) throws -> PointChange.Effect {
        func rewriting(
            _ rewrite: @escaping (JSONObject) -> JSONObject
        ) -> (SegmentView, Int) throws -> PointChange.Effect {
            { view, slot in
                .payload(try Self.bytes(of: rewrite(try Payload.parse(view.payload(of: slot))), view.slot(slot)))
            }
        }
        switch change {
        case .delete: return { _, _ in .delete }
        case .clearPayload: return { _, _ in .payload(Array("{}".utf8)) }
        case .overwritePayload(let payload, _):  // Qdrant, too, overwrites the whole of it whatever the key
            return { view, slot in .payload(try Self.bytes(of: payload, view.slot(slot))) }
        case .setPayload(let members, nil): return rewriting { Payload.merging(members, into: $0) }
        case .setPayload(let members, let path?):
            // What is nested deeper could not be read again.
            guard path.steps.count + Self.depth(.object(members)) < JSONReader.defaultMaximumDepth else {
                throw StoreError.wrongInput(
                    "payload: nested \(JSONReader.defaultMaximumDepth) levels deep or deeper at its key")
            }
            return rewriting { Payload.merging(members, at: path, into: $0) }
        case .deletePayloadKeys(let paths): return rewriting { Payload.deleting(paths, from: $0) }
        case .deleteVectors(let wanted):
            var mask: UInt64 = 0
            for name in wanted {
                guard let position = vectorNames.firstIndex(of: name) else {
                    throw StoreError.wrongInput("Not existing vector name error: \(name)")
                }
                mask |= 1 << UInt64(position)
            }
            return { _, _ in .dropVectors(mask) }
        }
    }

    /// Levels of objects and lists.
    private static func depth(_ value: JSONValue) -> Int {
        switch value {
        case .object(let object): 1 + (object.members.map { depth($0.value) }.max() ?? 0)
        case .array(let values): 1 + (values.map(depth).max() ?? 0)
        default: 0
        }
    }

    private static func bytes(of payload: JSONObject, _ slot: vector_slot) throws -> [UInt8] {
        let bytes = JSONValue.object(payload).serializedBytes(keepingPoints: true)
        guard bytes.count <= EmbeddedCollection.maximumPayload else {
            throw StoreError.wrongInput(
                "payload of \(bytes.count) bytes is over the limit of \(EmbeddedCollection.maximumPayload) (id \(PointID(slot)))"
            )
        }
        return bytes
    }
}
