import Foundation

/// A sentence-transformers BERT folder: `model.safetensors`, `vocab.txt`, and, where present, `config.json`,
/// `sentence_bert_config.json`, `tokenizer_config.json`, `1_Pooling/config.json`. Without them: all-MiniLM-L6-v2's values.
struct ModelFolder: Sendable {
    var weightsPath: String
    var vocabularyPath: String
    var layers = 6
    var heads = 12
    var width = 384
    var innerWidth = 1536
    var epsilon: Float = 1e-12
    var positions = 512
    /// Tokens of a text that count, `[CLS]` and `[SEP]` included; the rest is cut.
    var maximumTokens = 256
    var lowercases = true
    var poolsMean = true

    init(path: String) throws(ModelError) {
        weightsPath = path + "/model.safetensors"
        vocabularyPath = path + "/vocab.txt"
        for file in [weightsPath, vocabularyPath] where !FileManager.default.isReadableFile(atPath: file) {
            throw .missing(file: file)
        }
        if let config = try Self.read(Config.self, path + "/config.json") {
            guard config.modelType ?? "bert" == "bert" else {
                throw .unsupported("model_type \(config.modelType ?? "") is not bert")
            }
            guard config.activation ?? "gelu" == "gelu" else {
                throw .unsupported("hidden_act \(config.activation ?? "") is not gelu")
            }
            guard config.positionType ?? "absolute" == "absolute" else {
                throw .unsupported("position_embedding_type is not absolute")
            }
            layers = config.layers ?? layers
            heads = config.heads ?? heads
            width = config.width ?? width
            innerWidth = config.innerWidth ?? innerWidth
            epsilon = config.epsilon ?? epsilon
            positions = config.positions ?? positions
        }
        guard (1...96).contains(layers), (1...16_384).contains(width), (1...65_536).contains(innerWidth), heads > 0,
            width.isMultiple(of: heads), (3...65_536).contains(positions)
        else { throw .unsupported("config.json has impossible sizes") }
        let sentences = try Self.read(Sentences.self, path + "/sentence_bert_config.json")
        maximumTokens = min(sentences?.maximumTokens ?? maximumTokens, positions)
        guard maximumTokens >= 3 else {
            throw .unsupported("max_seq_length \(maximumTokens) leaves no room for a text")
        }
        lowercases = try Self.read(Tokenizer.self, path + "/tokenizer_config.json")?.lowercases ?? lowercases
        if let pooling = try Self.read(Pooling.self, path + "/1_Pooling/config.json") {
            guard pooling.mean != pooling.first, !(pooling.max ?? false), !(pooling.meanOfRoot ?? false) else {
                throw .unsupported("1_Pooling is neither the mean of the tokens nor the first token")
            }
            poolsMean = pooling.mean ?? false
        }
    }

    private static func read<Value: Decodable>(_: Value.Type, _ path: String) throws(ModelError) -> Value? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        do {
            return try JSONDecoder().decode(Value.self, from: data)
        } catch {
            throw .unreadable(file: path, reason: "not the JSON expected")
        }
    }

    private struct Config: Decodable {
        var modelType: String?
        var activation: String?
        var positionType: String?
        var layers: Int?
        var heads: Int?
        var width: Int?
        var innerWidth: Int?
        var epsilon: Float?
        var positions: Int?
        enum CodingKeys: String, CodingKey {
            case modelType = "model_type", activation = "hidden_act", positionType = "position_embedding_type"
            case layers = "num_hidden_layers", heads = "num_attention_heads", width = "hidden_size"
            case innerWidth = "intermediate_size", epsilon = "layer_norm_eps", positions = "max_position_embeddings"
        }
    }
    private struct Sentences: Decodable {
        var maximumTokens: Int?
        enum CodingKeys: String, CodingKey { case maximumTokens = "max_seq_length" }
    }
    private struct Tokenizer: Decodable {
        var lowercases: Bool?
        enum CodingKeys: String, CodingKey { case lowercases = "do_lower_case" }
    }
    private struct Pooling: Decodable {
        var mean: Bool?
        var first: Bool?
        var max: Bool?
        var meanOfRoot: Bool?
        enum CodingKeys: String, CodingKey {
            case mean = "pooling_mode_mean_tokens", first = "pooling_mode_cls_token"
            case max = "pooling_mode_max_tokens", meanOfRoot = "pooling_mode_mean_sqrt_len_tokens"
        }
    }
}
