import Synchronization

/// Bytes on their way between curl's thread, which must not wait, and a task, which may: a bounded amount of them.
final class ByteChannel: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        var isEnded = false
        var failure: HTTPClientError?
        /// curl found it full or empty, and goes on when it is told to.
        var isPaused = false
        var waiter: CheckedContinuation<Void, Never>?
        var wakeCurl: (@Sendable () -> Void)?
    }
    private let state = Mutex(State())
    static let capacity = 256 << 10

    func onChange(_ wakeCurl: @escaping @Sendable () -> Void) { state.withLock { $0.wakeCurl = wakeCurl } }

    /// No more comes, or (for a writer) no more is wanted.
    func finish(throwing failure: HTTPClientError? = nil) {
        let (waiter, wake) = state.withLock { state in
            if !state.isEnded { state.failure = failure }
            state.isEnded = true
            return (Self.takeWaiter(&state), Self.unpause(&state))
        }
        waiter?.resume()
        wake?()
    }

    // MARK: - curl's side

    /// False when it is full: curl keeps these bytes and offers them again.
    func offer(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let (accepted, waiter) = state.withLock { state in
            guard state.bytes.count < Self.capacity else {
                state.isPaused = true
                return (false, CheckedContinuation<Void, Never>?.none)
            }
            state.bytes.append(contentsOf: bytes)
            return (true, Self.takeWaiter(&state))
        }
        waiter?.resume()
        return accepted
    }

    /// How many bytes were put into `buffer`; 0 at the end, `nil` when none are there yet. Throws: what the writer ended with.
    func take(into buffer: UnsafeMutableRawBufferPointer) throws(HTTPClientError) -> Int? {
        let (count, failure, waiter) = state.withLock { state in
            let count = min(buffer.count, state.bytes.count)
            if count > 0 {
                state.bytes.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
                state.bytes.removeFirst(count)
            } else if !state.isEnded {
                state.isPaused = true
                return (Int?.none, HTTPClientError?.none, Self.takeWaiter(&state))
            }
            return (count, count == 0 ? state.failure : nil, Self.takeWaiter(&state))
        }
        waiter?.resume()
        if let failure { throw failure }
        return count
    }

    // MARK: - The task's side

    /// What has come; `nil` at the end.
    func next() async throws(HTTPClientError) -> [UInt8]? {
        while true {
            if Task.isCancelled { throw .cancelled }
            let (bytes, isEnded, failure, wake) = state.withLock { state in
                let bytes = state.bytes
                state.bytes = []
                return (bytes, state.isEnded, state.failure, bytes.isEmpty ? nil : Self.unpause(&state))
            }
            wake?()
            if !bytes.isEmpty { return bytes }
            if let failure { throw failure }
            if isEnded { return nil }
            await wait { !$0.bytes.isEmpty }
        }
    }

    /// Returns when there was room. Throws: `closed` when nobody takes it any more.
    func write(_ bytes: [UInt8]) async throws(HTTPClientError) {
        while true {
            if Task.isCancelled { throw .cancelled }
            let (written, isEnded, wake) = state.withLock { state in
                if state.isEnded { return (false, true, (@Sendable () -> Void)?.none) }
                guard state.bytes.count < Self.capacity else { return (false, false, nil) }
                state.bytes += bytes
                return (true, false, Self.unpause(&state))
            }
            wake?()
            if written { return }
            if isEnded { throw .closed }
            await wait { $0.bytes.count < Self.capacity }
        }
    }

    private func wait(until isReady: @Sendable (borrowing State) -> Bool) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let resumeNow = state.withLock { state in
                    if isReady(state) || state.isEnded || Task.isCancelled { return true }
                    state.waiter = continuation
                    return false
                }
                if resumeNow { continuation.resume() }
            }
        } onCancel: {
            state.withLock { Self.takeWaiter(&$0) }?.resume()
        }
    }

    private static func takeWaiter(_ state: inout State) -> CheckedContinuation<Void, Never>? {
        defer { state.waiter = nil }
        return state.waiter
    }
    private static func unpause(_ state: inout State) -> (@Sendable () -> Void)? {
        defer { state.isPaused = false }
        return state.isPaused ? state.wakeCurl : nil
    }
}
