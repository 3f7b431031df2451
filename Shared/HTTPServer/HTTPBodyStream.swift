import Synchronization

/// The body of a request as it arrives, on routes registered with `.streaming`. Reading is what makes room for more.
///
/// Throws: `Problem` (413 over the route's limit, 400 for broken chunks, 408 for a stalled client), `HTTPDisconnected`.
package struct HTTPBodyStream: AsyncSequence, Sendable {
    package typealias Element = [UInt8]
    let channel: BodyChannel?

    /// For tests: a body that has arrived.
    package init(_ chunks: [[UInt8]] = []) {
        channel = BodyChannel()
        for chunk in chunks { channel?.push(chunk) }
        channel?.finish()
    }
    init(channel: BodyChannel?) { self.channel = channel }

    package struct Iterator: AsyncIteratorProtocol {
        let channel: BodyChannel?
        package func next() async throws -> [UInt8]? { try await channel?.next() }
    }
    package func makeAsyncIterator() -> Iterator { Iterator(channel: channel) }

    /// The whole body, for a handler that needs it in one piece after all.
    package func collected() async throws -> [UInt8] {
        var bytes: [UInt8] = []
        for try await chunk in self { bytes += chunk }
        return bytes
    }
}

/// Between the connection, which pushes, and one reader.
final class BodyChannel: Sendable {
    private struct State {
        var chunks: [[UInt8]] = []
        var buffered = 0
        var ended = false
        var failure: (any Error)?
        var waiter: CheckedContinuation<Void, Never>?
        var onRoom: (@Sendable () -> Void)?
    }
    private let state = Mutex(State())
    /// More than this unread makes the connection stop reading.
    static let capacity = 256 << 10

    /// Called, on any thread, when a reader has made room after `push` returned false.
    func whenRoom(_ action: @escaping @Sendable () -> Void) { state.withLock { $0.onRoom = action } }

    /// Returns false when enough is buffered.
    @discardableResult
    func push(_ bytes: [UInt8]) -> Bool {
        let (waiter, hasRoom) = state.withLock { state in
            state.chunks.append(bytes)
            state.buffered += bytes.count
            return (Self.takeWaiter(&state), state.buffered < Self.capacity)
        }
        waiter?.resume()
        return hasRoom
    }

    func finish(throwing failure: (any Error)? = nil) {
        state.withLock { state in
            if !state.ended { state.failure = failure }
            state.ended = true
            return Self.takeWaiter(&state)
        }?.resume()
    }

    private static func takeWaiter(_ state: inout State) -> CheckedContinuation<Void, Never>? {
        defer { state.waiter = nil }
        return state.waiter
    }

    private enum Step { case chunk([UInt8], (@Sendable () -> Void)?), end, failed(any Error), wait }

    func next() async throws -> [UInt8]? {
        while true {
            try Task.checkCancellation()
            switch step() {
            case .chunk(let bytes, let onRoom):
                onRoom?()
                return bytes
            case .end: return nil
            case .failed(let error): throw error
            case .wait: await waitForMore()
            }
        }
    }

    private func step() -> Step {
        state.withLock { state in
            if state.chunks.isEmpty {
                if let failure = state.failure { return .failed(failure) }
                return state.ended ? .end : .wait
            }
            let wasFull = state.buffered >= Self.capacity
            let chunks = state.chunks
            state.chunks = []
            state.buffered = 0
            return .chunk(chunks.count == 1 ? chunks[0] : Array(chunks.joined()), wasFull ? state.onRoom : nil)
        }
    }

    private func waitForMore() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let resumeNow = state.withLock { state in
                    if !state.chunks.isEmpty || state.ended || Task.isCancelled { return true }
                    state.waiter = continuation
                    return false
                }
                if resumeNow { continuation.resume() }
            }
        } onCancel: {
            state.withLock { Self.takeWaiter(&$0) }?.resume()
        }
    }
}
