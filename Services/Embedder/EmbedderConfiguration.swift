import Foundation
import ServiceRuntime

/// All settings of the embedder, checked at once.
struct EmbedderConfiguration: Sendable {
    enum Provider: String, CaseIterable, Sendable { case local, openai, gemini, ollama, hashing }

    var service: ServiceSettings
    /// `REDIS_CACHE_URL`, default the server of the queues
    var cacheURL: String
    /// `EMBEDDING_PROVIDER` (local): what callers and jobs get that name none.
    var provider: Provider
    /// `EMBEDDING_MODEL` (all-MiniLM-L6-v2 for local, text-embedding-3-small for openai)
    var model: String?
    /// `EMBEDDING_DIMENSIONS`; a model of `openai` that is not known by name needs it.
    var dimensions: Int?
    /// `EMBEDDING_MODEL_DIR`: a sentence-transformers BERT folder.
    var modelFolder: String?
    /// `EMBEDDING_WORKERS` (the machine's processors): threads that compute.
    var workers: Int
    /// `OPENAI_BASE_URL` (https://api.openai.com/v1), `OPENAI_API_KEY`: with either set there is a provider `openai`.
    var openAIBaseURL: String
    var openAIKey: String?
    var hasOpenAI: Bool
    /// `EMBEDDING_BATCH_SIZE` (256, at most 2048), `EMBEDDING_CONCURRENCY` (4), `EMBEDDING_REQUESTS_PER_MINUTE` and
    /// `EMBEDDING_TOKENS_PER_MINUTE` (0: no limit), `EMBEDDING_TIMEOUT_SECONDS` (60), `EMBEDDING_COST_PER_MILLION_TOKENS` (0)
    var limits: ProviderLimits
    /// `EMBEDDING_CACHE_TTL_SECONDS` (30 days), `EMBEDDING_CACHE_PERCENT` (70) of the server's memory,
    /// `EMBEDDING_CACHE_BYTES` (2 GiB) where the server has no limit of its own
    var cache: EmbeddingCache.Settings
    /// `QUEUE_LEASE_SECONDS` (10): a replica silent for that long has its batches taken over
    var lease: Duration
    /// `EMBEDDER_CLAIM` (16 messages), `EMBEDDER_CLAIMS_IN_FLIGHT` (4), `EMBEDDING_OUTAGE_LIMIT_SECONDS` (600): how long a
    /// provider may be out before its jobs fail
    var worker: EmbedWorker.Settings
    /// `EMBEDDER_MAX_TEXTS` (2048) in one `POST /embed`
    var maximumTexts: Int

    init(from environment: Environment) throws {
        var settings = ConfigurationReader(environment)
        service = ServiceSettings(&settings, port: 8001)
        cacheURL = settings.url("REDIS_CACHE_URL", default: service.redisURL, schemes: ["redis", "unix"])
        lease = .seconds(settings.integer("QUEUE_LEASE_SECONDS", default: 10, in: 1...600))
        provider = settings.choice("EMBEDDING_PROVIDER", default: .local)
        model = settings.string("EMBEDDING_MODEL")
        let dimensions = settings.integer("EMBEDDING_DIMENSIONS", default: 0, in: 0...16_384)
        self.dimensions = dimensions == 0 ? nil : dimensions
        modelFolder = settings.string("EMBEDDING_MODEL_DIR")
        workers = settings.integer(
            "EMBEDDING_WORKERS", default: ProcessInfo.processInfo.activeProcessorCount, in: 1...256)
        openAIKey = settings.secret("OPENAI_API_KEY")
        let baseURL = settings.string("OPENAI_BASE_URL")
        openAIBaseURL = settings.url(
            "OPENAI_BASE_URL", default: "https://api.openai.com/v1", schemes: ["https", "http"])
        hasOpenAI = provider == .openai || openAIKey != nil || baseURL != nil
        if provider == .openai && openAIKey == nil && baseURL == nil {
            settings.refuse(
                "EMBEDDING_PROVIDER is openai: set OPENAI_API_KEY, or OPENAI_BASE_URL for a server that asks for no key"
            )
        }
        if provider == .gemini || provider == .ollama {
            settings.refuse(
                "EMBEDDING_PROVIDER \(provider.rawValue) is not available in this version: use local, openai or hashing"
            )
        }
        limits = ProviderLimits(
            batchSize: settings.integer("EMBEDDING_BATCH_SIZE", default: 256, in: 1...2048),
            concurrency: settings.integer("EMBEDDING_CONCURRENCY", default: 4, in: 1...256),
            requestsPerMinute: settings.integer("EMBEDDING_REQUESTS_PER_MINUTE", default: 0, in: 0...1_000_000).nonZero,
            tokensPerMinute: settings.integer("EMBEDDING_TOKENS_PER_MINUTE", default: 0, in: 0...1_000_000_000).nonZero,
            timeout: .seconds(settings.integer("EMBEDDING_TIMEOUT_SECONDS", default: 60, in: 1...3600)),
            costPerMillionTokens: settings.number("EMBEDDING_COST_PER_MILLION_TOKENS", default: 0, in: 0...1_000_000))
        cache = EmbeddingCache.Settings(
            lifetime: .seconds(
                settings.integer("EMBEDDING_CACHE_TTL_SECONDS", default: 30 * 86_400, in: 60...315_360_000)),
            share: Double(settings.integer("EMBEDDING_CACHE_PERCENT", default: 70, in: 1...99)) / 100,
            memory: settings.integer("EMBEDDING_CACHE_BYTES", default: 2 << 30, in: 1 << 20...1 << 50))
        worker = EmbedWorker.Settings(
            claim: settings.integer("EMBEDDER_CLAIM", default: 16, in: 1...1000),
            claimsInFlight: settings.integer("EMBEDDER_CLAIMS_IN_FLIGHT", default: 4, in: 1...64),
            outageLimit: .seconds(settings.integer("EMBEDDING_OUTAGE_LIMIT_SECONDS", default: 600, in: 0...604_800)))
        maximumTexts = settings.integer("EMBEDDER_MAX_TEXTS", default: 2048, in: 1...100_000)
        if provider == .openai, self.dimensions == nil, Self.knownDimensions[model ?? Self.openAIModel] == nil {
            settings.refuse("EMBEDDING_DIMENSIONS must be set for the model \(model ?? Self.openAIModel)")
        }
        try settings.finish()
    }

    static let localModel = "all-MiniLM-L6-v2"
    static let openAIModel = "text-embedding-3-small"
    /// Only to spare people a setting; any other model works with `EMBEDDING_DIMENSIONS`.
    static let knownDimensions = [
        "text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536,
    ]
}

extension Int {
    fileprivate var nonZero: Int? { self == 0 ? nil : self }
}
