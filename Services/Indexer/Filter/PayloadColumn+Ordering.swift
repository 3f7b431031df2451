extension PayloadColumn {
    struct Ordered: Sendable {
        var slot: Int
        var value: OrderValue
    }

    /// The first `limit` slots of `mask` by the values here, one entry for each value of a slot; equal values in the order of ids.
    /// Descending is the same order backwards. `start`: no value before it.
    ///
    /// `kind`: of an integer index only integers count, of a float index all numbers, of a datetime index dates; without one of
    /// these, all of them.
    func ordered(
        _ mask: Bitmap, descending: Bool, from start: OrderValue?, limit: Int, kind: PayloadSchema.Index.Kind?,
        in snapshot: Snapshot
    ) throws -> [Ordered] {
        func precedes(_ left: OrderValue, _ right: OrderValue) -> Bool { descending ? right < left : left < right }
        var first = Smallest<Ordered>(limit) { left, right in
            if precedes(left.value, right.value) { return true }
            if precedes(right.value, left.value) || left.slot == right.slot { return false }
            let (one, other) = (PointID(snapshot.view.slot(left.slot)), PointID(snapshot.view.slot(right.slot)))
            return descending ? other < one : one < other
        }
        // The values that the slot at hand has shown.
        var (slot, shown): (Int, Set<OrderValue>) = (-1, [])
        func insert(_ value: OrderValue, in row: UInt32) {
            let row = Int(row)
            guard row < mask.count, mask[row] else { return }
            if let start, precedes(value, start) { return }
            if row != slot { (slot, shown) = (row, []) }
            if shown.insert(value).inserted { first.insert(Ordered(slot: row, value: value)) }
        }
        return try with(snapshot) { state in
            if kind != .datetime {
                for (row, value) in zip(state.integers.rows, state.integers.values) {
                    insert(kind == .float ? .number(Double(value)) : .integer(value), in: row)
                }
            }
            if kind != .datetime, kind != .integer {
                for (row, value) in zip(state.numbers.rows, state.numbers.values) { insert(.number(value), in: row) }
            }
            if kind != .float, kind != .integer {
                readDates(&state)
                for (row, ordinal) in zip(state.texts.rows, state.texts.values) {
                    let date = state.dates[Int(ordinal)]
                    if date != .min { insert(.integer(date), in: row) }
                }
            }
            return first.sorted
        }
    }
}
