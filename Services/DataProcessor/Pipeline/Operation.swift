import WireProtocol

/// What a client can declare to be done with a dataset: a name, a table of parameters, and the work.
protocol Operation: Sendable {
    static var name: String { get }
    static var about: String { get }
    static var parameters: [Parameter] { get }
    /// `parameters` passed the table; this checks what a table cannot say (a pattern that does not compile).
    init(_ parameters: Parameters) throws(ParameterFailure)
}

/// Works on each row alone.
protocol RowOperation: Operation {
    func apply(to row: inout Row) throws(RowFailure)
}

/// Needs to see all rows, or changes how many there are.
protocol DatasetOperation: Operation {
    /// A row that cannot be worked on is left out and told to `report`.
    func apply(to rows: [Row], report: (Row, RowFailure) throws(JobFailure) -> Void) throws(JobFailure) -> [Row]
}

/// Why a whole job fails.
struct JobFailure: Error, Equatable {
    let message: String
    init(_ message: String) { self.message = message }
}

/// The parameters of one declared operation, checked against its table and with defaults filled in.
struct Parameters: Sendable {
    private let values: JSONObject
    init(checked values: JSONObject) { self.values = values }

    func value(_ name: String) -> JSONValue? { values[name] }
    func has(_ name: String) -> Bool { values[name] != nil }
    func optionalText(_ name: String) -> String? { values[name]?.string }
    func texts(_ name: String) -> [String]? { values[name]?.array?.compactMap(\.string) }
    func members(_ name: String) -> [(name: String, value: JSONValue)] { values[name]?.object?.members ?? [] }
    func objects(_ name: String) -> [Parameters] {
        (values[name]?.array ?? []).compactMap(\.object).map(Parameters.init(checked:))
    }
    // Required ones, and those with a default: the table has made sure of them.
    func text(_ name: String) -> String { values[name]?.string ?? "" }
    func fields(_ name: String = "fields") -> [String] { texts(name) ?? [] }
    func integer(_ name: String) -> Int { Int(values[name]?.integer ?? 0) }
    func number(_ name: String) -> Double { values[name]?.double ?? 0 }
    func flag(_ name: String) -> Bool { values[name]?.bool ?? false }

    func pattern(_ name: String, ignoringCase: Bool = false) throws(ParameterFailure) -> RegularExpression {
        do {
            return try RegularExpression(text(name), ignoringCase: ignoringCase)
        } catch {
            throw ParameterFailure(name, error.message)
        }
    }
}

// MARK: - Parameters that many operations share

extension Parameter {
    static let limits = (fields: 1...500, pattern: 1...2_000, text: 0...10_000)
    static let readFields = required("fields", .list(of: .field, limits.fields), "The fields to work on.")
    static let writtenFields = required("fields", .list(of: .target, limits.fields), "The fields to work on.")
    static let textFields = optional(
        "fields", .list(of: .target, limits.fields), "The fields to work on; without it all fields that hold text.")
    static let field = required("field", .field, "The field to read.")
    static let into = optional("into", .target, "The field to write; the one that was read when not given.")
    static let pattern = required("pattern", .text(limits.pattern), "A regular expression (PCRE2 syntax, Unicode).")
    static let ignoreCase = optional("ignore_case", .boolean, default: false, "Upper and lower case count as the same.")
}
