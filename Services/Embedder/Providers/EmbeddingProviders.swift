import HTTPClient
import ServiceRuntime
import WireProtocol

/// The providers that the configuration gives, the default one first.
struct EmbeddingProviders {
    private(set) var gates: [ProviderGate] = []

    /// Throws: `ConfigurationError` when the default provider cannot work.
    init(_ configuration: EmbedderConfiguration, metrics: Metrics, log: Log) throws {
        var providers = try Self.inProcess(configuration, log: log)
        if configuration.hasOpenAI {
            let isDefault = configuration.provider == .openai
            let model = (isDefault ? configuration.model : nil) ?? EmbedderConfiguration.openAIModel
            let known = EmbedderConfiguration.knownDimensions[model]
            let dimensions = (isDefault ? configuration.dimensions : nil) ?? known ?? 1536
            let openAI = OpenAICompatibleProvider(
                baseURL: configuration.openAIBaseURL, key: configuration.openAIKey, model: model,
                dimensions: dimensions,
                sendsDimensions: isDefault && configuration.dimensions != nil && dimensions != known,
                limits: configuration.limits, client: HTTPClient(metrics: metrics, log: log))
            providers.insert(openAI, at: isDefault ? 0 : 1)
        }
        for (index, provider) in providers.enumerated() {
            let description = provider.description
            log.info(
                "provider.ready",
                [
                    "provider": .string(description.name), "model": .string(description.model),
                    "dimensions": JSONValue(description.dimensions),
                ])
            if index == 0, let reason = description.degraded {
                log.warning("provider.degraded", ["provider": .string(description.name), "reason": .string(reason)])
            }
            gates.append(ProviderGate(provider, metrics: metrics, log: log))
        }
    }

    /// The local model, where its files are, and feature hashing: a collection that was filled with either can be searched, and
    /// rebuilt with the other.
    private static func inProcess(_ configuration: EmbedderConfiguration, log: Log) throws -> [any EmbeddingProvider] {
        func hashing(_ reason: String) -> any EmbeddingProvider {
            HashingProvider(
                dimensions: (configuration.provider == .openai ? nil : configuration.dimensions)
                    ?? HashingEncoder.defaultDimensions,
                reason: "\(reason): words are found, meanings are not", pool: InferencePool(workers: 1))
        }
        let isChosen = configuration.provider == .hashing
        guard let folder = configuration.modelFolder else {
            return [hashing(isChosen ? "EMBEDDING_PROVIDER is hashing" : "EMBEDDING_MODEL_DIR is not set")]
        }
        do {
            let local = try localModel(folder, configuration, log: log)
            return isChosen ? [hashing("EMBEDDING_PROVIDER is hashing"), local] : [local, hashing("feature hashing")]
        } catch ModelError.missing(let file) {
            return [hashing("the model's file \(file) is missing")]
        } catch let error as ModelError {
            throw ConfigurationError(problems: ["EMBEDDING_MODEL_DIR: \(error)"])
        }
    }

    private static func localModel(
        _ folder: String, _ configuration: EmbedderConfiguration, log: Log
    ) throws -> LocalProvider {
        let model = try LocalModel(path: folder, workers: configuration.workers)
        let isDefault = configuration.provider == .local
        if isDefault, let dimensions = configuration.dimensions, dimensions != model.dimensions {
            throw ConfigurationError(problems: [
                "EMBEDDING_DIMENSIONS is \(dimensions), the model in EMBEDDING_MODEL_DIR gives \(model.dimensions)"
            ])
        }
        log.info("model.loaded", ["kernel": .string(LocalModel.kernel), "workers": JSONValue(configuration.workers)])
        return LocalProvider(
            model: model, name: (isDefault ? configuration.model : nil) ?? EmbedderConfiguration.localModel,
            workers: configuration.workers)
    }
}
