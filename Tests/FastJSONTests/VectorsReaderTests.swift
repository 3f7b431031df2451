import FastJSON
import Foundation
import Testing

struct VectorsReaderTests {
    private func base64(_ numbers: [Float]) -> String {
        Data(numbers.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian) { Array($0) } }).base64EncodedString()
    }
    private func read(_ json: String, rows: Int, dimensions: Int) throws(JSONError) -> VectorsReader {
        try VectorsReader(Array(json.utf8), rows: rows, dimensions: dimensions)
    }

    @Test(arguments: [1, 2, 3, 4, 384, 769])
    func readsNumbersAndBase64InTheOrderOfTheirIndex(dimensions: Int) throws {
        let vectors = (0..<2).map { row in (0..<dimensions).map { Float($0) / 7 - Float(row) } }
        let json = """
            {"object":"list","data":[{"object":"embedding","index":1,"embedding":"\(base64(vectors[1]))"},
            {"index":0,"embedding":\(vectors[0].description)}],"model":"m","usage":{"prompt_tokens":8,"total_tokens":9}}
            """
        let answer = try read(json, rows: 2, dimensions: dimensions)
        #expect(answer.states == [.read, .read])
        #expect(answer[0] == vectors[0])
        #expect(answer[1] == vectors[1])
        #expect(answer.tokens == 9)
    }

    @Test func readsGeminisAndOllamasForms() throws {
        #expect(
            try read(#"{"embeddings":[{"values":[1,2]},{"values":[3,4]}]}"#, rows: 2, dimensions: 2).numbers == [
                1, 2, 3, 4,
            ])
        let ollama = try read(#"{"embeddings":[[1,2.5]],"prompt_eval_count":5}"#, rows: 1, dimensions: 2)
        #expect(ollama.numbers == [1, 2.5])
        #expect(ollama.tokens == 5)
    }

    @Test func saysWhatIsWrongWithEachVector() throws {
        let json = """
            {"data":[{"index":0,"embedding":[1,2,3]},{"index":1,"embedding":["x",1]},{"index":2,"embedding":[1e300,1]},
            {"index":4,"embedding":[1,1]},{"index":4,"embedding":[1,1]},{"index":9,"embedding":[1,1]},
            {"index":5,"embedding":"\(base64([.nan, 1]))"},{"index":6,"embedding":"????????????"},{"index":7,"embedding":[null,1]}]}
            """
        let answer = try read(json, rows: 8, dimensions: 2)
        #expect(
            answer.states == [
                .otherWidth, .unreadable, .notFinite, .missing, .repeated, .notFinite, .unreadable, .notFinite,
            ])
        #expect(answer.found == 9)
        #expect(answer.foundDimensions == 3)
        #expect(answer.tokens == nil)
    }

    @Test(arguments: [
        "", "[]", "<html>", #"{"error":{}}"#, #"{"data":[{"index":0}]}"#, #"{"data":[{"embedding":[NaN]}]}"#,
    ])
    func refusesWhatHoldsNoVectors(json: String) {
        #expect(throws: JSONError.self) { try read(json, rows: 1, dimensions: 1) }
    }
}
