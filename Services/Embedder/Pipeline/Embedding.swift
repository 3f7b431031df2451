/// What became of one text.
struct Embedding: Sendable {
    /// The vector: `dimensions` numbers of length 1 where the space is normalised.
    var result: Result<[Float], EmbeddingError>
    /// Nothing was paid for it: it was in the cache, or somebody else's call brought it.
    var isCached: Bool
    var tokens: Int
}
