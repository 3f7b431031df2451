import CEpoll
import ServiceRuntime
import WireProtocol

/// One client: its bytes in, the request in flight, its bytes out. Requests are answered one after the other, in order.
///
/// `@unchecked Sendable`: touched by its loop's thread alone; tasks reach it from there or through `loop.execute`.
final class Connection: @unchecked Sendable {
    enum Phase {
        /// Waiting for, or in, a request's header.
        case head
        /// A request is being answered, its body perhaps still read.
        case exchange
        /// Nothing more is answered; what is left is sent and the client's rest is read away.
        case ending
        case closed
    }

    let owner: ConnectionSet
    let id: UInt64
    let remoteAddress: String
    private let file: Int32
    var phase = Phase.head

    // In
    var inbound: [UInt8] = []
    var consumed = 0
    var parser = RequestHeadParser()
    private var hasBegun = false
    private var served = 0
    private(set) var inputEnded = false
    private var sawPeerEnd = false
    private var isProcessing = false
    /// Units: ms of the loop's clock; 0 is none. Of the header, of the pause between requests, of the ending.
    var deadline: UInt64

    // The request in flight
    var exchange: Exchange?
    var exchangeNumber = 0

    // Out
    var outbound: [UInt8] = []
    private var sent = 0
    private var progressAt: UInt64 = 0
    private var mustCloseAbruptly = false
    private var hasEndedSending = false
    private var writers: [CheckedContinuation<Void, any Error>] = []
    private var interest = Connection.reading

    static let reading = epoll_readable | epoll_peer_ended
    /// More than this waiting for the client makes writers wait; less than a quarter wakes them.
    private static let highWater = 64 << 10
    /// A client that sends requests before it reads answers is read no further than this.
    private static let pipelineLimit = 64 << 10
    /// An idle connection gives larger buffers back.
    private static let keptCapacity = 16 << 10

    var loop: EventLoop { owner.loop }
    var context: ServerContext { owner.context }
    var unsent: Int { outbound.count - sent }

    init(file: Int32, id: UInt64, remoteAddress: String, owner: ConnectionSet) {
        self.file = file
        self.id = id
        self.remoteAddress = remoteAddress
        self.owner = owner
        deadline = owner.loop.now + owner.times.head
    }

    // MARK: - Events

    func ready(_ events: UInt32) {
        if events & epoll_broken != 0 { return close() }
        if events & epoll_readable != 0 {
            receive()
        } else if events & epoll_peer_ended != 0 {
            // Unread bytes come first: only an empty read is the end of the input.
            sawPeerEnd = true
            exchange?.probeAt = loop.now + owner.times.probe
        }
        if phase != .closed, events & epoll_writable != 0 { flush() }
        if phase != .closed { updateInterest() }
    }

    private func receive() {
        let count = socket_receive(file, owner.scratch.baseAddress, owner.scratch.count)
        if count == 0 { return peerEnded() }
        guard count > 0 else {
            if count != -11 { close() }  // EAGAIN
            return
        }
        if phase == .ending { return }
        inbound.append(contentsOf: UnsafeRawBufferPointer(rebasing: owner.scratch[0..<count]))
        process()
    }

    /// The client sends no more. It may still wait for its answers (`shutdown(SHUT_WR)`), or be gone: only sending tells.
    private func peerEnded() {
        if inputEnded { return }
        inputEnded = true
        if phase == .ending {
            if unsent == 0 { close() }
            return
        }
        if let exchange, !exchange.isBodyComplete { bodyFailed(.badRequest("the body ended early")) }
        process()
        exchange?.probeAt = loop.now + owner.times.probe
    }

    func tick(_ now: UInt64) {
        if unsent > 0, now - progressAt >= owner.times.stall { return close() }
        switch phase {
        case .head where now >= deadline: headTimedOut()
        case .ending where deadline > 0 && now >= deadline: close()
        case .exchange: exchangeTick(now)
        default: break
        }
        if phase != .closed { updateInterest() }
    }

    private func headTimedOut() {
        // A client that has sent nothing has asked for nothing.
        if inbound.count > consumed {
            fail(HTTPParseError(status: 408, detail: "the header took too long"))
        } else {
            close()
        }
    }

    // MARK: - Bytes in

    /// Takes requests from what has arrived until one has to wait.
    func process() {
        if isProcessing { return }
        isProcessing = true
        while advance() {}
        isProcessing = false
        if phase == .closed { return }
        if consumed == inbound.count {
            consumed = 0
            if inbound.capacity > Self.keptCapacity { inbound = [] } else { inbound.removeAll(keepingCapacity: true) }
        } else if consumed > 32 << 10 {
            inbound.removeSubrange(0..<consumed)
            consumed = 0
        }
        flush()
        if phase != .closed { updateInterest() }
    }

    /// Returns whether there may be more to do.
    private func advance() -> Bool {
        switch phase {
        case .head: readHead()
        case .exchange: readBody()
        case .ending, .closed: false
        }
    }

    private func readHead() -> Bool {
        let outcome = inbound.withUnsafeBufferPointer {
            parser.parse($0.slice(consumed..<$0.count), limits: context.limits)
        }
        switch outcome {
        case .incomplete:
            if inputEnded {
                end()
            } else if !hasBegun, inbound.count > consumed {
                hasBegun = true
                if served > 0 { deadline = loop.now + owner.times.head }
            }
            return false
        case .failed(let error):
            fail(error)
            return false
        case .complete(let count):
            let head = HTTPFields(bytes: Array(inbound[consumed..<(consumed + count)]), slots: parser.fields)
            consumed += count
            phase = .exchange
            begin(head)
            return true
        }
    }

