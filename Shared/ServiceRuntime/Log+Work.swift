import WireProtocol

/// What ties a line to its job, batch and trace, by the same names in every service.
extension Log {
    package func with(_ message: WorkMessage) -> Log {
        with(
            jobID: message.jobID, epoch: message.epoch, batchID: message.batchID == 0 ? nil : message.batchID,
            traceparent: message.traceparent)
    }

    package func with(_ header: RecordBatch.Header) -> Log {
        with(jobID: header.jobID, epoch: header.epoch, batchID: header.batchID, traceparent: header.traceparent)
    }

    package func with(jobID: String, epoch: Int? = nil, batchID: Int64? = nil, traceparent: String? = nil) -> Log {
        var log = with(["job_id": .string(jobID)])
        if let epoch { log = log.with(["epoch": JSONValue(epoch)]) }
        if let batchID { log = log.with(["batch_id": .integer(batchID)]) }
        if let trace = traceparent.flatMap(TraceContext.init(traceparent:)) {
            log = log.with(["trace_id": .string(trace.traceID)])
        }
        return log
    }
}
