import Synchronization

@testable import Embedder

/// A provider in memory that answers as the test says and remembers its calls.
final class FakeProvider: EmbeddingProvider {
    typealias Reply = @Sendable (EmbeddingCall, _ number: Int) async throws -> EmbeddingAnswer
    let description: ProviderDescription
    private let reply: Reply
    private let seen = Mutex<[EmbeddingCall]>([])
    var calls: [EmbeddingCall] { seen.withLock { $0 } }

    init(
        name: String = "openai", dimensions: Int = 4, limits: ProviderLimits = ProviderLimits(),
        reply: @escaping Reply = { call, _ in FakeProvider.answer(call) }
    ) {
        description = ProviderDescription(name: name, model: "fake", dimensions: dimensions, limits: limits)
        self.reply = reply
    }

    func embed(_ call: EmbeddingCall) async throws(EmbeddingError) -> EmbeddingAnswer {
        let number = seen.withLock { seen in
            seen.append(call)
            return seen.count
        }
        do {
            return try await reply(call, number)
        } catch let error as EmbeddingError {
            throw error
        } catch {
            throw EmbeddingError(.cancelled, "\(error)")
        }
    }

    static func answer(_ call: EmbeddingCall) -> EmbeddingAnswer {
        EmbeddingAnswer(
            results: call.texts.map { .success(vector(of: $0, dimensions: call.dimensions)) },
            tokens: call.texts.count * 10)
    }

    /// A unit vector that only this text has.
    static func vector(of text: String, dimensions: Int = 4) -> [Float] {
        dimensions == 4 ? encoder.vector(of: text) : HashingEncoder(dimensions: dimensions).vector(of: text)
    }
    private static let encoder = HashingEncoder(dimensions: 4)
}
