import CVectorKernel
import Foundation

extension PayloadColumn {
    /// Of the first `rows` rows those with a value that fits.
    func rows(
        matching predicate: Filter.Predicate, rule: TextRule, of rows: Int, in snapshot: Snapshot
    ) throws -> Bitmap {
        try with(snapshot) { state in
            switch predicate {
            case .equals(let value): return state.rows(equalTo: [value], of: rows)
            case .any(let values): return state.rows(equalTo: values, of: rows)
            case .except(let values): return state.rows(except: values, of: rows)
            case .range(let bounds): return state.rows(between: bounds, of: rows)
            case .geo(let area):
                let bounds = area.bounds
                var result = Bitmap(count: rows)
                result.insert(state.places) { bounds.contain($0) && area.contains($0) }
                return result
            case .valuesCount(let bounds): return state.rows(counting: bounds, of: rows)
            case .dates(let bounds):
                readDates(&state)
                return state.rows(withTexts: state.dates.map { $0 != .min && bounds.contains($0) ? 1 : 0 }, of: rows)
            case .words(let query, let match):
                let accepted = try texts(withWordsOf: query, match, rule: rule, of: &state, in: snapshot)
                return state.rows(withTexts: accepted, of: rows)
            case .prefix(let prefix):
                let prefix = Array(prefix.utf8)
                let accepted = try self.texts(of: state, in: snapshot) { text in
                    text.count >= prefix.count
                        && (prefix.isEmpty || memcmp(text.baseAddress!, prefix, prefix.count) == 0)
                }
                return state.rows(withTexts: accepted, of: rows)
            case .substring(let part):
                let part = Array(part.utf8)
                let accepted = try self.texts(of: state, in: snapshot) { text in
                    vector_has_bytes(text.baseAddress, text.count, part, part.count) == 1
                }
                return state.rows(withTexts: accepted, of: rows)
            }
        }
    }

    func emptyRows(of rows: Int, in snapshot: Snapshot) throws -> Bitmap {
        try with(snapshot) { state in
            var empty = state.filled.bitmap(of: rows)
            empty.invert()
            return empty
        }
    }
    func nullRows(of rows: Int, in snapshot: Snapshot) throws -> Bitmap {
        try with(snapshot) { $0.null.bitmap(of: rows) }
    }

    /// Of a column that is only rows: the outer row, or slot, of each row that lies in the first `outerRows`.
    func parents(in outerRows: Int, of snapshot: Snapshot) throws -> ArraySlice<UInt32> {
        try with(snapshot) { state in
            var (low, high) = (0, state.parents.count)
            while low < high {
                let middle = (low + high) / 2
                if state.parents[middle] < outerRows { low = middle + 1 } else { high = middle }
            }
            return state.parents[..<low]
        }
    }

    /// No date is as long as a long text.
    func readDates(_ state: inout State) {
        for ordinal in state.dates.count..<state.dictionary.count {
            let date = state.dictionary.withText(ordinal) { PayloadDate.microseconds($0) } ?? nil
            state.dates.append(date ?? .min)
        }
    }
    private func texts(
        withWordsOf query: String, _ match: Filter.WordMatch, rule: TextRule, of state: inout State,
        in snapshot: Snapshot
    ) throws -> [UInt8] {
        if let index = try wordIndex(rule, of: &state, in: snapshot) { return index.matches(query, match) }
        return try texts(of: state, in: snapshot) { text in
            var one = WordIndex(rule)
            one.append(text)
            return one.matches(query, match)[0] == 1
        }
    }
    private func wordIndex(_ rule: TextRule, of state: inout State, in snapshot: Snapshot) throws -> WordIndex? {
        var index = state.wordIndex.flatMap { $0.rule == rule ? $0 : nil } ?? WordIndex(rule)
        state.wordIndex = nil
        let long = try LongTexts(extractor, in: snapshot)
        for ordinal in index.texts..<state.dictionary.count where !state.hasTooManyWords {
            if state.dictionary.withText(ordinal, { index.append($0) }) == nil {
                long.text(ordinal, of: state).withUnsafeBufferPointer { index.append($0) }
            }
            state.hasTooManyWords = index.memory > wordLimit
        }
        if !state.hasTooManyWords { state.wordIndex = index }
        return state.wordIndex
    }
    private func texts(
        of state: State, in snapshot: Snapshot, where test: (UnsafeBufferPointer<UInt8>) -> Bool
    ) throws -> [UInt8] {
        let long = try LongTexts(extractor, in: snapshot)
        return (0..<state.dictionary.count).map { ordinal in
            let isAccepted =
                state.dictionary.withText(ordinal, test) ?? long.text(ordinal, of: state).withUnsafeBufferPointer(test)
            return isAccepted ? 1 : 0
        }
    }
}

