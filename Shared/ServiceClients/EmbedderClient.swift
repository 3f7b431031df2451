import FastJSON
import HTTPClient
import ServiceRuntime
import WireProtocol

/// The embedder over HTTP: single queries; batches of records go over its list.
package struct EmbedderClient: Sendable {
    private let caller: ServiceCaller

    package init(client: HTTPClient, url: String, internalToken: String?) {
        caller = ServiceCaller(
            service: "embedder", url: url, client: client, headers: ServiceCaller.bearer(internalToken))
    }

    package struct Embeddings: Sendable {
        /// Shape: one for each text, `dimensions` numbers each.
        package var vectors: [[Float]]
        package var model: String
        package var dimensions: Int
        /// How many came from the cache.
        package var cached: Int
        package var tokens: Int
    }

    /// `task`: `document` or `query`. `isPatient`: an embedder that does not answer is asked again for a while.
    package func embed(
        _ texts: [String], space: EmbeddingSpace, task: String, trace: TraceContext? = nil,
        timeout: Duration = .seconds(30), isPatient: Bool = true
    ) async throws -> Embeddings {
        let body: JSONValue = [
            "texts": .array(texts.map(JSONValue.string)), "provider": .string(space.provider),
            "model": .string(space.model),
            "dimensions": JSONValue(space.dimensions), "task": .string(task),
        ]
        let answer = try await caller.json(
            "POST", "/embed", body: body, timeout: timeout, isIdempotent: isPatient, trace: trace)
        let vectors = answer["vectors"]?.array?.map { $0.array?.compactMap { $0.double.map { Float($0) } } ?? [] } ?? []
        guard vectors.count == texts.count, vectors.allSatisfy({ $0.count == space.dimensions }) else {
            throw ServiceClientError.malformed(
                service: "embedder", reason: "\(texts.count) vectors of \(space.dimensions) numbers were expected")
        }
        return Embeddings(
            vectors: vectors, model: answer["model"]?.string ?? space.model, dimensions: space.dimensions,
            cached: Int(answer["cached"]?.integer ?? 0), tokens: Int(answer["tokens"]?.integer ?? 0))
    }

    /// What this embedder is configured with.
    package struct Provider: Sendable {
        package var name: String
        /// The space of its own settings. Another model or other dimensions are asked for by name; `embed` says if they are there.
        package var space: EmbeddingSpace
        /// What the suite takes where nothing is said.
        package var isDefault: Bool
        /// Units: US dollars.
        package var costPerMillionTokens: Double

        package init(name: String, space: EmbeddingSpace, isDefault: Bool, costPerMillionTokens: Double) {
            self.name = name
            self.space = space
            self.isDefault = isDefault
            self.costPerMillionTokens = costPerMillionTokens
        }
    }

    package func providers(trace: TraceContext? = nil) async throws -> [Provider] {
        let answer = try await caller.json("GET", "/providers", trace: trace)
        return (answer["providers"]?.array ?? []).compactMap { provider in
            guard let space = provider["space"]?.string.flatMap(EmbeddingSpace.init(identifier:)) else { return nil }
            return Provider(
                name: space.provider, space: space, isDefault: provider["default"] == true,
                costPerMillionTokens: provider["cost_per_million_tokens"]?.double ?? 0)
        }
    }
}
