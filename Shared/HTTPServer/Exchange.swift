import ServiceRuntime

/// A request in flight and what became of it so far.
final class Exchange {
    /// Where a body goes.
    enum Sink {
        case buffer(limit: Int)
        case stream(BodyChannel, limit: Int)
        /// For an answer that is no route's.
        case discard(limit: Int)
    }
    enum Answer { case none, streaming(chunked: Bool, events: Bool) }

    private let context: ServerContext
    var request: HTTPRequest
    let endpoint: CompiledRouter.Endpoint
    let minorVersion: Int
    var keepsAlive: Bool
    let expectsContinue: Bool
    /// Units: ns, monotonic.
    let start: UInt64
    var task: Task<Void, Never>?

    let sink: Sink
    var decoder: BodyDecoder
    var bodyCount = 0
    private var bufferedCount = 0
    var isBodyComplete: Bool
    var isBodyPaused = false
    /// Units: ms of the loop's clock; 0 is none.
    var stallsAt: UInt64 = 0
    var bodyEndsAt: UInt64 = 0
    var isDispatched = false

    var answer = Answer.none
    var status = 0
    var bytesSent = 0
    var lastWriteAt: UInt64 = 0
    /// When to find out whether a client that has ended its input is still there; 0 is never.
    var probeAt: UInt64 = 0

    init(
        context: ServerContext, request: HTTPRequest, endpoint: CompiledRouter.Endpoint, head: RequestHeadParser,
        start: UInt64, sink: Sink
    ) {
        self.context = context
        self.request = request
        self.endpoint = endpoint
        minorVersion = head.minorVersion
        keepsAlive = head.keepsAlive
        expectsContinue = head.expectsContinue && head.minorVersion == 1
        self.start = start
        self.sink = sink
        decoder = head.isChunked ? .chunked : .length(head.contentLength ?? 0)
        isBodyComplete = !head.hasBody
    }

    deinit { if bufferedCount > 0 { context.bufferedBytes.subtract(bufferedCount, ordering: .relaxed) } }

    /// Counts what has been buffered. Returns whether all that the server buffers is still within its limit.
    func accountForBuffer() -> Bool {
        let added = request.body.count - bufferedCount
        bufferedCount += added
        return context.bufferedBytes.add(added, ordering: .relaxed).newValue <= context.limits.bufferedBytes
    }

    /// The client is gone.
    func abandon() {
        task?.cancel()
        if case .stream(let channel, _) = sink { channel.finish(throwing: HTTPDisconnected()) }
    }
}
