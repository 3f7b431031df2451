import Synchronization

/// Makes sparse vectors of records and queries, and marks what a query found. One for a process: it remembers the words it has seen.
package final class LexicalAnalyzer: Sendable {
    /// Terms ascending, without repetition, each with its weight.
    package struct Terms: Sendable, Equatable {
        package var indices: [UInt32] = []
        package var values: [Float] = []
        package init(indices: [UInt32] = [], values: [Float] = []) {
            self.indices = indices
            self.values = values
        }
    }

    struct State {
        let lexicon = Lexicon()
        var tokenizer = Tokenizer()
        var record = RecordSink()
        private var kinds: [String: FieldKind] = [:]

        /// Remembered for the few names that records repeat.
        mutating func kind(of field: String) -> FieldKind {
            if let kind = kinds[field] { return kind }
            let kind = FieldKind(field)
            if kinds.count < 4096 { kinds[field] = kind }
            return kind
        }
    }
    let weighting: Weighting
    let state = Mutex(State())

    package init(weighting: Weighting = .standard) { self.weighting = weighting }
}
