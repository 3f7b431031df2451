/// Turns changes into slots: the same way for a request and for a record read back at start.
enum PointApplier {
    /// Makes room for what `apply` will append.
    static func reserve(_ changes: [PointChange], in segment: Segment, points: PendingPoints) throws {
        var room = SegmentEnd()
        // A point that comes twice is copied from a slot that is not there yet: the largest of its request stands for it.
        var largest = SegmentEnd()
        var seen = Set<PointID>(minimumCapacity: changes.count)
        let sparse = segment.columns.filter { $0.kind == .sparse }.map(\.position)
        for (change, old) in zip(changes, points.slots(of: changes.map(\.id))) {
            let need = need(of: change, copying: old, in: segment, sparse: sparse)
            largest.payload = max(largest.payload, need.payload)
            for position in sparse {
                largest.sparse[position] = max(largest.sparse[position] ?? 0, need.sparse[position] ?? 0)
            }
            let isRepeated = !seen.insert(change.id).inserted
            room.slots += 1
            room.payload += isRepeated ? largest.payload : need.payload
            for position in sparse {
                room.sparse[position, default: 0] += (isRepeated ? largest : need).sparse[position] ?? 0
            }
        }
        try segment.reserve(room)
    }

    private static func need(
        of change: PointChange, copying old: Int?, in segment: Segment, sparse: [Int]
    ) -> SegmentEnd {
        var need = SegmentEnd()
        func copyRows() {
            guard let old, !sparse.isEmpty else { return }
            let mask = segment.view.slot(old).vectors
            for position in sparse where mask >> UInt64(position) & 1 == 1 {
                need.sparse[position] = SparseColumn.rowBytes(Int(segment.view.sparseRow(position, of: old).count))
            }
        }
        func place(_ vectors: [PlacedVector]) {
            for vector in vectors {
                guard case .sparse(let values) = vector.values else { continue }
                need.sparse[vector.position] = SparseColumn.rowBytes(values.indices.count)
            }
        }
        switch change.effect {
        case .delete: break
        case .upsert(let vectors, let payload):
            place(vectors)
            need.payload = payload.count
        case .payload(let payload):
            copyRows()
            need.payload = payload.count
        case .vectors(let vectors):
            copyRows()
            place(vectors)
            need.payload = old.map { Int(segment.view.slot($0).payload_length) } ?? 0
        case .dropVectors:
            copyRows()
            need.payload = old.map { Int(segment.view.slot($0).payload_length) } ?? 0
        }
        return need
    }

    /// Answers the positions of the changes whose point does not exist although they need one.
    static func apply(
        _ changes: [PointChange], sequence: UInt64, to segment: Segment, points: inout PendingPoints
    ) throws -> [Int] {
        var missing: [Int] = []
        var start = 0
        while start < changes.count {  // a point that comes twice is looked up again after its first change
            var seen = Set<PointID>(minimumCapacity: changes.count - start)
            var end = start
            while end < changes.count, seen.insert(changes[end].id).inserted { end += 1 }
            try applyRun(changes[start..<end], sequence: sequence, to: segment, points: &points, missing: &missing)
            start = end
        }
        return missing
    }

    private static func applyRun(
        _ changes: ArraySlice<PointChange>, sequence: UInt64, to segment: Segment, points: inout PendingPoints,
        missing: inout [Int]
    ) throws {
        let old = points.slots(of: changes.map(\.id))
        let view = segment.view
        let none = [NewSlot.VectorSource](repeating: .absent, count: segment.positions)
        var slots: [NewSlot] = []
        slots.reserveCapacity(changes.count)
        for (position, oldSlot) in zip(changes.indices, old) {
            let change = changes[position]
            var slot = NewSlot(id: change.id, version: sequence, vectors: none, payload: .bytes([]))
            if let oldSlot {
                slot.payload = .copy(of: view, slot: oldSlot)
                let mask = view.slot(oldSlot).vectors
                for column in segment.columns where mask >> UInt64(column.position) & 1 == 1 {
                    slot.vectors[column.position] = .copy(of: view, slot: oldSlot)
                }
            }
            switch change.effect {
            case .delete:
                if oldSlot != nil { points.place(PointIndex.Placement(id: change.id, slot: nil)) }
                continue
            case .upsert(let vectors, let payload):
                slot.vectors = none
                place(vectors, in: &slot, of: segment)
                slot.payload = .bytes(payload)
            case _ where oldSlot == nil:
                missing.append(position)
                continue
            case .payload(let payload): slot.payload = .bytes(payload)
            case .vectors(let vectors): place(vectors, in: &slot, of: segment)
            case .dropVectors(let mask):
                for vector in slot.vectors.indices where mask >> UInt64(vector) & 1 == 1 {
                    slot.vectors[vector] = .absent
                }
            }
            var mask: UInt64 = 0
            for (vector, source) in slot.vectors.enumerated() {
                if case .absent = source { continue }
                mask |= 1 << UInt64(vector)
            }
            points.place(PointIndex.Placement(id: change.id, slot: segment.count + slots.count, vectors: mask))
            slots.append(slot)
        }
        _ = try segment.append(slots)
    }

    /// A vector that the collection has no more is dropped: its deletion came after the change.
    private static func place(_ vectors: [PlacedVector], in slot: inout NewSlot, of segment: Segment) {
        for vector in vectors where segment.view.has(vector.position) {
            slot.vectors[vector.position] = .values(vector.values)
        }
    }
}
