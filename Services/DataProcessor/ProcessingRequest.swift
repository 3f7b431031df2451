import WireProtocol

/// The body of `POST /process`, checked.
struct ProcessingRequest: Sendable {
    var dataset: [JSONObject]
    var operations: [any Operation]
    var failsOnRowError: Bool

    /// Everything that is wrong with a body, at most `limit` things.
    struct Invalid: Error, Equatable {
        static let limit = 50
        var failures: [ParameterFailure]
    }
    static let maximumOperations = 100

    init(_ body: JSONValue, maximumRows: Int) throws(Invalid) {
        guard let body = body.object else {
            throw Invalid(failures: [ParameterFailure("", "the body must be an object")])
        }
        var failures: [ParameterFailure] = []
        for name in body.names where !["dataset", "operations", "on_error"].contains(name) {
            failures.append(
                ParameterFailure(String(name.prefix(64)), "is unknown here; known are dataset, operations, on_error"))
        }
        dataset = Self.dataset(body["dataset"], maximumRows: maximumRows, &failures)
        operations = Self.operations(body["operations"], &failures)
        failsOnRowError = false
        switch body["on_error"] {
        case nil, "skip"?: break
        case "fail"?: failsOnRowError = true
        default: failures.append(ParameterFailure("on_error", "must be one of skip, fail"))
        }
        if !failures.isEmpty { throw Invalid(failures: Array(failures.prefix(Invalid.limit))) }
    }

    private static func dataset(_ value: JSONValue?, maximumRows: Int, _ failures: inout [ParameterFailure])
        -> [JSONObject]
    {
        guard case .array(let values)? = value else {
            failures.append(ParameterFailure("dataset", value == nil ? "is required" : "must be a list"))
            return []
        }
        guard values.count <= maximumRows else {
            failures.append(ParameterFailure("dataset", "has more than \(maximumRows) rows"))
            return []
        }
        var rows: [JSONObject] = []
        rows.reserveCapacity(values.count)
        for (index, value) in values.enumerated() {
            if case .object(let row) = value {
                rows.append(row)
            } else if failures.count < Invalid.limit {
                failures.append(ParameterFailure("dataset[\(index)]", "must be an object"))
            }
        }
        return rows
    }

    private static func operations(_ value: JSONValue?, _ failures: inout [ParameterFailure]) -> [any Operation] {
        guard let value else { return [] }
        guard case .array(let values) = value else {
            failures.append(ParameterFailure("operations", "must be a list"))
            return []
        }
        guard values.count <= maximumOperations else {
            failures.append(ParameterFailure("operations", "has more than \(maximumOperations) operations"))
            return []
        }
        var operations: [any Operation] = []
        for (index, value) in values.enumerated() {
            var found: [ParameterFailure] = []
            if let operation = OperationCatalogue.operation(declared: value, failures: &found) {
                operations.append(operation)
            }
            failures += found.map {
                ParameterFailure("operations[\(index)]" + ($0.path.isEmpty ? "" : ".") + $0.path, $0.message)
            }
        }
        return operations
    }
}
