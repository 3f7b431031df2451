/// The built-in model: no key, no network.
struct LocalProvider: EmbeddingProvider {
    let description: ProviderDescription
    private let model: LocalModel

    init(model: LocalModel, name: String, workers: Int) {
        self.model = model
        description = ProviderDescription(
            name: "local", model: name, dimensions: model.dimensions,
            limits: ProviderLimits(batchSize: 64, batchTokens: .max, concurrency: 2, linger: .milliseconds(2)))
    }

    func embed(_ call: EmbeddingCall) async throws(EmbeddingError) -> EmbeddingAnswer {
        let (vectors, tokens) = await model.embed(call.texts, urgent: call.isUrgent)
        // A vector that is no unit vector (weights gone wrong) must not be stored.
        let results = vectors.map { vector -> Result<[Float], EmbeddingError> in
            UnitVector.of(vector).map(Result.success)
                ?? .failure(EmbeddingError(.badVector, "the model gave no finite vector"))
        }
        return EmbeddingAnswer(results: results, tokens: tokens)
    }
}
