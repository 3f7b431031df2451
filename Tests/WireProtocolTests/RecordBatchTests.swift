import Testing
import WireProtocol

struct RecordBatchTests {
    private let batch = RecordBatch(
        header: .example,
        records: [
            .init(
                key: "sku-1", contentHash: [1, 2], textHash: [3], text: "Ñandú", payload: Array("{\"a\":1}".utf8),
                vector: [0.25, -1, .pi]),
            .init(key: "sku-2", failure: .init(type: "embedding_rejected", message: "too long")),
        ])

    @Test func bytesAndBack() throws { #expect(try RecordBatch(decoding: batch.encoded()) == batch) }

    @Test func everyTruncationIsRefused() throws {
        let bytes = try batch.encoded()
        for length in 0..<bytes.count {
            #expect(throws: RecordBatch.FormatError.self) { try RecordBatch(decoding: Array(bytes[..<length])) }
        }
    }
}
