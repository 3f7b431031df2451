import WireProtocol

/// The declared operations in their order. Operations that look at one row alone run together, row by row.
struct Pipeline: Sendable {
    let operations: [any Operation]
    var failsOnRowError = false

    struct Limits: Sendable, Equatable {
        /// Text that operations may make in all, and what the rows may hold as JSON at the end.
        var resultBytes = 256 << 20
        var duration = Duration.seconds(300)
    }
    var limits = Limits()

    /// `{"index", "operation", "operation_index", "message"}`
    struct RowError: Sendable, Equatable {
        var index: Int
        var operation: String
        var operationIndex: Int
        var message: String

        var json: JSONValue {
            [
                "index": JSONValue(index), "operation": .string(operation),
                "operation_index": JSONValue(operationIndex),
                "message": .string(message),
            ]
        }
    }
    struct Outcome: Sendable, Equatable {
        var rows: [JSONObject]
        var errors: [RowError]
    }

    private enum Stage {
        case rows([(index: Int, operation: any RowOperation)])
        case dataset(index: Int, any DatasetOperation)
    }

    /// A row that an operation cannot work on is left out and reported; the rest goes on.
    ///
    /// Throws: when a row fails and the request says so, when a limit is reached.
    func run(_ dataset: [JSONObject]) throws(JobFailure) -> Outcome {
        var run = Run(pipeline: self, deadline: .now + limits.duration)
        var rows = dataset.enumerated().map { Row(index: $0, fields: $1) }
        for stage in stages {
            try run.checkTime()
            switch stage {
            case .rows(let operations): rows = try run.apply(operations, to: rows)
            case .dataset(let index, let operation): rows = try run.apply(operation, at: index, to: rows)
            }
        }
        run.errors.sort { ($0.index, $0.operationIndex) < ($1.index, $1.operationIndex) }
        return Outcome(rows: rows.map(\.fields), errors: run.errors)
    }

    private var stages: [Stage] {
        var stages: [Stage] = []
        var together: [(index: Int, operation: any RowOperation)] = []
        for (index, operation) in operations.enumerated() {
            if let operation = operation as? any RowOperation {
                together.append((index, operation))
            } else if let operation = operation as? any DatasetOperation {
                if !together.isEmpty { stages.append(.rows(together)) }
                together = []
                stages.append(.dataset(index: index, operation))
            }
        }
        return together.isEmpty ? stages : stages + [.rows(together)]
    }

    private struct Run {
        let pipeline: Pipeline
        let deadline: ContinuousClock.Instant
        var errors: [RowError] = []
        var producedBytes = 0

        mutating func apply(_ operations: [(index: Int, operation: any RowOperation)], to rows: [Row])
            throws(JobFailure) -> [Row]
        {
            var result: [Row] = []
            result.reserveCapacity(rows.count)
            for (number, row) in rows.enumerated() {
                if number % 64 == 63 { try checkTime() }
                if let row = try apply(operations, to: row) { result.append(row) }
            }
            return result
        }

        private mutating func apply(
            _ operations: [(index: Int, operation: any RowOperation)], to row: Row
        ) throws(JobFailure) -> Row? {
            var row = row
            var produced = row.producedBytes
            for (index, operation) in operations {
                do {
                    try operation.apply(to: &row)
                } catch {
                    try report(row, error, operation, index)
                    return nil
                }
                producedBytes += row.producedBytes - produced
                produced = row.producedBytes
                if producedBytes > pipeline.limits.resultBytes {
                    throw JobFailure("the operations make more than \(pipeline.limits.resultBytes) bytes of text")
                }
            }
            return row
        }

        mutating func apply(_ operation: any DatasetOperation, at index: Int, to rows: [Row]) throws(JobFailure)
            -> [Row]
        {
            var failed: [(Row, RowFailure)] = []
            let (deadline, failsOnRowError) = (deadline, pipeline.failsOnRowError)
            let result = try operation.apply(to: rows) { row, failure throws(JobFailure) in
                failed.append((row, failure))
                if failsOnRowError { throw Self.failure(row, failure, operation, index) }
                // A pattern that takes its full time on each row must not take it on all of them.
                if ContinuousClock.now > deadline { throw Self.tooLate }
            }
            for (row, failure) in failed { try report(row, failure, operation, index) }
            return result
        }

        private mutating func report(_ row: Row, _ failure: RowFailure, _ operation: any Operation, _ index: Int)
            throws(JobFailure)
        {
            if pipeline.failsOnRowError { throw Self.failure(row, failure, operation, index) }
            errors.append(
                RowError(
                    index: row.index, operation: type(of: operation).name, operationIndex: index,
                    message: failure.message))
        }

        func checkTime() throws(JobFailure) {
            if ContinuousClock.now > deadline { throw Self.tooLate }
        }

        private static let tooLate = JobFailure("the job took longer than it may")
        private static func failure(_ row: Row, _ failure: RowFailure, _ operation: any Operation, _ index: Int)
            -> JobFailure
        {
            JobFailure(
                "operation \(index) (\(type(of: operation).name)) failed on row \(row.index): \(failure.message)")
        }
    }
}
