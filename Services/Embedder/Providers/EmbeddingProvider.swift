/// Turns texts into vectors: this process, or an API.
protocol EmbeddingProvider: Sendable {
    var description: ProviderDescription { get }

    /// One call, not repeated: retries, limits and isolation of bad texts are `ProviderGate`'s and `Isolation`'s work.
    ///
    /// The answer has one result a text, in their order: a unit vector of `dimensions`, or why this text alone has none.
    /// Throws: what concerns the whole call.
    func embed(_ call: EmbeddingCall) async throws(EmbeddingError) -> EmbeddingAnswer
}

struct EmbeddingCall: Sendable {
    var texts: [String]
    var model: String
    var dimensions: Int
    var task: EmbeddingTask
    /// A search waits for it.
    var isUrgent = false
}

struct EmbeddingAnswer: Sendable {
    var results: [Result<[Float], EmbeddingError>]
    /// What the provider says it used; `nil` when it does not say.
    var tokens: Int?
}

enum EmbeddingTask: String, Codable, CaseIterable, Sendable { case document, query }

/// What a provider is, for `/providers`, the batches and the cache.
struct ProviderDescription: Sendable {
    /// `local`, `openai`, ...: the first part of an embedding space.
    var name: String
    var model: String
    var dimensions: Int
    /// `none` where documents and queries are embedded alike.
    var taskScheme = "none"
    /// Whether a call may name another model or other dimensions than these.
    var takesOtherModels = false
    var takesOtherDimensions = false
    var limits = ProviderLimits()
    /// Why its vectors are worse than they should be.
    var degraded: String?
}

/// What a provider takes. Every field is configuration.
struct ProviderLimits: Sendable, Equatable {
    /// Texts in a call.
    var batchSize = 256
    /// Estimated tokens in a call.
    var batchTokens = 250_000
    var concurrency = 4
    var requestsPerMinute: Int?
    var tokensPerMinute: Int?
    var timeout: Duration = .seconds(60)
    /// Units: US dollars.
    var costPerMillionTokens = 0.0
    /// How long a part-filled batch waits for more.
    var linger: Duration = .milliseconds(5)
}

/// Tokens of a text, guessed from its bytes; rather too many.
func estimatedTokens(of text: String) -> Int { text.utf8.count / 3 + 1 }
