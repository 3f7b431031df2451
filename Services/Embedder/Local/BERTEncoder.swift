import COpenBLAS
import CTransformerKernel

/// The forward pass of a BERT encoder over packed sequences: no padding, so a batch costs what its tokens cost. The weights
/// stay in the mapped file; products take them transposed as they lie.
final class BERTEncoder: Sendable {
    /// A linear layer: weights `out x in`, row-major, as PyTorch keeps them.
    private struct Dense {
        var weight: UnsafePointer<Float>
        var bias: UnsafePointer<Float>
    }
    private struct Norm {
        var gamma: UnsafePointer<Float>
        var beta: UnsafePointer<Float>
    }
    private struct Layer {
        var query: Dense
        var key: Dense
        var value: Dense
        var attention: Dense
        var attentionNorm: Norm
        var inner: Dense
        var outer: Dense
        var outerNorm: Norm
    }

    let folder: ModelFolder
    private let file: SafetensorsFile
    // Pointers into `file`, which lives as long as this object and is never written to.
    private nonisolated(unsafe) let words: UnsafePointer<Float>
    private nonisolated(unsafe) let positions: UnsafePointer<Float>
    private nonisolated(unsafe) let type: UnsafePointer<Float>
    private nonisolated(unsafe) let embeddingNorm: Norm
    private nonisolated(unsafe) let layers: [Layer]

    init(folder: ModelFolder, vocabularySize: Int) throws(ModelError) {
        self.folder = folder
        let file = try SafetensorsFile(path: folder.weightsPath)
        self.file = file
        let root = file.contains("embeddings.word_embeddings.weight") ? "" : "bert."
        let (width, innerWidth) = (folder.width, folder.innerWidth)
        func dense(_ name: String, _ output: Int, _ input: Int) throws(ModelError) -> Dense {
            Dense(
                weight: try file.floats(root + name + ".weight", shape: [output, input]),
                bias: try file.floats(root + name + ".bias", shape: [output]))
        }
        func norm(_ name: String) throws(ModelError) -> Norm {
            Norm(
                gamma: try file.floats(root + name + ".weight", shape: [width]),
                beta: try file.floats(root + name + ".bias", shape: [width]))
        }
        words = try file.floats(root + "embeddings.word_embeddings.weight", shape: [vocabularySize, width])
        positions = try file.floats(root + "embeddings.position_embeddings.weight", shape: [folder.positions, width])
        type = try file.floats(root + "embeddings.token_type_embeddings.weight", shape: [2, width])
        embeddingNorm = try norm("embeddings.LayerNorm")
        var layers: [Layer] = []
        for index in 0..<folder.layers {
            let name = "encoder.layer.\(index)."
            layers.append(
                Layer(
                    query: try dense(name + "attention.self.query", width, width),
                    key: try dense(name + "attention.self.key", width, width),
                    value: try dense(name + "attention.self.value", width, width),
                    attention: try dense(name + "attention.output.dense", width, width),
                    attentionNorm: try norm(name + "attention.output.LayerNorm"),
                    inner: try dense(name + "intermediate.dense", innerWidth, width),
                    outer: try dense(name + "output.dense", width, innerWidth),
                    outerNorm: try norm(name + "output.LayerNorm")))
        }
        self.layers = layers
    }

    /// `sequences` of token ids (each at least one, at most `folder.positions`, all in the vocabulary) to unit vectors.
    func encode(_ sequences: ArraySlice<[Int32]>, in space: Workspace) -> [[Float]] {
        let (width, rows) = (folder.width, sequences.reduce(0) { $0 + $1.count })
        space.reserve(rows: rows, longest: sequences.reduce(0) { max($0, $1.count) }, folder)
        var row = 0
        for sequence in sequences {
            for (position, id) in sequence.enumerated() {
                space.ids[row] = id
                space.positions[row] = Int32(position)
                row += 1
            }
        }
        transformer_embed(
            words, positions, type, space.ids, space.positions, embeddingNorm.gamma, embeddingNorm.beta, folder.epsilon,
            rows, width, space.x)
        for layer in layers { apply(layer, to: sequences, rows: rows, in: space) }
        var start = 0
        return sequences.map { sequence in
            defer { start += sequence.count }
            return [Float](unsafeUninitializedCapacity: width) { buffer, count in
                transformer_pool(
                    space.x + start * width, sequence.count, width, folder.poolsMean ? 1 : 0, buffer.baseAddress)
                count = width
            }
        }
    }

