/// The points as one request changes them, before anybody else sees it.
struct PendingPoints {
    private let index: PointIndex
    /// Where changed points are; `nil`: deleted.
    private var changed: [PointID: Int?] = [:]
    private var placements: [PointIndex.Placement] = []
    /// The index's moment with the first `shown` placements, and where the points of these are in it.
    private var snapshot: Snapshot?
    private var shown = 0
    private var shownSlots: [PointID: Int?] = [:]

    init(_ index: PointIndex) { self.index = index }

    mutating func place(_ placement: PointIndex.Placement) {
        changed[placement.id] = .some(placement.slot)
        placements.append(placement)
    }

    func slots(of ids: [PointID]) -> [Int?] {
        let slots = index.slots(of: ids)
        if changed.isEmpty { return slots }
        return zip(ids, slots).map { id, slot in changed[id] ?? slot }
    }

    /// A moment, and where these points are in it (missing ones are left out).
    mutating func moment(of segment: Segment, locating ids: some Collection<PointID>) -> (
        snapshot: Snapshot, slots: [PointID: Int]
    ) {
        if placements.isEmpty { return index.snapshot(locating: ids) }
        var moment = snapshot ?? index.snapshot
        snapshot = nil  // so that `moment` is changed in place
        moment.grow(to: segment.count, segment.view)
        let new = placements[shown...]
        for (placement, stored) in zip(new, index.slots(of: new.map(\.id))) {
            if let slot = shownSlots[placement.id] ?? stored { moment.clear(slot) }
            if let slot = placement.slot { moment.show(slot, vectors: placement.vectors) }
            shownSlots[placement.id] = .some(placement.slot)
        }
        shown = placements.count
        snapshot = moment
        var slots: [PointID: Int] = [:]
        for (id, slot) in zip(ids, self.slots(of: Array(ids))) { slots[id] = slot }
        return (moment, slots)
    }

    /// Shows everything at once.
    func publish(_ segment: Segment, sequence: UInt64) {
        index.publish(placements, view: segment.view, count: segment.count, sequence: sequence)
    }
}
