import CSimdjson
import CVectorKernel
import FastJSON
import Synchronization

/// The columns of one segment, made when a filter first asks for a path and read on from there: slots never change, so a column
/// only has to look at what was appended since.
final class PayloadColumns: Sendable {
    private let columns = Mutex<[(path: PayloadPath, column: PayloadColumn)]>([])
    /// The one that was not used for longest goes first.
    static let limit = 64

    func column(_ path: PayloadPath) -> PayloadColumn {
        columns.withLock { columns in
            let entry =
                if let found = columns.firstIndex(where: { $0.path == path }) {
                    columns.remove(at: found)
                } else {
                    (path: path, column: PayloadColumn(path))
                }
            columns.append(entry)
            if columns.count > Self.limit { columns.removeFirst() }
            return entry.column
        }
    }
}

/// The values at one path of all payloads: pairs of slot and value, the values numbered in a dictionary.
///
/// A condition is decided once for each distinct value; then one pass over the pairs gives the slots.
final class PayloadColumn: Sendable {
    private struct State {
        /// Slots read so far.
        var count = 0
        var values: [Scalar] = []
        /// Beside `values`: the number, or NaN, which no range holds.
        var numbers: [Double] = []
        var ordinals: [Scalar: UInt32] = [:]
        /// Parallel arrays, ascending by slot; an array gives one pair for each element.
        var pairSlots: [UInt32] = []
        var pairOrdinals: [UInt32] = []
        /// Payload has something here that is neither null nor an empty list.
        var filled = Bitmap(count: 0)
        var null = Bitmap(count: 0)
        /// Pairs of slot and what `values_count` sees there, and the slots that have such a pair.
        var countSlots: [UInt32] = []
        var counts: [UInt32] = []
        var counted = Bitmap(count: 0)
    }
    private let extractor: PayloadExtractor
    private let state = Mutex(State())

    init(_ path: PayloadPath) { extractor = PayloadExtractor(path) }

    func slots(matching predicate: Filter.Predicate, in snapshot: Snapshot) throws -> Bitmap {
        try state.withLock { state in
            try read(snapshot, &state)
            if case .valuesCount(let bounds) = predicate { return Self.slots(counting: bounds, state, snapshot.count) }
            var words = [UInt64](repeating: 0, count: (snapshot.count + 63) / 64)
            let accepted = Self.accepted(by: predicate, state)
            words.withUnsafeMutableBufferPointer { words in
                state.pairSlots.withUnsafeBufferPointer { slots in
                    state.pairOrdinals.withUnsafeBufferPointer { ordinals in
                        accepted.withUnsafeBufferPointer { accepted in
                            vector_match_ordinals(
                                slots.baseAddress, ordinals.baseAddress, slots.count, accepted.baseAddress,
                                UInt32(snapshot.count), words.baseAddress)
                        }
                    }
                }
            }
            return Bitmap(count: snapshot.count, words: words)
        }
    }

    func emptySlots(in snapshot: Snapshot) throws -> Bitmap {
        try state.withLock { state in
            try read(snapshot, &state)
            var empty = Self.cut(state.filled, to: snapshot.count)
            empty.invert()
            return empty
        }
    }
    func nullSlots(in snapshot: Snapshot) throws -> Bitmap {
        try state.withLock { state in
            try read(snapshot, &state)
            return Self.cut(state.null, to: snapshot.count)
        }
    }

    private static func slots(counting bounds: Filter.Bounds<Double>, _ state: State, _ count: Int) -> Bitmap {
        var slots = cut(state.counted, to: count)
        slots.invert()  // nothing there counts as 0
        if !bounds.contains(0) { slots = Bitmap(count: count) }
        for (slot, values) in zip(state.countSlots, state.counts) where slot < count && bounds.contains(Double(values))
        {
            slots[Int(slot)] = true
        }
        return slots
    }

    private static func cut(_ bitmap: Bitmap, to count: Int) -> Bitmap {
        Bitmap(count: count, words: Array(bitmap.words.prefix((count + 63) / 64)))
    }

    private static func accepted(by predicate: Filter.Predicate, _ state: State) -> [UInt8] {
        var accepted = [UInt8](repeating: 0, count: state.values.count)
        func look(_ wanted: [Scalar]) {
            for value in wanted { if let ordinal = state.ordinals[value] { accepted[Int(ordinal)] = 1 } }
        }
        func decide(_ rule: (Scalar) -> Bool) {
            for (ordinal, value) in state.values.enumerated() where rule(value) { accepted[ordinal] = 1 }
        }
        switch predicate {
        case .equals(let value): look([value])
        case .any(let values): look(values)
        case .except(let values):
            let excluded = Set(values)
            decide { !excluded.contains($0) }
        case .words(let text):
            let matcher = WordMatcher(text)
            decide { value in
                guard case .string(let string) = value else { return false }
                return matcher.matches(string)
            }
        case .range(let bounds):
            let low = bounds.atLeast ?? -.infinity, high = bounds.atMost ?? .infinity
            let above = bounds.above ?? -.infinity, below = bounds.below ?? .infinity
            let (hasAbove, hasBelow) = (bounds.above != nil, bounds.below != nil)
            for (ordinal, number) in state.numbers.enumerated()
            where number >= low && number <= high && (!hasAbove || number > above) && (!hasBelow || number < below) {
                accepted[ordinal] = 1
            }
        case .dates(let bounds):
            decide { value in
                guard case .string(let text) = value, let date = PayloadDate.microseconds(text) else { return false }
                return bounds.contains(date)
            }
        case .valuesCount: break
        }
        return accepted
    }

    private func read(_ snapshot: Snapshot, _ state: inout State) throws {
        guard state.count < snapshot.count else { return }
        state.filled.grow(to: snapshot.count)
        state.null.grow(to: snapshot.count)
        state.counted.grow(to: snapshot.count)
        let parser = try extractor.makeParser()
        for slot in state.count..<snapshot.count {
            // A slot that died before it was read may still be live in another reader's moment: all are read.
            let payload = snapshot.view.payload(of: slot)
            if payload.count == 0 { continue }
            extractor.read(payload, with: parser) { value in
                switch value {
                case .null: state.null[slot] = true
                case .emptyArray: break
                case .count(let count):
                    state.counted[slot] = true
                    state.countSlots.append(UInt32(slot))
                    state.counts.append(count)
                case .scalar(let scalar):
                    state.filled[slot] = true
                    let ordinal: UInt32
                    if let known = state.ordinals[scalar] {
                        ordinal = known
                    } else {
                        ordinal = UInt32(state.values.count)
                        state.values.append(scalar)
                        state.numbers.append(scalar.number)
                        state.ordinals[scalar] = ordinal
                    }
                    state.pairSlots.append(UInt32(slot))
                    state.pairOrdinals.append(ordinal)
                case .nullElement:
                    state.filled[slot] = true
                    state.null[slot] = true
                }
            }
        }
        state.count = snapshot.count
    }
}
