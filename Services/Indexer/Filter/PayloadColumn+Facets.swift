import WireProtocol

extension PayloadColumn {
    /// How many slots of `mask` have each value: the most frequent first, then false, true, integers and texts in ascending order.
    ///
    /// `kind`: of a keyword, integer, bool or uuid index the values of its kind count (UUIDs in whatever way they are written);
    /// without one of these, all texts, integers and booleans.
    func facets(
        in mask: Bitmap, limit: Int, kind: PayloadSchema.Index.Kind?, in snapshot: Snapshot
    ) throws -> [FacetHit] {
        let selective: Set<PayloadSchema.Index.Kind> = [.keyword, .integer, .bool, .uuid]
        func counts(_ wanted: PayloadSchema.Index.Kind) -> Bool {
            kind.map { $0 == wanted || !selective.contains($0) } ?? true
        }
        let long = try LongTexts(extractor, in: snapshot)
        return try with(snapshot) { current in
            let state = current
            var best = Smallest<Facet>(limit) { $0.precedes($1, in: state) }
            if counts(.bool) {
                for (flag, set) in [(false, state.falses), (true, state.trues)] {
                    var rows = set.bitmap(of: mask.count)
                    rows.formIntersection(mask)
                    let count = rows.population
                    if count > 0 { best.insert(Facet(count: count, value: .bool(flag))) }
                }
            }
            if counts(.integer) {
                for (value, count) in state.integers.tally(in: mask) {
                    best.insert(Facet(count: count, value: .integer(value)))
                }
            }
            if kind == .uuid {
                for (id, count) in state.uuids().tally(in: mask) {
                    best.insert(Facet(count: count, value: .uuid(id)))
                }
            } else if counts(.keyword) {
                let tally = state.texts.tallyOrdinals(in: mask, of: state.dictionary.count)
                for (ordinal, count) in tally.enumerated() where count > 0 {
                    best.insert(Facet(count: count, value: .text(ordinal)))
                }
            }
            return best.sorted.map { facet in
                FacetHit(
                    value: facet.json(in: state) { long.text($0, of: state) },
                    count: facet.count)
            }
        }
    }
}

private struct Facet {
    enum Value {
        case bool(Bool)
        case integer(Int64)
        case uuid(PointID)
        /// Its number in the dictionary.
        case text(Int)
        var rank: Int {
            switch self {
            case .bool: 0
            case .integer: 1
            case .uuid: 2
            case .text: 3
            }
        }
    }
    var count: Int
    var value: Value

    func precedes(_ other: Facet, in state: PayloadColumn.State) -> Bool {
        if count != other.count { return count > other.count }
        switch (value, other.value) {
        case (.bool(let left), .bool(let right)): return !left && right
        case (.integer(let left), .integer(let right)): return left < right
        case (.uuid(let left), .uuid(let right)): return left < right
        case (.text(let left), .text(let right)): return state.dictionary.precedes(left, right)
        default: return value.rank < other.value.rank
        }
    }

    func json(in state: PayloadColumn.State, long: (Int) -> [UInt8]) -> JSONValue {
        switch value {
        case .bool(let flag): return .bool(flag)
        case .integer(let number): return .integer(number)
        case .uuid(let id): return id.json
        case .text(let ordinal):
            let text = state.dictionary.withText(ordinal) { String(decoding: $0, as: UTF8.self) }
            return .string(text ?? String(decoding: long(ordinal), as: UTF8.self))
        }
    }
}

extension PayloadColumn.State {
    fileprivate func uuids() -> PayloadColumn.Pairs<PointID> {
        let ids = (0..<dictionary.count).map { ordinal in
            dictionary.withText(ordinal) { PointID(uuid: String(decoding: $0, as: UTF8.self)) } ?? nil
        }
        var pairs = PayloadColumn.Pairs<PointID>()
        for (row, ordinal) in zip(texts.rows, texts.values) {
            if let id = ids[Int(ordinal)] { pairs.append(id, in: Int(row)) }
        }
        return pairs
    }
}

extension PayloadColumn.Pairs where Value: Comparable {
    /// How many rows of `mask` have each value; a value that a row has twice counts once.
    fileprivate func tally(in mask: Bitmap) -> [(value: Value, count: Int)] {
        var found: [(value: Value, row: UInt32)] = []
        for (row, value) in zip(rows, values) where row < mask.count && mask[Int(row)] { found.append((value, row)) }
        found.sort { ($0.value, $0.row) < ($1.value, $1.row) }
        var tally: [(value: Value, count: Int)] = []
        var lastRow: UInt32?
        for (value, row) in found {
            if tally.last?.value != value {
                tally.append((value, 1))
            } else if row != lastRow {
                tally[tally.count - 1].count += 1
            }
            lastRow = row
        }
        return tally
    }
}

extension PayloadColumn.Pairs<UInt32> {
    /// `tally` of values that are numbered from 0: by number.
    fileprivate func tallyOrdinals(in mask: Bitmap, of count: Int) -> [Int] {
        var counts = [Int](repeating: 0, count: count)
        var lastRows = [UInt32](repeating: .max, count: count)
        for (row, value) in zip(rows, values) where row < mask.count && mask[Int(row)] {
            if lastRows[Int(value)] == row { continue }
            lastRows[Int(value)] = row
            counts[Int(value)] += 1
        }
        return counts
    }
}
