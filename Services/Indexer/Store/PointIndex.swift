import Synchronization

/// What a reader sees: a moment of a collection. Later writes do not change it, and it does not hold them up.
struct Snapshot: Sendable {
    var view = SegmentView()
    /// Slots, dead ones included.
    var count = 0
    var live = Bitmap(count: 0)
    /// For each vector, by position: the live slots that have it.
    var present: [Bitmap]
    var liveCount = 0
    var sequence: UInt64 = 0
    var columns = PayloadColumns()
    var schema = PayloadSchema()

    init(vectors: Int) { present = Array(repeating: Bitmap(count: 0), count: vectors) }
}

/// Which slot holds which point, and which slots are live: the part of a collection that a write replaces at once.
final class PointIndex: Sendable {
    struct Placement {
        var id: PointID
        /// `nil`: deleted.
        var slot: Int?
        /// Bit i: the slot has the i-th vector.
        var vectors: UInt64 = 0
    }
    private struct State {
        var snapshot: Snapshot
        var slots: [PointID: UInt32] = [:]
    }
    private let state: Mutex<State>

    init(vectors: Int) { state = Mutex(State(snapshot: Snapshot(vectors: vectors))) }

    var snapshot: Snapshot { state.withLock { $0.snapshot } }
    var pointCount: Int { state.withLock { $0.snapshot.liveCount } }

    /// A moment, and where these points are in it (missing ones are left out).
    func snapshot(locating ids: some Collection<PointID>) -> (snapshot: Snapshot, slots: [PointID: Int]) {
        state.withLock { state in
            var slots: [PointID: Int] = [:]
            for id in ids { if let slot = state.slots[id] { slots[id] = Int(slot) } }
            return (state.snapshot, slots)
        }
    }

    func slots(of ids: [PointID]) -> [Int?] {
        state.withLock { state in ids.map { state.slots[$0].map(Int.init) } }
    }

    /// Shows new slots, which lie in `view` up to `count`. Only the collection's writer calls this.
    func publish(_ placements: [Placement], view: SegmentView, count: Int, sequence: UInt64) {
        state.withLock { state in
            state.snapshot.grow(to: count, view)
            state.snapshot.sequence = sequence
            for placement in placements {
                let old =
                    if let slot = placement.slot {
                        state.slots.updateValue(UInt32(slot), forKey: placement.id)
                    } else {
                        state.slots.removeValue(forKey: placement.id)
                    }
                if let old { state.snapshot.clear(Int(old)) }
                if let slot = placement.slot { state.snapshot.show(slot, vectors: placement.vectors) }
            }
        }
    }

    /// A vector came or went: those that are gone are no slot's.
    func setVectors(_ view: SegmentView, positions: Int) {
        state.withLock { state in
            state.snapshot.view = view
            for position in 0..<positions {
                let none = Bitmap(count: state.snapshot.count)
                if position == state.snapshot.present.count {
                    state.snapshot.present.append(none)
                } else if !view.has(position) {
                    state.snapshot.present[position] = none
                }
            }
        }
    }

    /// After a load: everything at once, but the payload indexes.
    func replace(_ snapshot: Snapshot, slots: [PointID: UInt32]) {
        state.withLock { state in
            let schema = state.snapshot.schema
            state = State(snapshot: snapshot, slots: slots)
            state.snapshot.schema = schema
        }
    }
    /// The same points in another segment.
    func adopt(_ compaction: Compaction, positions: Int) {
        state.withLock { state in
            var snapshot = compaction.snapshot
            snapshot.grow(to: compaction.segment.count, compaction.segment.view)
            snapshot.sequence = state.snapshot.sequence
            snapshot.schema = state.snapshot.schema
            for position in 0..<positions {
                let none = Bitmap(count: snapshot.count)
                if position == snapshot.present.count {
                    snapshot.present.append(none)
                } else if !snapshot.view.has(position) {
                    snapshot.present[position] = none
                }
            }
            state = State(snapshot: snapshot, slots: compaction.slots)
        }
    }
}

extension Snapshot {
    mutating func grow(to newCount: Int, _ newView: SegmentView) {
        view = newView
        count = newCount
        live.grow(to: newCount)
        for vector in present.indices { present[vector].grow(to: newCount) }
    }
    mutating func clear(_ slot: Int) {
        guard live[slot] else { return }
        live[slot] = false
        liveCount -= 1
        for vector in present.indices { present[vector][slot] = false }
    }
    mutating func show(_ slot: Int, vectors: UInt64) {
        live[slot] = true
        liveCount += 1
        for column in view.columns where vectors >> UInt64(column.position) & 1 == 1 {
            present[column.position][slot] = true
        }
    }
}