    /// The answer is complete: the next request, or the end.
    func nextRequest(keepingAlive: Bool) {
        exchange = nil
        exchangeNumber += 1
        served += 1
        guard keepingAlive, phase == .exchange else {
            if phase == .exchange { end() }
            return process()
        }
        phase = .head
        parser = RequestHeadParser()
        hasBegun = false
        deadline = loop.now + owner.times.idle
        if owner.isDraining, inbound.count == consumed { end() }
        process()
    }

    // MARK: - Bytes out

    func flush() {
        while unsent > 0 {
            let count = outbound.withUnsafeBytes { bytes in
                socket_send(file, bytes.baseAddress.map { $0 + sent }, bytes.count - sent)
            }
            guard count > 0 else {
                if count != -11 { return close() }  // EAGAIN
                break
            }
            sent += count
            progressAt = loop.now
        }
        if unsent == 0 {
            sent = 0
            if outbound.capacity > Self.keptCapacity {
                outbound = []
            } else {
                outbound.removeAll(keepingCapacity: true)
            }
            if phase == .ending { flushedLast() }
        }
        if !writers.isEmpty, unsent < Self.highWater / 4 { wakeWriters() }
    }

    /// Appends to what is sent; a large body is not copied where it can follow directly.
    func send(body: [UInt8]) {
        if body.count >= Self.highWater {
            flush()
            if phase == .closed { return }
            if unsent == 0 {
                outbound = body
                sent = 0
                progressAt = loop.now
                return
            }
        }
        send { $0.append(contentsOf: body) }
    }

    @inline(__always)
    func send(_ append: (inout [UInt8]) -> Void) {
        if unsent == 0 { progressAt = loop.now }
        append(&outbound)
    }

    var isCongested: Bool { unsent >= Self.highWater }

    func wait(_ writer: CheckedContinuation<Void, any Error>) {
        writers.append(writer)
        updateInterest()
    }

    private func wakeWriters(throwing error: (any Error)? = nil) {
        let waiting = writers
        writers = []
        for writer in waiting {
            if let error { writer.resume(throwing: error) } else { writer.resume() }
        }
    }

    private func updateInterest() {
        var wanted: UInt32 = 0
        if !inputEnded {
            if !sawPeerEnd { wanted |= epoll_peer_ended }
            if phase == .ending || wantsInput { wanted |= epoll_readable }
        }
        if unsent > 0 { wanted |= epoll_writable }
        if wanted == interest { return }
        interest = wanted
        loop.rewatch(file, wanted, id)
    }

    private var wantsInput: Bool {
        if phase == .head { return true }
        guard let exchange else { return false }
        return exchange.isBodyComplete ? inbound.count - consumed < Self.pipelineLimit : !exchange.isBodyPaused
    }

    // MARK: - The end

    /// One connection too many.
    func refuse() {
        respond(to: HTTPParseError(status: 503, detail: "too many connections"), retryAfter: true)
        flush()
        if phase != .closed { updateInterest() }
    }

    func fail(_ error: HTTPParseError) {
        context.malformed.count(status: error.status, seconds: 0)
        if context.accessLog {
            context.log.info(
                "http.request_refused",
                ["status": JSONValue(error.status), "reason": .string(error.detail), "remote": .string(remoteAddress)])
        }
        respond(to: error, retryAfter: false)
    }

    private func respond(to error: HTTPParseError, retryAfter: Bool) {
        var problem = Problem(status: error.status, detail: error.detail)
        if retryAfter { problem.headers["Retry-After"] = "1" }
        let response = problem.response()
        writeHead(response, length: response.bytes?.count ?? 0, requestID: nil, closes: true, minorVersion: 1)
        send(body: response.bytes ?? [])
        end()
    }

    /// Sends what is left, then closes. Reading goes on for a moment: closing with unread bytes would reset the connection and
    /// could cost the client its answer.
    func end(abruptly: Bool = false) {
        guard phase != .closed else { return }
        phase = .ending
        mustCloseAbruptly = abruptly
        deadline = 0
        consumed = inbound.count
        if unsent == 0, !isProcessing { flushedLast() }
    }

    private func flushedLast() {
        if inputEnded || mustCloseAbruptly { return close() }
        if hasEndedSending { return }
        hasEndedSending = true
        socket_end_sending(file)
        deadline = loop.now + 2000
    }

    /// Closed for whatever reason: a handler still at work is cancelled.
    func close() {
        guard phase != .closed else { return }
        phase = .closed
        socket_close(file)
        let ended = exchange
        exchange = nil
        exchangeNumber += 1
        inbound = []
        outbound = []
        sent = 0
        consumed = 0
        ended?.abandon()
        wakeWriters(throwing: HTTPDisconnected())
        owner.removed(id)
    }

    func drain() {
        guard phase == .head, inbound.count == consumed else { return }
        if served == 0 {
            // Its first request may be on its way.
            deadline = min(deadline, loop.now + 1000)
            return
        }
        // So may be its next one.
        receive()
        if phase == .head, inbound.count == consumed, unsent == 0 { return close() }
        if phase != .closed { updateInterest() }
    }

    func cancel() {
        if phase == .exchange { exchange?.task?.cancel() } else { close() }
    }
}
