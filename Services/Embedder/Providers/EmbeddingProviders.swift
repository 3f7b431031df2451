import HTTPClient
import ServiceRuntime
import WireProtocol

/// The providers that the configuration gives, the default one first.
struct EmbeddingProviders {
    private(set) var gates: [ProviderGate] = []

    /// Throws: `ConfigurationError` when the default provider cannot work.
    init(_ configuration: EmbedderConfiguration, metrics: Metrics, log: Log) throws {
        var providers = [try Self.inProcess(configuration, log: log)]
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
        for provider in providers {
            let description = provider.description
            log.info(
                "provider.ready",
                [
                    "provider": .string(description.name), "model": .string(description.model),
                    "dimensions": JSONValue(description.dimensions),
                ])
            if let reason = description.degraded {
                log.warning("provider.degraded", ["provider": .string(description.name), "reason": .string(reason)])
            }
            gates.append(ProviderGate(provider, metrics: metrics, log: log))
        }
    }

    /// The local model, or feature hashing where there is none.
    private static func inProcess(_ configuration: EmbedderConfiguration, log: Log) throws -> any EmbeddingProvider {
        func hashing(_ reason: String) -> any EmbeddingProvider {
            HashingProvider(
                dimensions: (configuration.provider == .openai ? nil : configuration.dimensions)
                    ?? HashingEncoder.defaultDimensions,
                reason: reason, pool: InferencePool(workers: 1))
        }
        if configuration.provider == .hashing {
            return hashing("EMBEDDING_PROVIDER is hashing: words are found, meanings are not")
        }
        guard let folder = configuration.modelFolder else {
            return hashing("EMBEDDING_MODEL_DIR is not set: words are found, meanings are not")
        }
        do {
            let model = try LocalModel(path: folder, workers: configuration.workers)
            let isDefault = configuration.provider == .local
            if isDefault, let dimensions = configuration.dimensions, dimensions != model.dimensions {
                throw ConfigurationError(problems: [
                    "EMBEDDING_DIMENSIONS is \(dimensions), the model in EMBEDDING_MODEL_DIR gives \(model.dimensions)"
                ])
            }
            log.info(
                "model.loaded", ["kernel": .string(LocalModel.kernel), "workers": JSONValue(configuration.workers)])
            return LocalProvider(
                model: model, name: (isDefault ? configuration.model : nil) ?? EmbedderConfiguration.localModel,
                workers: configuration.workers)
        } catch ModelError.missing(let file) {
            return hashing("the model's file \(file) is missing: words are found, meanings are not")
        } catch let error as ModelError {
            throw ConfigurationError(problems: ["EMBEDDING_MODEL_DIR: \(error)"])
        }
    }
}
