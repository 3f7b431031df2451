import COpenBLAS
import CTransformerKernel

/// A sentence-transformers BERT model in this process: text in, unit vectors out.
final class LocalModel: Sendable {
    /// Tokens that go through the encoder together: enough for full matrix products, few enough to stay in the cache and to
    /// let a search in between.
    static let chunkTokens = 256
    private let tokenizer: WordPieceTokenizer
    private let encoder: BERTEncoder
    private let pool: InferencePool
    var dimensions: Int { encoder.folder.width }
    static var kernel: String { String(cString: transformer_kernel_name()) }

    init(path: String, workers: Int) throws(ModelError) {
        openblas_set_num_threads(1)  // parallel over texts instead: no waiting for each other inside a product
        let folder = try ModelFolder(path: path)
        tokenizer = try WordPieceTokenizer(
            vocabularyPath: folder.vocabularyPath, lowercases: folder.lowercases, maximumTokens: folder.maximumTokens)
        encoder = try BERTEncoder(folder: folder, vocabularySize: tokenizer.vocabularySize)
        pool = InferencePool(workers: workers)
    }

    func embed(_ texts: [String], urgent: Bool = false) async -> (vectors: [[Float]], tokens: Int) {
        let tokenized = await pool.run(urgent: urgent) { [tokenizer] _ in texts.map { tokenizer.ids(of: $0) } }
        let chunks = Self.chunks(of: tokenized.map(\.count), workers: pool.workers)
        let vectors = await withTaskGroup(of: (Int, [[Float]]).self) { group in
            for (index, range) in chunks.enumerated() {
                group.addTask { [encoder, pool] in
                    (index, await pool.run(urgent: urgent) { encoder.encode(tokenized[range], in: $0) })
                }
            }
            var parts = Array(repeating: [[Float]](), count: chunks.count)
            for await (index, part) in group { parts[index] = part }
            return parts.flatMap { $0 }
        }
        return (vectors, tokenized.reduce(0) { $0 + $1.count })
    }

    /// Consecutive ranges of about equal numbers of tokens, at least one a worker where there is enough.
    static func chunks(of lengths: [Int], workers: Int) -> [Range<Int>] {
        let total = lengths.reduce(0, +)
        let wanted = max(1, (total + chunkTokens - 1) / chunkTokens)
        let parts = total > 64 * workers ? (wanted + workers - 1) / workers * workers : wanted
        let target = (total + parts - 1) / max(1, parts)
        var ranges: [Range<Int>] = []
        var (start, sum) = (0, 0)
        for (index, length) in lengths.enumerated() {
            sum += length
            if sum >= target || index == lengths.count - 1 {
                ranges.append(start..<(index + 1))
                (start, sum) = (index + 1, 0)
            }
        }
        return ranges
    }
}
