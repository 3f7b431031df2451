import ServiceRuntime
import Synchronization

/// Sends requests over shared, reused connections. One a process is enough.
package final class HTTPClient: Sendable {
    private let thread = TransferThread()
    private let nextID = Mutex<UInt64>(0)
    private let metrics: Metrics?
    private let log: Log

    package init(metrics: Metrics? = nil, log: Log, maximumConnectionsPerHost: Int = 16) {
        self.metrics = metrics
        self.log = log
        thread.start(maximumConnectionsPerHost: maximumConnectionsPerHost)
    }

    deinit { thread.close() }

    /// The answer, whatever its status. Cancelling the task ends the transfer.
    package func send(_ request: ClientRequest) async throws(HTTPClientError) -> ClientResponse {
        try await transfer(request, number(), body: nil)
    }

    /// The head of the answer, its body to be read; `request.upload` is sent meanwhile. `maximumResponseBytes` does not count, and a
    /// transfer without a byte for `timeout` ends. Cancelling the task before the head is there ends it, too.
    package func stream(_ request: ClientRequest) async throws(HTTPClientError) -> ClientStream {
        let (id, body, thread) = (number(), ByteChannel(), thread)
        let head = try await transfer(request, id, body: body)
        return ClientStream(head, channel: body) { thread.cancel(id) }
    }

    private func number() -> UInt64 {
        nextID.withLock { next in
            next += 1
            return next
        }
    }

    private func transfer(
        _ request: ClientRequest, _ id: UInt64, body: ByteChannel?
    ) async throws(HTTPClientError) -> ClientResponse {
        let begin = ContinuousClock.now
        let thread = thread
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation {
                (continuation: CheckedContinuation<Result<ClientResponse, HTTPClientError>, Never>) in
                thread.submit(.init(id: id, request: request, body: body) { continuation.resume(returning: $0) })
                if Task.isCancelled { thread.cancel(id) }  // cancelled before it was submitted
            }
        } onCancel: {
            thread.cancel(id)
        }
        observe(result, of: request, since: begin)
        if case .failure = result { request.upload?.channel.finish(throwing: .closed) }
        return try result.get()
    }

    package func close() { thread.close() }

    private func observe(
        _ result: Result<ClientResponse, HTTPClientError>, of request: ClientRequest,
        since begin: ContinuousClock.Instant
    ) {
        let outcome =
            switch result {
            case .success(let response): "\(response.status / 100)xx"
            case .failure(.timedOut): "timeout"
            case .failure(.cancelled): "cancelled"
            case .failure: "error"
            }
        metrics?.add(
            "suite_http_client_requests_total", help: "Requests to other services and APIs",
            ["peer": request.peer, "outcome": outcome])
        metrics?.observe(
            "suite_http_client_seconds", (ContinuousClock.now - begin) / .seconds(1),
            help: "Time until the whole answer was there",
            ["peer": request.peer])
        if case .failure(let error) = result, error != .cancelled {
            log.debug("http_client.failed", ["peer": .string(request.peer), "error": .string("\(error)")])
        }
    }
}
