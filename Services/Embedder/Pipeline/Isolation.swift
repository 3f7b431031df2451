/// Embeds a batch although some of its texts may be refused: a batch that fails is halved until the bad text stands alone.
/// One bad text of n costs at most 2 * ceil(log2 n) + 1 calls.
struct Isolation: Sendable {
    /// So many texts refused one by one, none taken: it is not the texts.
    fileprivate static let refusalsInARow = 8
    private let call: @Sendable (ArraySlice<String>) async throws(EmbeddingError) -> EmbeddingAnswer

    init(_ call: @escaping @Sendable (ArraySlice<String>) async throws(EmbeddingError) -> EmbeddingAnswer) {
        self.call = call
    }

    struct Outcome: Sendable {
        var results: [Result<[Float], EmbeddingError>] = []
        var tokens = 0
        /// The provider's own failure; nothing was tried after it, and what had no vector by then has it as its result.
        var fault: EmbeddingError?
        fileprivate var taken = 0
        fileprivate var refused = 0
        fileprivate var suspects = 0
    }

    func embed(_ texts: [String]) async -> Outcome {
        var outcome = Outcome()
        await embed(texts[...], into: &outcome)
        // One text failed as a broken server fails, and no other text says that the server works.
        if outcome.suspects > 0 && outcome.taken == 0 { outcome.blameProvider() }
        return outcome
    }

    private func embed(_ texts: ArraySlice<String>, into outcome: inout Outcome) async {
        if let fault = outcome.fault { return outcome.append(.failure(fault), count: texts.count) }
        do {
            let answer = try await call(texts)
            outcome.taken += texts.count
            outcome.tokens += answer.tokens ?? texts.reduce(0) { $0 + estimatedTokens(of: $1) }
            outcome.results += await askedAgain(answer.results, texts, tokens: &outcome.tokens).map {
                $0.mapError(\.alone)
            }
        } catch  where texts.count > 1 && error.mayBeOneTexts {
            let middle = texts.startIndex + (texts.count + 1) / 2
            await embed(texts[..<middle], into: &outcome)
            await embed(texts[middle...], into: &outcome)
        } catch {
            outcome.fail(error, count: texts.count)
        }
    }

    /// A vector of NaN among good ones may be an accident of the moment: those texts get one more call together.
    private func askedAgain(
        _ results: [Result<[Float], EmbeddingError>], _ texts: ArraySlice<String>, tokens: inout Int
    ) async -> [Result<[Float], EmbeddingError>] {
        let bad = results.indices.filter { if case .failure = results[$0] { true } else { false } }
        guard !bad.isEmpty, let again = try? await call(bad.map { texts[texts.startIndex + $0] }[...]) else {
            return results
        }
        tokens += again.tokens ?? 0
        var results = results
        for (index, result) in zip(bad, again.results) { results[index] = result }
        return results
    }
}

extension EmbeddingError {
    fileprivate var alone: EmbeddingError {
        var copy = self
        copy.isTextsAlone = true
        return copy
    }
}

extension Isolation.Outcome {
    fileprivate mutating func append(_ result: Result<[Float], EmbeddingError>, count: Int) {
        results.append(contentsOf: repeatElement(result, count: count))
    }

    fileprivate mutating func fail(_ error: EmbeddingError, count: Int) {
        guard error.isTheTexts || (error.mayBeOneTexts && (taken > 0 || suspects == 0)) else {
            fault = error
            append(.failure(error), count: count)
            return
        }
        append(.failure(error.alone), count: count)
        if error.isTheTexts { refused += 1 } else { suspects += 1 }
        if taken == 0 && refused >= Isolation.refusalsInARow { blameProvider() }
    }

    /// The refusals so far become the provider's fault, which ends the batch.
    fileprivate mutating func blameProvider() {
        guard case .failure(var error)? = results.last(where: { if case .failure = $0 { true } else { false } }) else {
            return
        }
        error.isTextsAlone = false
        fault = error
        for index in results.indices {
            if case .failure = results[index] { results[index] = .failure(error) }
        }
    }
}
