import CEpoll
import ServiceRuntime

extension Connection {
    /// The header is complete: finds the route, decides about the body.
    func begin(_ headers: HTTPFields) {
        let target: RequestTarget
        do throws(HTTPParseError) {
            target = try headers.bytes.withUnsafeBufferPointer { bytes throws(HTTPParseError) in
                try RequestTarget(bytes.slice(parser.target))
            }
        } catch {
            return fail(error)
        }
        let method = headers.text(parser.method)
        if target.path == "*", method != "OPTIONS" { return fail(.badTarget) }
        let targetText = target.path.utf8.count == parser.target.count ? target.path : headers.text(parser.target)
        var request = HTTPRequest(
            method: method, path: target.path, target: targetText, headers: headers, body: [], id: requestID(headers),
            trace: trace(headers), remoteAddress: remoteAddress)
        let found = context.router.find(method, path: target.path, rawPath: target.rawPath)
        request.parameters = found.parameters
        request.route = found.endpoint.pattern

        let (hasBody, length) = (parser.hasBody, parser.contentLength ?? 0)
        let sink: Exchange.Sink
        let limit: Int
        switch found.endpoint.body {
        case .buffered(let bytes):
            limit = bytes
            sink = found.isRoute ? .buffer(limit: limit) : .discard(limit: limit)
        case .streaming(let bytes):
            limit = bytes
            let channel = BodyChannel()
            request.bodyStream = HTTPBodyStream(channel: channel)
            sink = .stream(channel, limit: limit)
            if !hasBody { channel.finish() }
        }
        exchange = Exchange(
            context: context, request: request, endpoint: found.endpoint, head: parser, start: monotonic_nanoseconds(),
            sink: sink)
        if inputEnded { exchange?.probeAt = loop.now + owner.times.probe }
        if !hasBody { return dispatch() }
        if length > limit {
            return found.isRoute ? refuse(.payloadTooLarge(limit: limit)) : dispatchWithoutBody()
        }
        // A client that waits for permission to send gets the refusal at once.
        if !found.isRoute, parser.expectsContinue { return dispatchWithoutBody() }
        awaitBody(length)
    }

    private func awaitBody(_ length: Int) {
        if exchange?.expectsContinue == true, consumed == inbound.count {
            send { $0.append(contentsOf: Self.continueLine) }
        }
        exchange?.stallsAt = loop.now + owner.times.stall
        switch exchange?.sink {
        case .buffer:
            exchange?.bodyEndsAt = loop.now + owner.times.body
            exchange?.request.body.reserveCapacity(min(length, 1 << 20))
        case .stream(let channel, _):
            let number = exchangeNumber
            channel.whenRoom { [weak self] in
                guard let self else { return }
                loop.execute { self.resumeBody(number) }
            }
            dispatch()
        default: break
        }
    }

