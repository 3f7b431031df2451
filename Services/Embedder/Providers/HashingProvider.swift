/// Feature hashing, when there is no model. Labelled degraded everywhere.
struct HashingProvider: EmbeddingProvider {
    static let model = "feature-hashing-v1"
    let description: ProviderDescription
    private let encoder: HashingEncoder
    private let pool: InferencePool

    /// - Parameter reason: why it is used instead of a model.
    init(dimensions: Int = HashingEncoder.defaultDimensions, reason: String, pool: InferencePool) {
        encoder = HashingEncoder(dimensions: dimensions)
        self.pool = pool
        description = ProviderDescription(
            name: "hashing", model: Self.model, dimensions: dimensions,
            limits: ProviderLimits(batchSize: 256, batchTokens: .max, concurrency: 2, linger: .zero), degraded: reason)
    }

    func embed(_ call: EmbeddingCall) async throws(EmbeddingError) -> EmbeddingAnswer {
        let vectors = await pool.run(urgent: call.isUrgent) { [encoder] _ in call.texts.map { encoder.vector(of: $0) } }
        return EmbeddingAnswer(results: vectors.map { .success($0) }, tokens: nil)
    }
}
