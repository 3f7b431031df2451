import Synchronization

/// The request to stop, seen by every part of a process: claim nothing new, finish or give back what is held.
package final class Shutdown: Sendable {
    private struct State {
        var requested = false
        var nextID = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        var actions: [@Sendable () -> Void] = []
    }
    private let state = Mutex(State())
    package init() {}

    package var isRequested: Bool { state.withLock { $0.requested } }

    package func request() {
        let (waiters, actions) = state.withLock { state in
            state.requested = true
            defer {
                state.waiters = [:]
                state.actions = []
            }
            return (Array(state.waiters.values), state.actions)
        }
        for waiter in waiters { waiter.resume() }
        for action in actions { action() }
    }

    /// Returns when a stop is requested or the task is cancelled.
    package func wait() async {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let resumeNow = state.withLock { state in
                    if state.requested || Task.isCancelled { return true }
                    state.waiters[id] = continuation
                    return false
                }
                if resumeNow { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
        }
    }

    /// Runs `action` when a stop is requested: at once when it already is.
    package func onRequest(_ action: @escaping @Sendable () -> Void) {
        let runNow = state.withLock { state in
            if !state.requested { state.actions.append(action) }
            return state.requested
        }
        if runNow { action() }
    }

    /// Sleeps for `duration`, less when a stop is requested. Returns false when it was cut short.
    @discardableResult
    package func sleep(for duration: Duration) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask { (try? await Task.sleep(for: duration)) != nil }
            group.addTask {
                await self.wait()
                return false
            }
            let slept = await group.next() ?? false
            group.cancelAll()
            return slept
        }
    }
}
