import ServiceRuntime

/// What the data-processor counts.
struct ProcessorMetrics: Sendable {
    private let jobs: [String: Metrics.Series]
    private let rows: Metrics.Series
    private let seconds: Metrics.Series
    let rowErrors: Metrics.Series
    let refused: Metrics.Series
    let waiting: Metrics.Series
    let running: Metrics.Series
    let storedBytes: Metrics.Series

    init(_ metrics: Metrics) {
        func jobs(_ outcome: String) -> Metrics.Series {
            metrics.counter("suite_processor_jobs_total", help: "Jobs by what became of them.", ["outcome": outcome])
        }
        let outcomes = ["completed", "failed", "replaced", "lost"]
        self.jobs = Dictionary(uniqueKeysWithValues: outcomes.map { ($0, jobs($0)) })
        refused = jobs("refused")
        rows = metrics.counter("suite_processor_rows_total", help: "Rows of the jobs that ended.")
        rowErrors = metrics.counter(
            "suite_processor_row_errors_total", help: "Rows that an operation could not work on.")
        seconds = metrics.histogram("suite_processor_job_seconds", help: "Time from a worker taking a job to its end.")
        waiting = metrics.gauge("suite_processor_waiting_jobs", help: "Jobs accepted that no worker has taken yet.")
        running = metrics.gauge("suite_processor_running_jobs", help: "Jobs being worked on.")
        storedBytes = metrics.gauge(
            "suite_processor_stored_bytes", help: "Results kept or promised, at the last intake.")
    }

    func record(outcome: String, rows: Int, seconds: Double) {
        jobs[outcome]?.add()
        self.rows.add(Double(rows))
        self.seconds.observe(seconds)
    }
}
