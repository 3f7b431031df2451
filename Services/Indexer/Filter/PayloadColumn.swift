import CVectorKernel
import Synchronization

/// The values at one path of all rows, by kind: texts numbered in a dictionary, integers, numbers, places, and sets of rows for what
/// has no value to compare. A row is a payload, or an object in an array (`PayloadExtractor.arrays`).
///
/// Slots never change, so a column reads each of them once; what was appended since is read when it is next asked for.
final class PayloadColumn: Sendable {
    /// Parallel arrays, ascending by row; an array of the payload gives one pair for each element.
    struct Pairs<Value> {
        private(set) var rows: [UInt32] = []
        private(set) var values: [Value] = []
        var memory: Int { rows.capacity * 4 + values.capacity * MemoryLayout<Value>.stride }
        mutating func append(_ value: Value, in row: Int) {
            rows.append(UInt32(row))
            values.append(value)
        }
    }
    struct State {
        /// Slots read so far, and the rows in them; of arrays in arrays, the outer rows too.
        var slots = 0
        var rows = 0
        var outerRows = 0
        /// Of a column that is only rows: which outer row, or slot, each is in.
        var parents: [UInt32] = []
        var dictionary = StringDictionary()
        /// By their number in the dictionary.
        var texts = Pairs<UInt32>()
        var integers = Pairs<Int64>()
        var numbers = Pairs<Double>()
        var places = Pairs<GeoPoint>()
        var trues = RowSet()
        var falses = RowSet()
        /// Objects, and arrays in arrays: only `except` has anything to say about them.
        var others = RowSet()
        /// Something that is neither null nor an empty array.
        var filled = RowSet()
        var null = RowSet()
        /// What `values_count` sees: `present` where there is anything, `single` where that counts as one, `counts` for the rest.
        var present = RowSet()
        var single = RowSet()
        var counts = Pairs<UInt32>()
        /// Beside the dictionary, once a range of dates was asked for; `Int64.min`: no date.
        var dates: [Int64] = []
        /// Once words were asked for, by the rule of the last time.
        var wordIndex: WordIndex?
        /// The texts have so many words that they are read anew for each query instead.
        var hasTooManyWords = false
    }
    let extractor: PayloadExtractor
    /// Units: bytes.
    let wordLimit: Int
    private let state = Mutex(State())
    private let size = Atomic<Int>(0)

    init(_ extractor: PayloadExtractor, wordLimit: Int = 96 << 20) {
        self.extractor = extractor
        self.wordLimit = wordLimit
    }

    /// Units: bytes, as of the last use.
    var memory: Int { size.load(ordering: .relaxed) }

    /// The column up to date with `snapshot`, at the least.
    func with<R: Sendable>(_ snapshot: Snapshot, _ body: (inout State) throws -> R) throws -> R {
        try state.withLock { state in
            if state.slots < snapshot.count { try read(snapshot, into: &state) }
            defer { size.store(state.memory, ordering: .relaxed) }
            return try body(&state)
        }
    }

    private func read(_ snapshot: Snapshot, into state: inout State) throws {
        let parser = try extractor.makeParser()
        let innermost = extractor.arrays.count - 1
        for slot in state.slots..<snapshot.count {
            // A slot that died before it was read may still be live in another reader's moment: all are read.
            var reader = RowReader(slot: slot, row: innermost < 0 ? slot : state.rows - 1)
            parser.read(snapshot.view.payload(of: slot)) { node in
                guard case .row(let level) = node else { return reader.take(node, into: &state) }
                if level == innermost {
                    if extractor.path == nil {
                        state.parents.append(UInt32(innermost == 0 ? slot : state.outerRows - 1))
                    }
                    reader = RowReader(slot: slot, row: state.rows)
                    state.rows += 1
                } else if level == innermost - 1 {
                    state.outerRows += 1
                }
            }
        }
        state.slots = snapshot.count
        if innermost < 0 { state.rows = snapshot.count }
    }

    /// Texts that the dictionary does not hold, read again from the payloads where they were seen first.
    final class LongTexts {
        private let parser: PayloadExtractor.Parser
        private let snapshot: Snapshot
        /// Those of the payload that was read last: texts of one payload are asked for one after the other.
        private var slot: Int?
        private var texts: [UInt32: [UInt8]] = [:]

        init(_ extractor: PayloadExtractor, in snapshot: Snapshot) throws {
            parser = try extractor.makeParser()
            self.snapshot = snapshot
        }

        func text(_ ordinal: Int, of state: State) -> [UInt8] {
            let wanted = state.dictionary.slot(ofLong: ordinal)
            if slot != wanted {
                (slot, texts) = (wanted, [:])
                parser.read(snapshot.view.payload(of: wanted)) { node in
                    guard case .text(let text) = node, text.count > StringDictionary.longest,
                        let found = state.dictionary.find(text)
                    else { return }
                    texts[found] = Array(text)
                }
            }
            return texts[UInt32(ordinal)] ?? []
        }
    }
}

/// Sorts the nodes of one row into the column.
private struct RowReader {
    let slot: Int
    let row: Int
    /// Elements of the array at hand that are still to come.
    private var elements = 0
    init(slot: Int, row: Int) {
        self.slot = slot
        self.row = row
    }

    mutating func take(_ node: PayloadNode, into state: inout PayloadColumn.State) {
        let isElement = elements > 0
        if isElement { elements -= 1 } else { count(node, into: &state) }
        switch node {
        case .null:
            state.null.insert(row)
            if isElement { state.filled.insert(row) }
            return
        case .array(let count):
            elements = count
            return
        case .bool(true): state.trues.insert(row)
        case .bool(false): state.falses.insert(row)
        case .integer(let value): state.integers.append(value, in: row)
        case .unsigned(let value): state.numbers.append(Double(value), in: row)
        case .number(let value): state.numbers.append(value, in: row)
        case .text(let text): state.texts.append(state.dictionary.ordinal(of: text, in: slot), in: row)
        case .place(let place):
            state.places.append(place, in: row)
            state.others.insert(row)
        case .other: state.others.insert(row)
        case .row: preconditionFailure("the caller begins rows")
        }
        state.filled.insert(row)
    }

    private func count(_ node: PayloadNode, into state: inout PayloadColumn.State) {
        state.present.insert(row)
        switch node {
        case .null: state.counts.append(0, in: row)
        case .array(let count): state.counts.append(UInt32(count), in: row)
        default: state.single.insert(row)
        }
    }
}

extension PayloadColumn.State {
    var memory: Int {
        let sets = [trues, falses, others, filled, null, present, single].reduce(0) { $0 + $1.memory }
        let pairs = texts.memory + integers.memory + numbers.memory + places.memory + counts.memory
        return dictionary.memory + sets + pairs + dates.capacity * 8 + parents.capacity * 4
            + (wordIndex?.memory ?? 0)
    }
}
