import Datasources
import HTTPServer
import Postgres
import Redis
import ServiceClients
import SyncJobs
import WireProtocol
import WorkQueue

extension Problem {
    /// What an error of the modules below means to a client: one place for all routes.
    init(describing error: any Error) {
        switch error {
        case let error as DatasourcesError: self.init(describing: error)
        case let error as SyncJobsError: self.init(describing: error)
        case is ServiceClientError, is WorkQueueError: self = .unavailable("\(error)", retryAfter: .seconds(5))
        case let error as PostgresError where error.isRetryable:
            self = .unavailable("the database does not answer", retryAfter: .seconds(5))
        case is RedisError: self = .unavailable("Redis does not answer", retryAfter: .seconds(5))
        default: self.init(answering: error)
        }
    }

    init(describing error: DatasourcesError) {
        switch error {
        case .invalid(let problems):
            self = .badRequest(
                "the datasource is not valid", errors: problems.map { FieldError(field: $0.field, message: $0.message) }
            )
        case .nameTaken(let name):
            self = .conflict("there is a datasource called \(name) already")
            errors = [FieldError(field: "name", message: "is taken")]
        case .notFound(let id): self = .notFound("there is no datasource \(id)")
        case .fileTooLarge(let limit): self = .payloadTooLarge(limit: limit)
        case .fileGone: self = .conflict("the uploaded file was replaced meanwhile: try again")
        case .wrongVersions(let reason): self = .conflict(reason)
        case .secretsUnreadable, .corrupt: self = .internalError("\(error)")
        }
    }

    init(describing error: SyncJobsError) {
        switch error {
        case .alreadyActive(let job):
            self = .conflict("\(error)", extra: ["job": .object(job.json)])
        case .unknownJob: self = .notFound("\(error)")
        case .wrongStatus: self = .conflict("\(error)")
        case .replaced: self = .conflict("\(error)")
        case .storeTimedOut: self = .unavailable("\(error)", retryAfter: .seconds(5))
        }
    }
}
