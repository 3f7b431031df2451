import Datasources
import HTTPServer
import Postgres
import Redis
import ServiceClients
import SyncJobs
import WireProtocol
import WorkQueue

/// What the errors of the modules below mean to a client: one place for all routes.
@Sendable func describeErrors(
    _ request: HTTPRequest, next: @Sendable (HTTPRequest) async throws -> HTTPResponse
) async throws -> HTTPResponse {
    do {
        return try await next(request)
    } catch let error as DatasourcesError {
        throw Problem(describing: error)
    } catch let error as SyncJobsError {
        throw Problem(describing: error)
    } catch let error as ServiceClientError {
        throw Problem.unavailable("\(error)", retryAfter: .seconds(5))
    } catch let error as PostgresError where error.isRetryable {
        throw Problem.unavailable("the database does not answer", retryAfter: .seconds(5))
    } catch is RedisError {
        throw Problem.unavailable("Redis does not answer", retryAfter: .seconds(5))
    } catch let error as WorkQueueError {
        throw Problem.unavailable("\(error)", retryAfter: .seconds(5))
    }
}

extension Problem {
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
