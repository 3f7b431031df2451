import CEpoll
import ServiceRuntime
import WireProtocol

extension Connection {
    /// In the handler's task: sends its answer, however long that takes. `number` tells whose it is: the client may have gone.
    func complete(_ response: HTTPResponse, _ number: Int) async {
        precondition(loop.isCurrent, "an answer comes back to its connection's loop")
        guard number == exchangeNumber, let exchange else { return }
        let produce: @Sendable (HTTPBodyWriter) async throws -> Void
        switch response.body {
        case .bytes: return answer(response, number)
        case .stream(let write): produce = write
        case .events(let write): produce = { try await write(EventWriter($0)) }
        }
        if exchange.request.method == "HEAD" || HTTPStatus.hasNoBody(response.status) {
            return answer(HTTPResponse(status: response.status, headers: response.headers), number, length: nil)
        }
        startStream(response)
        do {
            try await produce(HTTPBodyWriter { [self] in try await write($0, number) })
            endStream(number)
        } catch {
            failStream(error, number)
        }
    }

    /// Sends a whole answer. `length` is `nil` where it is not known.
    func answer(_ response: HTTPResponse, _ number: Int, length: Int? = 0) {
        guard number == exchangeNumber, let exchange else { return }
        let body = response.bytes ?? []
        let hasBody = exchange.request.method != "HEAD" && !HTTPStatus.hasNoBody(response.status)
        let closes = closesAfterAnswer(exchange)
        writeHead(
            response, length: length == nil ? nil : body.count, requestID: exchange.request.id, closes: closes,
            minorVersion: exchange.minorVersion)
        if hasBody { send(body: body) }
        if phase == .closed { return }
        exchange.status = response.status
        exchange.bytesSent = hasBody ? body.count : 0
        finish(closes: closes)
    }

    private func closesAfterAnswer(_ exchange: Exchange) -> Bool {
        !exchange.keepsAlive || !exchange.isBodyComplete || owner.isDraining
    }

    private func finish(closes: Bool) {
        guard let exchange else { return }
        let nanoseconds = monotonic_nanoseconds() - exchange.start
        exchange.endpoint.series.count(status: exchange.status, seconds: Double(nanoseconds) / 1e9)
        if context.accessLog { log(exchange, nanoseconds) }
        if case .stream(let channel, _) = exchange.sink, !exchange.isBodyComplete {
            channel.finish(throwing: HTTPDisconnected())
        }
        nextRequest(keepingAlive: !closes)
    }

    private func log(_ exchange: Exchange, _ nanoseconds: UInt64) {
        context.log.info(
            "http.request",
            [
                "method": .string(exchange.request.method), "route": .string(exchange.endpoint.pattern),
                "status": JSONValue(exchange.status), "ms": .number(Double(nanoseconds / 1000) / 1000),
                "bytes": JSONValue(exchange.bytesSent), "request_id": .string(exchange.request.id),
                "trace_id": .string(exchange.request.trace.traceID),
            ])
    }

    // MARK: - Streams

    private func startStream(_ response: HTTPResponse) {
        guard let exchange else { return }
        let isChunked = exchange.minorVersion == 1
        if !isChunked { exchange.keepsAlive = false }
        let isEvents = if case .events = response.body { true } else { false }
        writeHead(
            response, length: nil, isChunked: isChunked, requestID: exchange.request.id,
            closes: closesAfterAnswer(exchange), minorVersion: exchange.minorVersion)
        exchange.status = response.status
        exchange.answer = .streaming(chunked: isChunked, events: isEvents)
        exchange.lastWriteAt = loop.now
        flush()
    }

    /// On whatever thread the producer runs.
    private func write(_ bytes: [UInt8], _ number: Int) async throws {
        if loop.isCurrent {
            if try append(bytes, number) { return }
            try await withCheckedThrowingContinuation { writer in wait(writer, number) }
        } else {
            try await withCheckedThrowingContinuation { writer in
                loop.execute { [self] in
                    do {
                        if try append(bytes, number) { writer.resume() } else { wait(writer, number) }
                    } catch {
                        writer.resume(throwing: error)
                    }
                }
            }
        }
    }

    private func wait(_ writer: CheckedContinuation<Void, any Error>, _ number: Int) {
        if number == exchangeNumber { wait(writer) } else { writer.resume(throwing: HTTPDisconnected()) }
    }

