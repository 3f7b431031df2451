import HTTPServer
import WireProtocol

/// Qdrant's envelope: `{"result": ..., "status": "ok", "time": seconds}`.
enum QdrantAnswer {
    static func ok(_ result: JSONValue, since started: ContinuousClock.Instant) -> HTTPResponse {
        ok(result.serializedBytes, since: started)
    }
    /// `result` is JSON.
    static func ok(_ result: [UInt8], since started: ContinuousClock.Instant) -> HTTPResponse {
        var writer = JSONWriter(reserving: result.count + 64)
        writer.raw("{\"result\":")
        writer.raw(result)
        writer.raw(",\"status\":\"ok\",\"time\":")
        writer.write(seconds(since: started))
        writer.raw("}")
        return .bytes(writer.bytes, contentType: "application/json")
    }

    static func error(_ status: Int, _ text: String, headers: HTTPFields = [:]) -> HTTPResponse {
        .json(["status": ["error": .string(text)], "time": 0], status: status, headers: headers)
    }

    private static func seconds(since started: ContinuousClock.Instant) -> Double {
        let elapsed = (ContinuousClock.now - started).components
        return Double(elapsed.seconds) + Double(elapsed.attoseconds / 1_000_000_000) / 1e9
    }
}

/// Errors in Qdrant's words and with its status codes.
enum QdrantErrors {
    static func answer(_ error: any Error) -> HTTPResponse {
        switch error {
        case let error as StoreError: answer(error)
        case let error as FilterError where error.kind == .value:
            QdrantAnswer.error(422, "Validation error in JSON body: [\(error)]")
        case let error as FilterError: QdrantAnswer.error(400, "Format error in JSON body: \(error)")
        case let error as RequestError: QdrantAnswer.error(error.status, error.description, headers: error.headers)
        default: answer(Problem(answering: error))
        }
    }

    private static func answer(_ error: StoreError) -> HTTPResponse {
        switch error {
        case .collectionNotFound, .pointNotFound, .aliasNotFound: QdrantAnswer.error(404, "Not found: \(error)")
        case .collectionExists: QdrantAnswer.error(409, "Wrong input: \(error)")
        case .wrongInput: QdrantAnswer.error(400, "Wrong input: \(error)")
        case .malformed: QdrantAnswer.error(400, "Format error in JSON body: \(error)")
        case .invalid: QdrantAnswer.error(422, "Validation error in JSON body: [\(error)]")
        case .diskFull: QdrantAnswer.error(507, "Service internal error: \(error)", headers: ["Retry-After": "10"])
        case .unusable, .unavailable: QdrantAnswer.error(503, "Service internal error: \(error)")
        case .inputOutput, .damaged, .inUse: QdrantAnswer.error(500, "Service internal error: \(error)")
        }
    }

    private static func answer(_ problem: Problem) -> HTTPResponse {
        let text =
            switch problem.status {
            case 400:
                problem.detail.hasPrefix("body: ")
                    ? "Format error in JSON body: \(problem.detail.dropFirst(6))" : "Bad request: \(problem.detail)"
            case 403: "Forbidden: \(problem.detail)"
            case 404: "Not found: \(problem.detail)"
            case 500...: "Service internal error: \(problem.detail)"
            default: problem.detail
            }
        return QdrantAnswer.error(problem.status, text, headers: problem.headers)
    }
}

/// A request whose form is wrong, in Qdrant's three ways to say so.
struct RequestError: Error, CustomStringConvertible {
    var status: Int
    var description: String
    var headers: HTTPFields = [:]

    /// Not of the documented form.
    static func format(_ path: String, _ reason: String) -> RequestError { format("\(path): \(reason)") }
    static func format(_ problem: String) -> RequestError {
        RequestError(status: 400, description: "Format error in JSON body: \(problem)")
    }
    /// Of the form, but out of bounds.
    static func validation(_ path: String, _ reason: String) -> RequestError { validation("\(path): \(reason)") }
    static func validation(_ problem: String) -> RequestError {
        RequestError(status: 422, description: "Validation error in JSON body: [\(problem)]")
    }
    static func bad(_ reason: String) -> RequestError {
        RequestError(status: 400, description: "Bad request: \(reason)")
    }
    static func unsupported(_ path: String, _ what: String) -> RequestError {
        bad("\(path): \(what) is not supported by the embedded store")
    }
}
