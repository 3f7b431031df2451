/// Evaluates a filter for a moment of a collection: each condition to a set of slots, and these to one.
struct FilterEvaluation {
    let snapshot: Snapshot
    /// Where the points of `filter.ids` are.
    let located: [PointID: Int]
    var vectorNames: [String] = [""]

    /// The live slots that match.
    func matches(_ filter: Filter) throws -> Bitmap {
        var result = snapshot.live
        try narrow(&result, by: filter)
        return result
    }

    private func narrow(_ result: inout Bitmap, by filter: Filter) throws {
        for condition in filter.must { result.formIntersection(try slots(condition)) }
        for condition in filter.mustNot { result.subtract(try slots(condition)) }
        if !filter.should.isEmpty {
            var any = Bitmap(count: snapshot.count)
            for condition in filter.should { any.formUnion(try slots(condition)) }
            result.formIntersection(any)
        }
        if let (conditions, count) = filter.minShould {
            let sets = try conditions.map(slots)
            var enough = Bitmap(count: snapshot.count)
            result.forEachSlot { slot in
                if sets.count(where: { $0[slot] }) >= count { enough[slot] = true }
            }
            result = enough
        }
    }

    private func slots(_ condition: Filter.Condition) throws -> Bitmap {
        switch condition {
        case .field(let path, let predicate):
            return try snapshot.columns.column(path).slots(matching: predicate, in: snapshot)
        case .isEmpty(let path): return try snapshot.columns.column(path).emptySlots(in: snapshot)
        case .isNull(let path): return try snapshot.columns.column(path).nullSlots(in: snapshot)
        case .hasID(let ids):
            var set = Bitmap(count: snapshot.count)
            for id in ids { if let slot = located[id] { set[slot] = true } }
            return set
        case .hasVector(let name):
            guard let position = vectorNames.firstIndex(of: name) else { return Bitmap(count: snapshot.count) }
            return snapshot.present[position]
        case .filter(let filter):
            var set = Bitmap(count: snapshot.count, filled: true)
            try narrow(&set, by: filter)
            return set
        }
    }
}