    /// Returns whether the client keeps up.
    private func append(_ bytes: [UInt8], _ number: Int) throws(HTTPDisconnected) -> Bool {
        guard number == exchangeNumber, exchange != nil else { throw HTTPDisconnected() }
        sendChunk(bytes)
        flush()
        if phase == .closed { throw HTTPDisconnected() }
        exchange?.bytesSent += bytes.count
        return !isCongested
    }

    func sendChunk(_ bytes: [UInt8]) {
        guard case .streaming(let isChunked, _) = exchange?.answer else { return }
        exchange?.lastWriteAt = loop.now
        if isChunked { send { $0.append(contentsOf: "\(String(bytes.count, radix: 16))\r\n".utf8) } }
        send { $0.append(contentsOf: bytes) }
        if isChunked { send { $0.append(contentsOf: [0x0D, 0x0A]) } }
    }

    private func endStream(_ number: Int) {
        guard number == exchangeNumber, let exchange else { return }
        if case .streaming(chunked: true, _) = exchange.answer { send { $0.append(contentsOf: "0\r\n\r\n".utf8) } }
        finish(closes: closesAfterAnswer(exchange))
    }

    /// A stream that broke off must not look complete: no last chunk. Events have no end, so a stop ends them in good order.
    private func failStream(_ error: any Error, _ number: Int) {
        guard number == exchangeNumber, let exchange else { return }
        if error is CancellationError, owner.isDraining, case .streaming(_, events: true) = exchange.answer {
            return endStream(number)
        }
        if !(error is CancellationError), !(error is HTTPDisconnected) {
            context.log.error(
                "http.stream_failed",
                [
                    "route": .string(exchange.endpoint.pattern), "request_id": .string(exchange.request.id),
                    "error": .string("\(error)"),
                ])
        }
        end(abruptly: true)
        finish(closes: true)
    }

    // MARK: - The head

    func writeHead(
        _ response: HTTPResponse, length: Int?, isChunked: Bool = false, requestID: String?, closes: Bool,
        minorVersion: Int
    ) {
        let hasLength = length != nil && response.status >= 200 && response.status != 204
        send { out in
            out.append(contentsOf: "HTTP/1.1 ")
            out.append(decimal: response.status)
            out.append(0x20)
            out.append(contentsOf: HTTPStatus.reason(response.status).utf8)
            out.append(contentsOf: "\r\n")
            out.append(contentsOf: owner.dateLine)
            append(response.headers, &out)
            if hasLength, let length {
                out.append(contentsOf: "Content-Length: ")
                out.append(decimal: length)
                out.append(contentsOf: "\r\n")
            } else if isChunked {
                out.append(contentsOf: "Transfer-Encoding: chunked\r\n")
            }
            if let requestID {
                out.append(contentsOf: "X-Request-Id: ")
                out.append(contentsOf: requestID.utf8)
                out.append(contentsOf: "\r\n")
            }
            if closes {
                out.append(contentsOf: "Connection: close\r\n\r\n")
            } else if minorVersion == 0 {
                out.append(contentsOf: "Connection: keep-alive\r\n\r\n")
            } else {
                out.append(contentsOf: "\r\n")
            }
        }
    }

    /// A handler's fields without those that are the server's.
    private func append(_ fields: HTTPFields, _ out: inout [UInt8]) {
        fields.bytes.withUnsafeBufferPointer { bytes in
            for slot in fields.slots {
                let name = bytes.slice(slot.name)
                switch name.count {
                case 4 where name.equalsIgnoringCase("date"), 10 where name.equalsIgnoringCase("connection"),
                    12 where name.equalsIgnoringCase("x-request-id"),
                    14 where name.equalsIgnoringCase("content-length"),
                    17 where name.equalsIgnoringCase("transfer-encoding"):
                    continue
                default: break
                }
                out.append(contentsOf: name)
                out.append(contentsOf: ": ")
                out.append(contentsOf: bytes.slice(slot.value))
                out.append(contentsOf: "\r\n")
            }
        }
    }
}

extension [UInt8] {
    @inline(__always)
    fileprivate mutating func append(contentsOf text: StaticString) { text.withUTF8Buffer { append(contentsOf: $0) } }

    fileprivate mutating func append(decimal number: Int) {
        if number < 10 { return append(UInt8(48 + number)) }
        append(decimal: number / 10)
        append(UInt8(48 + number % 10))
    }
}
