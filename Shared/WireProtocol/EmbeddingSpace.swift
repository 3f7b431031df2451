/// What two vectors must share to be comparable. A collection records it; mixing spaces is refused.
package struct EmbeddingSpace: WireType, Hashable {
    /// `local`, `openai`, `gemini`, `ollama` or `hashing`.
    package var provider: String
    package var model: String
    /// Numbers in a vector.
    package var dimensions: Int
    /// How documents and queries are told apart: `none` (one scheme for both), `gemini-task-type`, `prefix-v1`.
    package var taskScheme: String
    package var normalized: Bool

    package init(provider: String, model: String, dimensions: Int, taskScheme: String = "none", normalized: Bool = true)
    {
        self.provider = provider
        self.model = model
        self.dimensions = dimensions
        self.taskScheme = taskScheme
        self.normalized = normalized
    }

    /// `local|all-MiniLM-L6-v2|384|none|normalized`: one text for hashes, keys of the cache and the database.
    package var identifier: String {
        "\(provider)|\(model)|\(dimensions)|\(taskScheme)|\(normalized ? "normalized" : "raw")"
    }

    package init?(identifier: String) {
        let parts = identifier.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 5, let dimensions = Int(parts[2]), dimensions > 0 else { return nil }
        self.init(
            provider: parts[0], model: parts[1], dimensions: dimensions, taskScheme: parts[3],
            normalized: parts[4] == "normalized")
    }

    package static let naming = WireNaming.snakeCase
    package static let example = EmbeddingSpace(provider: "local", model: "all-MiniLM-L6-v2", dimensions: 384)
    enum CodingKeys: String, CodingKey {
        case provider, model, dimensions, taskScheme = "task_scheme", normalized
    }
}