    private func apply(_ layer: Layer, to sequences: ArraySlice<[Int32]>, rows: Int, in space: Workspace) {
        let (width, innerWidth) = (folder.width, folder.innerWidth)
        let scale = 1 / Float(width / folder.heads).squareRoot()
        multiply(space.x, layer.query, rows: rows, input: width, output: width, into: space.query)
        multiply(space.x, layer.key, rows: rows, input: width, output: width, into: space.key)
        multiply(space.x, layer.value, rows: rows, input: width, output: width, into: space.value)
        transformer_bias(space.query, layer.query.bias, scale, rows, width)
        transformer_bias(space.key, layer.key.bias, 1, rows, width)
        transformer_bias(space.value, layer.value.bias, 1, rows, width)
        var start = 0
        for sequence in sequences {
            attend(from: start, count: sequence.count, in: space)
            start += sequence.count
        }
        multiply(space.context, layer.attention, rows: rows, input: width, output: width, into: space.query)
        transformer_residual_norm(
            space.x, space.query, layer.attention.bias, layer.attentionNorm.gamma, layer.attentionNorm.beta,
            folder.epsilon, rows, width)
        multiply(space.x, layer.inner, rows: rows, input: width, output: innerWidth, into: space.inner)
        transformer_bias_gelu(space.inner, layer.inner.bias, rows, innerWidth)
        multiply(space.inner, layer.outer, rows: rows, input: innerWidth, output: width, into: space.query)
        transformer_residual_norm(
            space.x, space.query, layer.outer.bias, layer.outerNorm.gamma, layer.outerNorm.beta, folder.epsilon, rows,
            width)
    }

    /// softmax(Q K^T) V for one sequence, head by head; Q is already scaled.
    private func attend(from start: Int, count: Int, in space: Workspace) {
        let width = Int32(folder.width)
        let size = folder.width / folder.heads
        let (n, d) = (Int32(count), Int32(size))
        for head in 0..<folder.heads {
            let offset = start * folder.width + head * size
            cblas_sgemm(
                CblasRowMajor, CblasNoTrans, CblasTrans, n, n, d, 1, space.query + offset, width, space.key + offset,
                width,
                0, space.scores + head * count * count, n)
        }
        transformer_softmax(space.scores, folder.heads * count, count)
        for head in 0..<folder.heads {
            let offset = start * folder.width + head * size
            cblas_sgemm(
                CblasRowMajor, CblasNoTrans, CblasNoTrans, n, d, n, 1, space.scores + head * count * count, n,
                space.value + offset, width, 0, space.context + offset, width)
        }
    }

    /// result = x W^T, without the bias.
    private func multiply(
        _ x: UnsafePointer<Float>, _ dense: Dense, rows: Int, input: Int, output: Int,
        into result: UnsafeMutablePointer<Float>
    ) {
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(output), Int32(input), 1, x, Int32(input),
            dense.weight, Int32(input), 0, result, Int32(output))
    }

    /// The intermediate results of one thread; grows to the largest batch it has seen.
    final class Workspace {
        fileprivate private(set) var ids = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
        fileprivate private(set) var positions = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
        fileprivate private(set) var scores = UnsafeMutablePointer<Float>.allocate(capacity: 1)
        /// One allocation, cut into the matrices below.
        private var floats = UnsafeMutablePointer<Float>.allocate(capacity: 1)
        fileprivate private(set) var x, query, key, value, context, inner: UnsafeMutablePointer<Float>
        private var rows = 0
        private var longest = 0

        init() { (x, query, key, value, context, inner) = (floats, floats, floats, floats, floats, floats) }

        fileprivate func reserve(rows: Int, longest: Int, _ folder: ModelFolder) {
            if rows > self.rows {
                release()
                self.rows = rows
                ids = .allocate(capacity: rows)
                positions = .allocate(capacity: rows)
                floats = .allocate(capacity: rows * (5 * folder.width + folder.innerWidth))
                let matrix = rows * folder.width
                (x, query, key, value, context, inner) =
                    (
                        floats, floats + matrix, floats + 2 * matrix, floats + 3 * matrix, floats + 4 * matrix,
                        floats + 5 * matrix
                    )
            }
            if longest > self.longest {
                scores.deallocate()
                self.longest = longest
                scores = .allocate(capacity: folder.heads * longest * longest)
            }
        }

        private func release() {
            ids.deallocate()
            positions.deallocate()
            floats.deallocate()
        }

        deinit {
            release()
            scores.deallocate()
        }
    }
}