    static let continueLine = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)

    /// Returns whether the connection can go on at once.
    func readBody() -> Bool {
        guard let exchange, !exchange.isBodyComplete, !exchange.isBodyPaused, consumed < inbound.count else {
            return false
        }
        var piece: [UInt8] = []
        do throws(HTTPParseError) {
            consumed += try inbound.withUnsafeBufferPointer { bytes throws(HTTPParseError) in
                let rest = bytes.slice(consumed..<bytes.count)
                if case .buffer = exchange.sink {
                    return try exchange.decoder.decode(rest, into: &exchange.request.body)
                }
                return try exchange.decoder.decode(rest, into: &piece)
            }
        } catch {
            bodyFailed(Problem(status: error.status, detail: error.detail))
            return false
        }
        exchange.stallsAt = loop.now + owner.times.stall
        exchange.bodyCount += piece.count
        return take(piece, exchange)
    }

    private func take(_ piece: [UInt8], _ exchange: Exchange) -> Bool {
        let isComplete = exchange.decoder.isComplete
        switch exchange.sink {
        case .buffer(let limit) where exchange.request.body.count > limit,
            .stream(_, let limit) where exchange.bodyCount > limit:
            bodyFailed(.payloadTooLarge(limit: limit))
            return false
        case .buffer where !exchange.accountForBuffer():
            bodyFailed(.unavailable("too many large requests at once", retryAfter: .seconds(1)))
            return false
        case .discard(let limit) where exchange.bodyCount > limit:
            dispatchWithoutBody()
            return false
        case .stream(let channel, _):
            if !piece.isEmpty, !channel.push(piece), !isComplete { exchange.isBodyPaused = true }
            if isComplete { channel.finish() }
        default: break
        }
        guard isComplete else { return false }
        exchange.isBodyComplete = true
        exchange.stallsAt = 0
        exchange.bodyEndsAt = 0
        if !exchange.isDispatched { dispatch() }
        return phase == .head
    }

    /// A reader of a streamed body has made room.
    private func resumeBody(_ number: Int) {
        guard number == exchangeNumber, exchange?.isBodyPaused == true else { return }
        exchange?.isBodyPaused = false
        exchange?.stallsAt = loop.now + owner.times.stall
        process()
    }

    /// The body cannot be read to its end; neither can be what would follow it.
    func bodyFailed(_ problem: Problem) {
        exchange?.keepsAlive = false
        guard case .stream(let channel, _) = exchange?.sink, exchange?.isDispatched == true else {
            return refuse(problem)
        }
        exchange?.isBodyPaused = true
        exchange?.stallsAt = 0
        channel.finish(throwing: problem)
    }

    /// Answers without a handler.
    private func refuse(_ problem: Problem) {
        guard let exchange else { return }
        exchange.keepsAlive = false
        exchange.isDispatched = true
        answer(context.router.errorForm(problem, exchange.request), exchangeNumber)
    }

    private func dispatchWithoutBody() {
        exchange?.keepsAlive = false
        exchange?.isBodyPaused = true
        dispatch()
    }

    /// Runs the handler, from here as far as it gets without waiting.
    private func dispatch() {
        guard let exchange else { return }
        exchange.isDispatched = true
        let (request, endpoint, number) = (exchange.request, exchange.endpoint, exchangeNumber)
        owner.running += 1
        let task = Task.immediateDetached(executorPreference: loop) { [self] in
            let response = await endpoint.respond(request)
            await complete(response, number)
            owner.running -= 1
        }
        if number == exchangeNumber { exchange.task = task }
    }

    // MARK: - Limits of time

    func exchangeTick(_ now: UInt64) {
        guard let exchange else { return }
        if exchange.stallsAt > 0 && now >= exchange.stallsAt && !exchange.isBodyPaused
            || exchange.bodyEndsAt > 0 && now >= exchange.bodyEndsAt
        {
            return bodyTimedOut()
        }
        if exchange.probeAt > 0, now >= exchange.probeAt { probe(now) }
        if case .streaming(_, events: true) = exchange.answer, now - exchange.lastWriteAt >= owner.times.eventKeepAlive,
            unsent == 0
        {
            sendChunk(Array(": keep-alive\n\n".utf8))
            flush()
        }
    }

    private func bodyTimedOut() {
        bodyFailed(Problem(status: 408, detail: "the body took too long"))
        process()
    }

    /// Finds out whether a client that has ended its input has gone: its system refuses what is sent to a closed socket.
    /// Before an answer an interim response does no harm (RFC 9110, section 15.2); an event stream takes a comment.
    private func probe(_ now: UInt64) {
        exchange?.probeAt = now + 5 * owner.times.probe
        switch exchange?.answer {
        case .none? where exchange?.minorVersion == 1: send { $0.append(contentsOf: Self.continueLine) }
        case .streaming(_, events: true)?: sendChunk(Array(":\n\n".utf8))
        default: return
        }
        flush()
    }

    // MARK: - Who asks

    private func requestID(_ headers: HTTPFields) -> String {
        if let range = parser.requestID, 1...128 ~= range.count {
            let isSane = headers.bytes[range].allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x3A, 0x7E: true  // -._:~
                default: false
                }
            }
            if isSane { return headers.text(range) }
        }
        // 13 characters fit into a String without an allocation.
        var number = owner.random.next()
        return String(unsafeUninitializedCapacity: 13) { text in
            for index in 0..<13 {
                let digit = UInt8(number & 31)
                text[index] = digit < 10 ? 0x30 + digit : 0x57 + digit
                number >>= 5
            }
            return 13
        }
    }

    private func trace(_ headers: HTTPFields) -> TraceContext {
        if let range = parser.traceparent, let parent = TraceContext(traceparent: headers.text(range)) {
            return parent.child(using: &owner.random)
        }
        return TraceContext(using: &owner.random)
    }
}
