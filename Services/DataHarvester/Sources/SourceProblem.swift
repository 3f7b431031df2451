import Datasources
import HTTPServer
import WireProtocol

extension Problem {
    /// What a caller is told of a source that cannot be read: 422 for what its description can cure, 502, 503 and 504 for a source
    /// that is away. `code` names the failure, `position` the place in the query.
    init(_ error: SourceError) {
        let status =
            switch error.code {
            case .unreachable, .connectionLost, .tlsFailed: 502
            case .timedOut: 504
            case .busy: 503
            default: 422
            }
        var extra = JSONObject([("code", .string(error.code.rawValue))])
        if let position = error.position { extra["position"] = JSONValue(position) }
        let errors = error.field.map { [FieldError(field: SourceRequest.snakeCase($0), message: error.message)] } ?? []
        self.init(
            status: status, title: "The source cannot be read", detail: error.message,
            type: "urn:semantic-ingestion:source:\(error.code.rawValue)", errors: errors, extra: extra)
    }

    /// Any failure of a request about a source.
    static func source(_ error: any Error) -> any Error {
        switch error {
        case let error as SourceError: Problem(error)
        case let error as ProcessingError where error.isRefused:
            Problem.unprocessable(
                "the operations are refused: \(error.message)",
                errors: [FieldError(field: "processing", message: error.message)])
        case let error as ProcessingError: Problem.badGateway(error.message)
        case let error as DatasourcesError: Problem.unprocessable("\(error)")
        default: error
        }
    }
}
