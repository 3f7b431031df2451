import CVectorKernel

/// The words of a column's texts, cut by one rule: for each text the numbers of its words in their order.
struct WordIndex {
    /// Hits are looked at so many at a time.
    private static let run = 1024
    let rule: TextRule
    private var vocabulary = StringDictionary()
    /// Beside the vocabulary: how often each word comes.
    private var frequencies: [UInt32] = []
    private var words: [UInt32] = []
    /// Where each text begins in `words`, and the end of the last.
    private var starts: [Int] = [0]

    init(_ rule: TextRule) { self.rule = rule }

    var texts: Int { starts.count - 1 }
    var memory: Int { vocabulary.memory + frequencies.capacity * 4 + words.capacity * 4 + starts.capacity * 8 }

    mutating func append(_ text: UnsafeBufferPointer<UInt8>) {
        rule.forEachWord(in: text) { word in
            let number = vocabulary.ordinal(of: word, in: 0)
            if Int(number) == frequencies.count { frequencies.append(0) }
            frequencies[Int(number)] += 1
            words.append(number)
        }
        starts.append(words.count)
    }

    /// 1 for each text that matches. A query without words matches none.
    func matches(_ query: String, _ match: Filter.WordMatch) -> [UInt8] {
        var accepted = [UInt8](repeating: 0, count: texts)
        // What each word of the query may be in the texts: itself, or all that begin with it.
        let wanted = rule.queryWords(query).map(numbers)
        switch match {
        case .any:
            let all = Set(wanted.joined())
            if !all.isEmpty { accept(&accepted, among: all) { _ in true } }
        case .all, .phrase:
            guard let rarest = wanted.min(by: { frequency($0) < frequency($1) }), !rarest.isEmpty else { break }
            accept(&accepted, among: rarest) { text in
                match == .all ? hasAll(wanted, in: text) : hasPhrase(wanted, in: text)
            }
        }
        return accepted
    }

    private func numbers(_ word: [UInt8]) -> Set<UInt32> {
        word.withUnsafeBufferPointer { word in
            guard rule.tokenizer == .prefix else { return vocabulary.find(word).map { [$0] } ?? [] }
            return Set(
                (0..<vocabulary.count).filter { number in
                    vocabulary.withText(number) { $0.starts(with: word) } ?? false
                }.map { UInt32($0) })
        }
    }
    private func frequency(_ numbers: Set<UInt32>) -> Int { numbers.reduce(0) { $0 + Int(frequencies[Int($1)]) } }

    private func hasAll(_ wanted: [Set<UInt32>], in text: Int) -> Bool {
        let own = words[starts[text]..<starts[text + 1]]
        if wanted.count < 8 { return wanted.allSatisfy { numbers in own.contains { numbers.contains($0) } } }
        let all = Set(own)
        return wanted.allSatisfy { !$0.isDisjoint(with: all) }
    }
    private func hasPhrase(_ wanted: [Set<UInt32>], in text: Int) -> Bool {
        let (start, end) = (starts[text], starts[text + 1])
        guard end - start >= wanted.count else { return false }
        return (start...(end - wanted.count)).contains { first in
            wanted.indices.allSatisfy { wanted[$0].contains(words[first + $0]) }
        }
    }

    /// Asks `test` about each text that has one of `numbers`, once.
    private func accept(_ accepted: inout [UInt8], among numbers: Set<UInt32>, where test: (Int) -> Bool) {
        var flags = [UInt8](repeating: 0, count: numbers.count == 1 ? 0 : vocabulary.count)
        if let only = numbers.first, numbers.count == 1 {
            visit(&accepted, test) { vector_find_number(words, words.count, only, $0, &$1, Self.run) }
        } else {
            for number in numbers { flags[Int(number)] = 1 }
            visit(&accepted, test) { vector_find_flagged(words, words.count, flags, $0, &$1, Self.run) }
        }
    }

    /// `find` writes positions from the given one on and answers how many.
    private func visit(_ accepted: inout [UInt8], _ test: (Int) -> Bool, find: (Int, inout [Int]) -> Int) {
        var positions = [Int](repeating: 0, count: Self.run)
        var text = 0
        var tested = -1
        var from = 0
        while true {
            let found = find(from, &positions)
            for position in positions[..<found] {
                text = textHolding(position, after: text)
                if text != tested, test(text) { accepted[text] = 1 }
                tested = text
            }
            if found < positions.count { break }
            from = positions[found - 1] + 1
        }
    }

    /// Galloping: the next hit is mostly near.
    private func textHolding(_ position: Int, after text: Int) -> Int {
        var (low, step) = (text, 1)
        while low + step < starts.count, starts[low + step] <= position {
            low += step
            step *= 2
        }
        var high = min(low + step, starts.count - 1)
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= position { low = middle } else { high = middle }
        }
        return low
    }
}
