import Foundation
import Testing

@testable import Embedder

struct WordPieceTokenizerTests {
    /// Ids are the lines: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, a 4, ##b 5, ##bc 6, ab 7, e 8, ! 9, 日 10.
    private func small(maximumTokens: Int = 256) throws -> WordPieceTokenizer {
        let path = try TestModel.folder("vocabulary") + "/vocab.txt"
        try "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\n##bc\nab\ne\n!\n日\n".write(
            toFile: path, atomically: true, encoding: .utf8)
        return try WordPieceTokenizer(vocabularyPath: path, maximumTokens: maximumTokens)
    }

    @Test(arguments: [
        ("a", [4]), ("ab", [7]), ("abbc", [7, 6]), ("abx", [1]), ("A B", [4, 1]), ("é!", [8, 9]), ("e\u{301}", [8]),
        ("a日a", [4, 10, 4]), ("", []), (" \t\n", []), ("\u{0}a\u{200B}b", [7]), ("!!", [9, 9]), ("[CLS]", [1, 1, 1]),
    ])
    func takesTheLongestPieces(text: String, ids: [Int32]) throws {
        #expect(try small().ids(of: text) == [2] + ids + [3])
    }

    @Test func aWordOfMoreThanAHundredCharactersIsUnknown() throws {
        let tokenizer = try small()
        #expect(tokenizer.ids(of: "a" + String(repeating: "b", count: 99)).count > 3)
        #expect(tokenizer.ids(of: "a" + String(repeating: "b", count: 100)) == [2, 1, 3])
    }

    @Test func cutsAtTheLimitAndKeepsTheLastToken() throws {
        #expect(try small(maximumTokens: 4).ids(of: "a b e !") == [2, 4, 1, 3])
        #expect(try small(maximumTokens: 4).ids(of: "abbcb") == [2, 7, 6, 3])
    }

    @Test func aVocabularyWithoutItsSpecialTokensIsRefused() throws {
        let path = try TestModel.folder("vocabulary") + "/vocab.txt"
        try "a\nb\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(throws: ModelError.self) { try WordPieceTokenizer(vocabularyPath: path, maximumTokens: 8) }
    }

    @Test(.enabled(if: TestModel.isPresent, "EMBEDDING_MODEL_DIR names no model"))
    func givesTheIdsOfTheReference() throws {
        let tokenizer = try WordPieceTokenizer(vocabularyPath: TestModel.path + "/vocab.txt", maximumTokens: 256)
        for (text, ids) in ReferenceTexts.ids { #expect(tokenizer.ids(of: text) == ids, "\(text.debugDescription)") }
        for (text, count, ids, last) in ReferenceTexts.long {
            let ours = tokenizer.ids(of: String(repeating: text, count: count))
            #expect(ours.count == ids)
            #expect(Array(ours.suffix(3)) == last)
        }
    }
}
