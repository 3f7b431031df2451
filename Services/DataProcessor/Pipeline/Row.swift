import WireProtocol

/// One record on its way through the operations.
struct Row: Sendable {
    /// Its place in the dataset that was sent, whatever was sorted or left out since.
    let index: Int
    private(set) var fields: JSONObject
    /// Text that operations made for this row, in bytes: `Pipeline` bounds the sum, so that no template can double itself
    /// into gigabytes.
    private(set) var producedBytes = 0

    /// The record's key, put there by the caller. No operation removes, renames or overwrites it; `chunk` numbers it.
    static let keyField = "_key"
    static let maximumTextBytes = 4 << 20

    init(index: Int, fields: JSONObject) {
        self.index = index
        self.fields = fields
    }

    subscript(name: String) -> JSONValue? { fields[name] }
    var key: JSONValue? { fields[Self.keyField] }

    mutating func set(_ name: String, _ value: JSONValue) {
        fields[name] = value
    }

    /// Sets a text that an operation built.
    mutating func produce(_ name: String, _ text: String) throws(RowFailure) {
        producedBytes += text.utf8.count
        guard text.utf8.count <= Self.maximumTextBytes else {
            throw RowFailure("the text for field '\(name)' would be longer than \(Self.maximumTextBytes) bytes")
        }
        fields[name] = .string(text)
    }

    mutating func replaceFields(_ fields: JSONObject) { self.fields = fields }
    mutating func charge(bytes: Int) { producedBytes += bytes }

    /// A field as text: numbers and booleans as they are written, `nil` for null and missing.
    func text(_ name: String) throws(RowFailure) -> String? {
        switch fields[name] {
        case nil, .null?: return nil
        case .string(let text)?: return text
        case .array?, .object?: throw RowFailure("field '\(name)' holds \(described(name)), not a text")
        case let value?: return value.text
        }
    }

    /// "an object", "a number": what a message says instead of the value.
    func described(_ name: String) -> String {
        let kind = fields[name]?.kind ?? "nothing"
        return kind == "array" || kind == "object"
            ? "an \(kind)" : kind == "null" || kind == "nothing" ? kind : "a \(kind)"
    }
}

/// Why an operation cannot work on one row. Names fields and kinds, never a value of the row.
struct RowFailure: Error, Equatable {
    let message: String
    init(_ message: String) { self.message = message }
}
