import Lexical
import Testing
import WireProtocol

@testable import Orchestrator

struct HybridRankingTests {
    private static func points(_ scores: KeyValuePairs<JSONValue, Double>) -> [JSONValue] {
        scores.map { ["id": $0.key, "score": .number($0.value), "version": 1] }
    }

    private static func order(
        _ meaning: [JSONValue], _ words: [JSONValue] = [], coded: [JSONValue] = [], weight: Double = 0.3
    ) -> [JSONValue] {
        HybridRanking(meaning: meaning, words: words, coded: coded, weight: weight).entries.map(\.id)
    }

    @Test func scoresAreSharesOfTheirScales() {
        let ranking = HybridRanking(
            meaning: Self.points([1: 0.8, 2: 0.6, 3: 0.4]), words: Self.points([2: 12, 4: 6]), coded: [], weight: 0.3)
        #expect(ranking.entries.map(\.id) == [1, 2, 4, 3])
        for (entry, score) in zip(ranking.entries, [1, 0.8, 0.15, 0]) { #expect(abs(entry.score - score) < 1e-9) }
    }

    @Test func amongRecordsWithTheSameWordsTheMeaningDecides() {
        let words = Self.points([9: 7.2, 8: 7.1, 7: 7.1])
        #expect(Self.order(Self.points([7: 0.7, 8: 0.5, 9: 0.3]), words) == [7, 8, 9])
    }

    @Test func similaritiesThatAreNearlyAlikeDoNotFillTheScale() {
        // Over the whole scale the words of 2 (0.3) could not make up for a distance of 1.
        #expect(Self.order(Self.points([1: 0.71, 2: 0.70]), Self.points([2: 5])) == [2, 1])
        #expect(Self.order(Self.points([1: 0.7]), Self.points([2: 5])) == [2, 1])
    }

    @Test func distancesAreBestWhenSmall() {
        #expect(Self.order(Self.points([1: 0.5, 2: 3, 3: 9]), Self.points([3: 5])) == [1, 2, 3])
    }

    @Test func whatHoldsACodeIsFirst() {
        #expect(
            Self.order(Self.points([1: 0.8, 2: 0.4]), Self.points([1: 9, 3: 8]), coded: Self.points([3: 8, 2: 1]))
                == [3, 2, 1])
    }

    @Test func equalScoresAreOrderedByID() {
        let nothing = HybridRanking(meaning: [], words: [], coded: [], weight: 1)
        #expect(nothing.entries.isEmpty)
        let words = Self.points(["b": 1, "a": 1, 10: 1, 9: 1])
        #expect(Self.order([], words) == [9, 10, "a", "b"])
    }

    @Test(arguments: [
        ("laptop", 0.15), ("hdmi cable", 0.3), ("wi-fi adapter", 0.3), ("24 inch monitor", 0.3),
        ("lamp for the desk", 0.3),
        ("AB-1234/X", 1), ("AB 1234 X", 1), ("red lamp shade AB-1234/X", 1), ("memory 256 gb", 0.3),
        ("usb 3 hub", 0.45),
        ("something that keeps my drinks hot", 0.001),
    ])
    func eachWordAddsToTheWeightOfWords(_ query: String, _ weight: Double) {
        #expect(abs(HybridRanking.weight(of: LexicalAnalyzer().query(query)) - weight) < 1e-9)
    }
}
