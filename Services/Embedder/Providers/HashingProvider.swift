/// Feature hashing, when there is no model. Labelled degraded everywhere.
struct HashingProvider: EmbeddingProvider {
    static let model = "feature-hashing-v1"
    let description: ProviderDescription
    private let pool: InferencePool

    /// - Parameter reason: why it is used instead of a model.
    init(dimensions: Int = HashingEncoder.defaultDimensions, reason: String, pool: InferencePool) {
        self.pool = pool
        description = ProviderDescription(
            name: "hashing", model: Self.model, dimensions: dimensions, takesOtherDimensions: true,
            limits: ProviderLimits(batchSize: 256, batchTokens: .max, concurrency: 2, linger: .zero), degraded: reason)
    }

    func embed(_ call: EmbeddingCall) async throws(EmbeddingError) -> EmbeddingAnswer {
        let encoder = HashingEncoder(dimensions: call.dimensions)
        let vectors = await pool.run(urgent: call.isUrgent) { _ in call.texts.map { encoder.vector(of: $0) } }
        return EmbeddingAnswer(results: vectors.map { .success($0) }, tokens: nil)
    }
}
