import Lexical
import WireProtocol

/// One order of what was found by meaning and what was found by words, by scores rather than by ranks: of a thousand lamps that all have
/// the word "lamp" once, rank says more than is known, and the meaning decides.
///
/// score = meaning + weight * words. `meaning` is a similarity's (or a distance's) place between the last one found (0) and the best
/// (1), so that models whose similarities lie close together or far apart count alike; `words` is the share of the best BM25 sum. What
/// one of the two did not find has 0 there. Records that hold a code of the query come first, in the same order. The numbers were chosen
/// on the development judgments of `deploy/bench/relevance`.
struct HybridRanking: Sendable {
    /// Of a sentence: records found by its words come after those found by its meaning.
    private static let sentenceWeight = 0.001
    /// Each word more says more exactly what is wanted. One alone ("laptop") stands in the names of accessories as well.
    private static let weightOfAWord = 0.15
    /// A code says it all: what has it stands beside the best by meaning at least.
    private static let leastWeightOfACode = 1.0
    /// Among records that are all nearly alike (few match the filter) small differences of meaning do not fill the scale: it is as wide as
    /// this share of the best similarity at least.
    private static let leastSpread = 0.25

    struct Entry: Sendable, Equatable {
        var id: JSONValue
        var score: Double
        fileprivate var key: String
    }
    /// Best first, equal ones by their ids.
    private(set) var entries: [Entry] = []

    static func weight(of words: LexicalQuery) -> Double {
        if words.isSentence { return sentenceWeight }
        let weight = weightOfAWord * Double(words.count)
        return words.mayHoldCode ? max(weight, leastWeightOfACode) : weight
    }

    /// Scored points as a store answers them, best first: what was found by meaning, by words, and what holds a code.
    init(meaning: [JSONValue], words: [JSONValue], coded: [JSONValue], weight: Double) {
        var places: [String: Int] = [:]
        func add(_ point: JSONValue, _ score: Double) {
            guard let id = point["id"] else { return }
            let key = id.serialized
            if let place = places[key] {
                entries[place].score += score
            } else {
                places[key] = entries.count
                entries.append(Entry(id: id, score: score, key: key))
            }
        }
        let best = meaning.first.map(Self.score) ?? 0
        let last = meaning.last.map(Self.score) ?? 0
        let spread = max(abs(best - last), Self.leastSpread * abs(best))
        for point in meaning { add(point, spread > 0 ? abs(Self.score(point) - last) / spread : 0) }
        let most = words.first.map(Self.score) ?? 0
        for point in words { add(point, most > 0 ? weight * Self.score(point) / most : 0) }
        for point in coded { add(point, 2 + weight) }  // no other has more than 1 + weight
        entries.sort(by: Self.precedes)
    }

    private static func score(_ point: JSONValue) -> Double { point["score"]?.double ?? 0 }

    /// Numbers before UUIDs, each ascending, as stores order ids.
    private static func precedes(_ one: Entry, _ other: Entry) -> Bool {
        if one.score != other.score { return one.score > other.score }
        switch (one.id.string == nil, other.id.string == nil) {
        case (true, false): return true
        case (false, true): return false
        case (true, true) where one.key.utf8.count != other.key.utf8.count:
            return one.key.utf8.count < other.key.utf8.count
        default: return one.key < other.key
        }
    }
}