extension PayloadColumn.State {
    fileprivate func rows(equalTo values: [Scalar], of count: Int) -> Bitmap {
        var result = Bitmap(count: count)
        var ordinals: [UInt32] = []
        var wanted: Set<Int64> = []
        for value in values {
            switch value {
            case .string(var text): if let ordinal = text.withUTF8(dictionary.find) { ordinals.append(ordinal) }
            case .integer(let number): wanted.insert(number)
            case .bool(let flag): result.formUnion((flag ? trues : falses).bitmap(of: count))
            }
        }
        if let only = ordinals.first, ordinals.count == 1 {
            result.insert(texts) { $0 == only }
        } else if !ordinals.isEmpty {
            var accepted = [UInt8](repeating: 0, count: dictionary.count)
            for ordinal in ordinals { accepted[Int(ordinal)] = 1 }
            insert(textsAccepted: accepted, into: &result)
        }
        if let only = wanted.first, wanted.count == 1 {
            result.insert(integers) { $0 == only }
        } else if !wanted.isEmpty {
            result.insert(integers) { wanted.contains($0) }
        }
        return result
    }

    fileprivate func rows(except values: [Scalar], of count: Int) -> Bitmap {
        var result = others.bitmap(of: count)
        var accepted = [UInt8](repeating: 1, count: dictionary.count)
        var excluded: Set<Int64> = []
        var (withTrue, withFalse) = (true, true)
        for value in values {
            switch value {
            case .string(var text): if let ordinal = text.withUTF8(dictionary.find) { accepted[Int(ordinal)] = 0 }
            case .integer(let number): excluded.insert(number)
            case .bool(true): withTrue = false
            case .bool(false): withFalse = false
            }
        }
        if withTrue { result.formUnion(trues.bitmap(of: count)) }
        if withFalse { result.formUnion(falses.bitmap(of: count)) }
        insert(textsAccepted: accepted, into: &result)
        result.insert(integers) { !excluded.contains($0) }
        result.insert(numbers) { _ in true }
        return result
    }

    fileprivate func rows(between bounds: Filter.Bounds<Double>, of count: Int) -> Bitmap {
        var result = Bitmap(count: count)
        let low = bounds.atLeast ?? -.infinity, high = bounds.atMost ?? .infinity
        let above = bounds.above ?? -.infinity, below = bounds.below ?? .infinity
        // A payload's number is finite: without a bound `>` and `<` hold for all.
        func isInside(_ value: Double) -> Bool { value >= low && value <= high && value > above && value < below }
        result.insert(integers) { isInside(Double($0)) }
        result.insert(numbers, where: isInside)
        return result
    }

    fileprivate func rows(counting bounds: Filter.Bounds<Int64>, of count: Int) -> Bitmap {
        var result = Bitmap(count: count)
        if bounds.contains(0) {  // nothing there counts as 0
            result = present.bitmap(of: count)
            result.invert()
        }
        if bounds.contains(1) { result.formUnion(single.bitmap(of: count)) }
        result.insert(counts) { bounds.contains(Int64($0)) }
        return result
    }

    fileprivate func rows(withTexts accepted: [UInt8], of count: Int) -> Bitmap {
        var result = Bitmap(count: count)
        insert(textsAccepted: accepted, into: &result)
        return result
    }
    private func insert(textsAccepted accepted: [UInt8], into result: inout Bitmap) {
        let count = UInt32(result.count)
        _ = result.withUnsafeMutableWords { words in
            vector_match_ordinals(texts.rows, texts.values, texts.rows.count, accepted, count, words)
        }
    }
}

extension Bitmap {
    /// The rows below `count` of the pairs whose value fits.
    @inline(__always)
    fileprivate mutating func insert<Value>(_ pairs: PayloadColumn.Pairs<Value>, where fits: (Value) -> Bool) {
        let count = UInt32(self.count)
        _ = withUnsafeMutableWords { words in
            pairs.rows.withUnsafeBufferPointer { rows in
                pairs.values.withUnsafeBufferPointer { values in
                    for index in rows.indices {
                        if rows[index] >= count { break }
                        if fits(values[index]) { words[Int(rows[index] >> 6)] |= 1 << UInt64(rows[index] & 63) }
                    }
                }
            }
        }
    }
}
