import FastJSON
import HTTPClient
import Resilience
import ServiceRuntime
import WireProtocol

/// Applies a datasource's operations to a page of rows.
protocol PageProcessor: Sendable {
    func process(_ rows: [JSONObject], _ operations: [JSONValue], trace: TraceContext?) async throws -> ProcessedRows
}

struct ProcessedRows: Sendable {
    struct RowError: Sendable {
        /// In the rows that were sent.
        var index: Int
        var operation: String
        var message: String
    }
    var rows: [JSONObject]
    var errors: [RowError]
}

/// Why a page could not be processed: ends the job.
struct ProcessingError: Error, Equatable, CustomStringConvertible {
    var message: String
    var description: String { "processing: \(message)" }
}

/// The data-processor over HTTP: `POST /process`, then `GET /jobs/{id}?wait=2` every two seconds, for at most five minutes. Network
/// failures are tried again; a job that the processor has forgotten is posted again.
struct RemotePageProcessor: PageProcessor {
    let client: HTTPClient
    let url: String
    let token: String?
    var interval: Duration = .seconds(2)
    var limit: Duration = .seconds(300)

    func process(_ rows: [JSONObject], _ operations: [JSONValue], trace: TraceContext?) async throws -> ProcessedRows {
        let deadline = ContinuousClock.now + limit
        let body = Self.body(rows, operations)
        while true {
            let id = try await submit(body, trace, deadline)
            polling: while let answer = try await poll(id, trace, deadline) {
                switch answer["status"]?.string {
                case "completed": return try Self.result(answer)
                // The replica that had it is gone: nothing is wrong with the page.
                case "failed" where answer["error"]?.string?.hasSuffix("submit it again") ?? false:
                    try check(deadline)
                    break polling
                case "failed": throw ProcessingError(message: answer["error"]?.string ?? "the data-processor's job failed")
                default: try check(deadline)
                }
            }
        }
    }

    private func submit(_ body: [UInt8], _ trace: TraceContext?, _ deadline: ContinuousClock.Instant) async throws -> String {
        let response = try await send("POST", "/process", body, trace, deadline)
        guard response.status == 202, let id = try JSONReader.parse(response.body)["job_id"]?.string else {
            throw ProcessingError(message: "the data-processor refused the page: \(Self.reason(response))")
        }
        return id
    }

    /// `nil`: the processor does not know the job (any more).
    private func poll(_ id: String, _ trace: TraceContext?, _ deadline: ContinuousClock.Instant) async throws -> JSONValue? {
        let response = try await send("GET", "/jobs/\(id)?wait=\(interval.components.seconds)", [], trace, deadline)
        if response.status == 404 { return nil }
        guard response.isSuccess else { throw ProcessingError(message: "the data-processor answered \(Self.reason(response))") }
        return try JSONReader.parse(response.body)
    }

    /// Tries again what the network or a busy processor refuses, until the deadline.
    private func send(
        _ method: String, _ path: String, _ body: [UInt8], _ trace: TraceContext?, _ deadline: ContinuousClock.Instant
    ) async throws -> ClientResponse {
        while true {
            var request = ClientRequest(
                method: method, url: url + path, headers: [("Accept", "application/json")], body: body,
                timeout: interval + .seconds(30), maximumResponseBytes: 256 << 20, trace: trace)
            request.peer = "data-processor"
            if method == "POST" { request.headers.append(("Content-Type", "application/json")) }
            if let token { request.headers.append(("Authorization", "Bearer \(token)")) }
            var pause = interval
            do {
                let response = try await client.send(request)
                guard [408, 429, 502, 503, 504].contains(response.status) else { return response }
                pause = min(response.retryAfter() ?? interval, .seconds(30))
            } catch {
                if error == .cancelled { throw CancellationError() }
                guard error.isRetryable else { throw ProcessingError(message: "\(error)") }
            }
            try check(deadline)
            try await Task.sleep(for: pause)
        }
    }

    private func check(_ deadline: ContinuousClock.Instant) throws {
        try Task.checkCancellation()
        if ContinuousClock.now > deadline {
            throw ProcessingError(message: "the data-processor did not finish a page within \(limit.components.seconds) s")
        }
    }

    private static func body(_ rows: [JSONObject], _ operations: [JSONValue]) -> [UInt8] {
        var writer = JSONWriter(reserving: rows.count * 512)
        writer.raw("{\"dataset\":[")
        for (index, row) in rows.enumerated() {
            if index > 0 { writer.raw(",") }
            writer.write(row)
        }
        writer.raw("],\"operations\":")
        writer.write(.array(operations))
        writer.raw("}")
        return writer.bytes
    }

    private static func result(_ answer: JSONValue) throws -> ProcessedRows {
        guard let data = answer["data"], let rows = data["data"]?.array else {
            throw ProcessingError(message: "the data-processor's answer has no data")
        }
        return ProcessedRows(
            rows: rows.compactMap(\.object),
            errors: (data["row_errors"]?.array ?? []).compactMap { error in
                guard let index = error["index"]?.integer else { return nil }
                return .init(
                    index: Int(index), operation: error["operation"]?.string ?? "", message: error["message"]?.string ?? "")
            })
    }

    private static func reason(_ response: ClientResponse) -> String {
        let problem = try? JSONReader.parse(response.body)
        let fields = (problem?["errors"]?.array ?? []).prefix(5).map { "\($0["field"]?.string ?? "") \($0["message"]?.string ?? "")" }
        return (["\(response.status) \(problem?["detail"]?.string ?? "")"] + fields).joined(separator: "; ")
    }
}
