import Synchronization

/// One caller's texts, answered when the last of them is.
final class EmbeddingRequest: Sendable {
    struct State {
        var outcomes: [Embedding?]
        var remaining: Int
        var waiting: CheckedContinuation<Void, Never>?
    }
    let state: Mutex<State>
    let isWanted: EmbeddingLane.IsWanted
    let isUrgent: Bool

    init(count: Int, isUrgent: Bool, isWanted: @escaping EmbeddingLane.IsWanted) {
        state = Mutex(State(outcomes: Array(repeating: nil, count: count), remaining: count))
        self.isUrgent = isUrgent
        self.isWanted = isWanted
    }

    func settle(_ index: Int, _ embedding: Embedding) {
        let waiting = state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard state.outcomes[index] == nil else { return nil }
            state.outcomes[index] = embedding
            state.remaining -= 1
            return state.remaining == 0 ? state.waiting.take() : nil
        }
        waiting?.resume()
    }
}
