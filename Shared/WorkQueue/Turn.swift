import Synchronization

/// One at a time, in order of arrival. Not cancellable: whoever has the turn keeps it for a bounded time.
final class Turn: Sendable {
    private struct State {
        var taken = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }
    private let state = Mutex(State())

    func take() async {
        await withCheckedContinuation { continuation in
            let free = state.withLock { state in
                guard state.taken else { state.taken = true; return true }
                state.waiters.append(continuation)
                return false
            }
            if free { continuation.resume() }
        }
    }

    func give() {
        let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if state.waiters.isEmpty {
                state.taken = false
                return nil
            }
            return state.waiters.removeFirst()
        }
        next?.resume()
    }
}
