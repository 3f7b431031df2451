import Foundation
import Testing

@testable import Embedder

@Suite(.enabled(if: TestModel.isPresent, "EMBEDDING_MODEL_DIR names no model"))
struct LocalModelTests {
    private func cosine(_ left: [Float], _ right: [Float]) -> Float { zip(left, right).reduce(0) { $0 + $1.0 * $1.1 } }

    @Test func givesTheVectorsOfTheReference() async throws {
        let model = try LocalModel(path: TestModel.path, workers: 2)
        #expect(model.dimensions == 384)
        let vectors = await model.embed(ReferenceTexts.vectors.map(\.text)).vectors
        for (vector, (text, head)) in zip(vectors, ReferenceTexts.vectors) {
            let difference = zip(vector, head).map { abs($0 - $1) }.max() ?? 1
            #expect(difference < 1e-5, "\(text)")
            #expect(abs(cosine(vector, vector) - 1) < 1e-5)
        }
    }

    @Test func findsTheSimilaritiesOfTheModelCard() async throws {
        let model = try LocalModel(path: TestModel.path, workers: 1)
        let vectors = await model.embed(ReferenceTexts.similarities.map(\.text)).vectors
        for (vector, (text, expected)) in zip(vectors, ReferenceTexts.similarities) {
            #expect(abs(cosine(vectors[0], vector) - expected) < 1e-5, "\(text)")
        }
    }

    @Test func aTextHasTheSameVectorAloneAndInABatch() async throws {
        let model = try LocalModel(path: TestModel.path, workers: 2)
        let texts = (0..<40).map {
            "product number \($0) " + String(repeating: "with a longer description ", count: $0 % 7)
        }
        let (batch, tokens) = await model.embed(texts)
        #expect(tokens > 40 * 5)
        for index in [0, 13, 39] {
            let alone = await model.embed([texts[index]], urgent: true).vectors[0]
            #expect(zip(alone, batch[index]).allSatisfy { abs($0 - $1) < 1e-5 })
        }
    }
}

struct LocalModelChunkTests {
    @Test func chunksCoverAllTextsInOrder() {
        for workers in [1, 2, 3] {
            for lengths in [[], [3], [256, 256, 256], Array(repeating: 36, count: 257), [1, 600, 1, 1]] {
                let chunks = LocalModel.chunks(of: lengths, workers: workers)
                #expect(chunks.flatMap { $0 } == Array(lengths.indices))
            }
        }
        #expect(LocalModel.chunks(of: Array(repeating: 36, count: 8), workers: 2).count == 2)
        #expect(LocalModel.chunks(of: [5], workers: 4).count == 1)
    }
}
