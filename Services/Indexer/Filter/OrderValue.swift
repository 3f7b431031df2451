import WireProtocol

/// What points are ordered by: a number, or a date as microseconds since 1970.
enum OrderValue: Sendable, Hashable {
    case integer(Int64)
    case number(Double)

    /// `nil` for anything but a number or a date.
    init?(_ value: JSONValue) {
        switch value {
        case .integer(let number): self = .integer(number)
        case .unsigned, .number: self = .number(value.double ?? 0)
        case .string(let text):
            guard let date = PayloadDate.microseconds(text) else { return nil }
            self = .integer(date)
        default: return nil
        }
    }

    private var double: Double {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        }
    }
    static func < (left: OrderValue, right: OrderValue) -> Bool {
        if case (.integer(let left), .integer(let right)) = (left, right) { return left < right }
        return left.double < right.double
    }
    var json: JSONValue {
        switch self {
        case .integer(let value): .integer(value)
        case .number(let value): .number(value)
        }
    }
}
