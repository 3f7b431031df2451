import FastJSON
import HTTPClient
import ServiceRuntime
import WireProtocol

/// The data-processor: a dataset is handed in, and its job asked for until it is final. It never calls back.
package struct DataProcessorClient: Sendable {
    /// How a job is waited for.
    package struct Polling: Sendable {
        /// Between two questions.
        package var interval: Duration
        /// For the whole job.
        package var limit: Duration
        package var now: @Sendable () -> ContinuousClock.Instant
        package var sleep: @Sendable (Duration) async throws -> Void
        package init(
            interval: Duration = .seconds(2), limit: Duration = .seconds(300),
            now: @escaping @Sendable () -> ContinuousClock.Instant = { .now },
            sleep: @escaping @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }
        ) {
            self.interval = interval
            self.limit = limit
            self.now = now
            self.sleep = sleep
        }
    }

    package struct RowError: Sendable, Equatable {
        /// Of the row in the dataset.
        package var index: Int
        package var operation: String
        package var message: String
    }

    package struct Result: Sendable {
        package var rows: [JSONValue]
        package var errors: [RowError]
    }

    private let caller: ServiceCaller
    private let polling: Polling

    package init(client: HTTPClient, url: String, internalToken: String?, polling: Polling = Polling()) {
        caller = ServiceCaller(
            service: "data-processor", url: url, client: client, headers: ServiceCaller.bearer(internalToken))
        self.polling = polling
    }

    /// Throws: `ServiceClientError`: `.refused` with the reason for bad operations, a failed or vanished job; `.timedOut`.
    package func process(_ dataset: [JSONValue], operations: [JSONValue], trace: TraceContext? = nil) async throws
        -> Result
    {
        var writer = JSONWriter()
        writer.write(.object(["dataset": .array(dataset), "operations": .array(operations)]))
        let deadline = polling.now() + polling.limit
        while true {
            // Handing in twice makes two jobs with one result: harmless.
            let accepted = try caller.read(
                await caller.send("POST", "/process", body: writer.bytes, timeout: .seconds(60), trace: trace))
            guard let id = accepted["job_id"]?.string else {
                throw ServiceClientError.malformed(service: "data-processor", reason: "no job_id")
            }
            do {
                return try await result(of: id, until: deadline, trace: trace)
            } catch let error as ServiceClientError where error.status == 404 {
                // The job store has forgotten it (it keeps no inputs): handed in again.
                try checkTime(deadline)
            }
        }
    }

    /// Asks until the job is final. A service that does not answer is asked again until the time is over.
    private func result(
        of id: String, until deadline: ContinuousClock.Instant, trace: TraceContext?
    ) async throws -> Result {
        let path = "/jobs/\(ClientRequest.segment(id))?wait=\(max(1, polling.interval.components.seconds))"
        while true {
            let asked = polling.now()
            do {
                let job = try await caller.json(
                    "GET", path, timeout: polling.interval + .seconds(30), isIdempotent: false, trace: trace)
                switch job["status"]?.string {
                case "completed": return Result(job)
                case "failed":
                    throw ServiceClientError.refused(
                        service: "data-processor", status: 422, detail: job["error"]?.string ?? "the job failed")
                default: try checkTime(deadline)
                }
            } catch let error as ServiceClientError where error.isRetryable {
                guard polling.now() < deadline else { throw error }
            }
            // The service has held the question for the interval, or it could not.
            let rest = polling.interval - (polling.now() - asked)
            if rest > .zero { try await polling.sleep(rest) }
        }
    }

    private func checkTime(_ deadline: ContinuousClock.Instant) throws(ServiceClientError) {
        if polling.now() >= deadline { throw .timedOut(service: "data-processor", after: polling.limit) }
    }
}

extension DataProcessorClient.Result {
    init(_ job: JSONValue) {
        rows = job["data"]?["data"]?.array ?? []
        errors = (job["data"]?["row_errors"]?.array ?? []).map { error in
            DataProcessorClient.RowError(
                index: Int(error["index"]?.integer ?? -1), operation: error["operation"]?.string ?? "",
                message: error["message"]?.string ?? "")
        }
    }
}
