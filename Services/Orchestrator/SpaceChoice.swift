import Datasources
import HTTPServer
import ServiceClients
import ServiceRuntime
import WireProtocol

/// Which embedding space is meant by settings that name a part of one.
struct SpaceChoice: Sendable {
    /// Those that the embedder is configured with.
    let providers: [EmbedderClient.Provider]

    /// What is left out is `current`'s (the collection's, where it has a space) while the provider and the model stay, else the
    /// provider's own setting.
    /// Throws: 400 for a provider that is not there, and for a model of unknown dimensions.
    func space(of wanted: Datasource.Embedding, current: EmbeddingSpace? = nil) throws(Problem) -> EmbeddingSpace {
        let name = wanted.provider ?? current?.provider
        guard let provider = providers.first(where: { name == nil ? $0.isDefault : $0.name == name }) else {
            throw .badRequest(
                field: "embedding.provider",
                "must be one that the embedder is configured with: \(providers.map(\.name).joined(separator: ", "))")
        }
        var space = provider.space
        let stays = current?.provider == space.provider
        if let model = wanted.model ?? (stays ? current?.model : nil) { space.model = model }
        if let dimensions = wanted.dimensions {
            space.dimensions = dimensions
        } else if stays, let current, space.model == current.model {
            space.dimensions = current.dimensions
        } else if space.model != provider.space.model {
            throw .badRequest(
                field: "embedding.dimensions",
                "is required for the model \(space.model): how many numbers its vectors have")
        }
        return space
    }

    /// Nothing about it is asked for that the embedder is not configured with: it need not be tried.
    func isConfigured(_ space: EmbeddingSpace) -> Bool { providers.contains { $0.space == space } }
}

extension EmbedderClient {
    /// Embeds one short text, to see whether a space can be served before anything is made for it.
    /// Throws: 400 where it cannot.
    func probe(_ space: EmbeddingSpace, trace: TraceContext) async throws {
        do {
            _ = try await embed(
                ["a text to try an embedding model with"], space: space, task: "document", trace: trace)
        } catch let error as ServiceClientError where error.isAboutTheRequest {
            throw Problem.badRequest(field: "embedding", "cannot be served: \(error.detail)")
        }
    }
}

extension ServiceClientError {
    /// Another try will not help: the space, not the moment, is wrong.
    fileprivate var isAboutTheRequest: Bool {
        switch self {
        case .refused(_, let status, _): (400..<500).contains(status) && status != 429
        case .malformed: true
        case .unreachable, .timedOut: false
        }
    }
}
