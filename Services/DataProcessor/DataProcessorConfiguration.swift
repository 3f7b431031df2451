import Foundation
import ServiceRuntime

/// All settings of the data-processor. Each field's comment names its variable.
struct DataProcessorConfiguration: Sendable {
    var service: ServiceSettings
    /// `PROCESSOR_BODY_BYTES`: a request may be that long, default 64 MiB
    var bodyBytes: Int
    /// `PROCESSOR_MAX_ROWS`: a dataset may have that many rows, default 1,000,000
    var maximumRows: Int
    /// `PROCESSOR_JOB_TTL_SECONDS`: how long a result is kept, default 3600
    var jobLifetime: Int
    /// `PROCESSOR_STORE_BYTES`: what all results in Redis may take, default 512 MiB
    var storeBytes: Int
    /// `PROCESSOR_LEASE_SECONDS`: a replica silent for that long has ended, default 15
    var lease: Int
    /// `PROCESSOR_CONCURRENCY`: jobs run at once, default one a core; `PROCESSOR_QUEUE_JOBS` (64), `PROCESSOR_QUEUE_BYTES`
    /// (256 MiB): jobs accepted and not done; `PROCESSOR_RESULT_BYTES`: one result, default 128 MiB; `PROCESSOR_JOB_SECONDS`:
    /// one job's time, default 300
    var limits: JobRunner.Limits

    init(from environment: Environment) throws(ConfigurationError) {
        var settings = ConfigurationReader(environment)
        service = ServiceSettings(&settings, port: 8004, gracePeriod: 30)
        bodyBytes = settings.integer("PROCESSOR_BODY_BYTES", default: 64 << 20, in: 1024...(1 << 30))
        maximumRows = settings.integer("PROCESSOR_MAX_ROWS", default: 1_000_000, in: 1...10_000_000)
        jobLifetime = settings.integer("PROCESSOR_JOB_TTL_SECONDS", default: 3600, in: 1...604_800)
        storeBytes = settings.integer("PROCESSOR_STORE_BYTES", default: 512 << 20, in: 1024...(1 << 40))
        lease = settings.integer("PROCESSOR_LEASE_SECONDS", default: 15, in: 1...600)
        limits = JobRunner.Limits()
        let cores = ProcessInfo.processInfo.activeProcessorCount
        limits.concurrency = settings.integer("PROCESSOR_CONCURRENCY", default: cores, in: 1...256)
        limits.jobs = settings.integer("PROCESSOR_QUEUE_JOBS", default: 64, in: 1...10_000)
        limits.bytes = settings.integer("PROCESSOR_QUEUE_BYTES", default: 256 << 20, in: 1024...(1 << 36))
        limits.pipeline.resultBytes = settings.integer(
            "PROCESSOR_RESULT_BYTES", default: 128 << 20, in: 1024...(500 << 20))
        limits.pipeline.duration = .seconds(settings.integer("PROCESSOR_JOB_SECONDS", default: 300, in: 1...86_400))
        try settings.finish()
    }
}
