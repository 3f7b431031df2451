import ServiceClients
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
    /// The operations are wrong; else the processor failed.
    var isRefused = false
    var description: String { "processing: \(message)" }
}

/// The data-processor over HTTP. Network failures and a busy or restarted processor are tried again, for at most five minutes a page.
struct RemotePageProcessor: PageProcessor {
    let client: DataProcessorClient
    var interval: Duration = .seconds(2)
    var limit: Duration = .seconds(300)

    func process(_ rows: [JSONObject], _ operations: [JSONValue], trace: TraceContext?) async throws -> ProcessedRows {
        let deadline = ContinuousClock.now + limit
        let dataset = rows.map(JSONValue.object)
        while true {
            do {
                let result = try await client.process(dataset, operations: operations, trace: trace)
                return ProcessedRows(
                    rows: result.rows.compactMap(\.object),
                    errors: result.errors.map { .init(index: $0.index, operation: $0.operation, message: $0.message) })
            } catch let error as ServiceClientError {
                try Task.checkCancellation()
                // The replica that had the page is gone: nothing is wrong with the page.
                let isLost = error.detail.hasSuffix("submit it again")
                if let status = error.status, [400, 422].contains(status), !isLost {
                    throw ProcessingError(
                        message: error.detail.replacing("operations[", with: "processing["), isRefused: true)
                }
                guard error.isRetryable || isLost, ContinuousClock.now < deadline else {
                    throw ProcessingError(message: "\(error)")
                }
                if !isLost { try await Task.sleep(for: interval) }
            }
        }
    }
}
