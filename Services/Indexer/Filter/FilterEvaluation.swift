/// Evaluates a filter for a moment of a collection: each condition to a set of rows, and these to one.
struct FilterEvaluation {
    let snapshot: Snapshot
    /// Where the points of `filter.ids` are.
    let located: [PointID: Int]
    /// By position; `nil` where the collection has no such vector any more.
    var vectorNames: [String?] = [""]

    /// The live slots that match.
    func matches(_ filter: Filter) throws -> Bitmap {
        var result = snapshot.live
        try narrow(&result, by: filter, in: Rows(arrays: [], count: snapshot.count))
        return result
    }

    /// What a filter looks at: slots, or the objects of an array.
    private struct Rows {
        /// Outermost first; none for slots.
        var arrays: [PayloadPath]
        var count: Int
        var areSlots: Bool { arrays.isEmpty }

        /// The path of a value as a payload index would name it.
        func path(_ inner: PayloadPath) -> PayloadPath { arrays.reversed().reduce(inner) { $1.elements($0) } }
    }

    private func narrow(_ result: inout Bitmap, by filter: Filter, in rows: Rows) throws {
        for condition in filter.must { result.formIntersection(try matches(condition, in: rows)) }
        for condition in filter.mustNot { result.subtract(try matches(condition, in: rows)) }
        if !filter.should.isEmpty {
            var any = Bitmap(count: rows.count)
            for condition in filter.should { any.formUnion(try matches(condition, in: rows)) }
            result.formIntersection(any)
        }
        if let (conditions, count) = filter.minShould {
            var hits = [UInt32](repeating: 0, count: rows.count)
            for condition in conditions { try matches(condition, in: rows).forEachSlot { hits[$0] += 1 } }
            var enough = Bitmap(count: rows.count)
            result.forEachSlot { row in if hits[row] >= count { enough[row] = true } }
            result = enough
        }
    }

    private func matches(_ condition: Filter.Condition, in rows: Rows) throws -> Bitmap {
        switch condition {
        case .field(let path, let predicate):
            let rule = snapshot.schema.index(rows.path(path))?.rule ?? .standard
            return try snapshot.columns.column(path, in: rows.arrays)
                .rows(matching: predicate, rule: rule, of: rows.count, in: snapshot)
        case .isEmpty(let path):
            return try snapshot.columns.column(path, in: rows.arrays).emptyRows(of: rows.count, in: snapshot)
        case .isNull(let path):
            return try snapshot.columns.column(path, in: rows.arrays).nullRows(of: rows.count, in: snapshot)
        case .nested(let path, let filter): return try matches(filter, inObjectsAt: path, of: rows)
        case .filter(let filter):
            var set = Bitmap(count: rows.count, filled: true)
            try narrow(&set, by: filter, in: rows)
            return set
        case .hasID, .hasVector, .slice:
            // An object in an array has none of these: Qdrant's rule.
            return rows.areSlots ? matches(ofPoint: condition) : Bitmap(count: rows.count)
        }
    }

    private func matches(ofPoint condition: Filter.Condition) -> Bitmap {
        var set = Bitmap(count: snapshot.count)
        switch condition {
        case .hasID(let ids): for id in ids { if let slot = located[id] { set[slot] = true } }
        case .hasVector(let name):
            // A vector that is younger than the snapshot is no point's.
            guard let position = vectorNames.firstIndex(of: name), position < snapshot.present.count else { break }
            set = snapshot.present[position]
        case .slice(let index, let total):
            snapshot.live.forEachSlot { slot in
                if PointSlice.index(of: PointID(snapshot.view.slot(slot)), total: total) == index { set[slot] = true }
            }
        default: break
        }
        return set
    }

    private func matches(_ filter: Filter, inObjectsAt path: PayloadPath, of rows: Rows) throws -> Bitmap {
        let arrays = rows.arrays + [path]
        let parents = try snapshot.columns.column(nil, in: arrays).parents(in: rows.count, of: snapshot)
        var objects = Bitmap(count: parents.count, filled: true)
        try narrow(&objects, by: filter, in: Rows(arrays: arrays, count: parents.count))
        var set = Bitmap(count: rows.count)
        objects.forEachSlot { set[Int(parents[$0])] = true }
        return set
    }
}
