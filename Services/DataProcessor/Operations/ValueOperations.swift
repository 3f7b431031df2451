import Crypto
import Foundation
import WireProtocol

struct Hash: RowOperation {
    static let name = "hash"
    static let about =
        "The SHA-256 of one or more fields, as hexadecimal digits. Equal values give equal hashes, in every row and run."
    static let parameters = [
        Parameter.readFields,
        .required("into", .target, "The field to write."),
        .optional("length", .integer(8...64), default: 64, "How many digits to keep."),
    ]
    private let fields: [String]
    private let target: String
    private let length: Int

    init(_ parameters: Parameters) {
        fields = parameters.fields()
        target = parameters.text("into")
        length = parameters.integer("length")
    }

    /// One field: the hash of its text as it is, so that others can compute it. Several: of a JSON list, which keeps
    /// ("a", "bc") apart from ("ab", "c").
    func apply(to row: inout Row) {
        var writer = JSONWriter()
        if fields.count == 1, let text = row[fields[0]]?.string {
            writer.raw(Array(text.utf8))
        } else {
            writer.write(.array(fields.map { row[$0] ?? .null }), sortingKeys: true)
        }
        row.charge(bytes: length)
        row.set(target, .string(String(Hex.encode(SHA256Digest.hash(writer.bytes)).prefix(length))))
    }
}

struct Round: RowOperation {
    static let name = "round"
    static let about = "Rounds numbers to decimal places, as they are written (2.675 to 2.68)."
    static let parameters = [
        Parameter.writtenFields,
        .optional(
            "digits", .integer(-15...15), default: 0, "Decimal places; negative ones round to tens, hundreds, ..."),
        .optional(
            "mode", .choice(["half_up", "half_even", "up", "down"]), default: "half_up",
            "half_up: halves away from zero; half_even: to the even digit; up and down: to the next number above or below."
        ),
    ]
    private let fields: [String]
    private let digits: Int
    private let mode: String

    init(_ parameters: Parameters) {
        fields = parameters.fields()
        digits = parameters.integer("digits")
        mode = parameters.text("mode")
    }

    func apply(to row: inout Row) throws(RowFailure) {
        for field in fields {
            guard let value = row[field], !value.isNull else { continue }
            guard value.double != nil else {
                throw RowFailure("field '\(field)' holds \(row.described(field)), not a number")
            }
            row.set(field, rounded(value))
        }
    }

    private func rounded(_ value: JSONValue) -> JSONValue {
        if digits >= 0, value.integer != nil { return value }
        // Binary fractions round wrongly (2.675 is a little less than that), so the shortest decimal text is rounded.
        guard let number = value.double, abs(number) < 1e30, var decimal = Decimal(string: value.text) else {
            return value
        }
        var result = Decimal()
        let isNegative = number < 0
        switch mode {
        case "half_even": NSDecimalRound(&result, &decimal, digits, .bankers)
        case "up": NSDecimalRound(&result, &decimal, digits, .up)
        case "down": NSDecimalRound(&result, &decimal, digits, .down)
        default:
            decimal = abs(decimal)
            NSDecimalRound(&result, &decimal, digits, .plain)
            if isNegative { result.negate() }
        }
        return NumberText.read(result.description) ?? value
    }
}

struct Chunk: DatasetOperation {
    static let name = "chunk"
    static let about =
        "Cuts a text into overlapping pieces and makes a row of each, with the other fields repeated. A row that has the protected '_key' gets '<key>#0', '<key>#1', ... A token is a word of up to six letters or digits, a part of a longer one, or a sign."
    static let parameters = [
        Parameter.required("field", .target, "The text to cut; each row gets its piece here."),
        .required("size", .integer(1...100_000), "The most a piece has, in units."),
        .optional(
            "overlap", .integer(0...50_000), default: 0,
            "What a piece repeats of the one before it, in units: at most half of size."),
        .optional("unit", .choice(["tokens", "characters"]), default: "tokens", "What is counted."),
        .optional("index_into", .target, "A field for the piece's number, from 0."),
        .optional("count_into", .target, "A field for the number of pieces."),
    ]
    private static let maximumRows = 1_000_000
    private let field: String
    private let chunker: TextChunker
    private let indexField: String?
    private let countField: String?

    init(_ parameters: Parameters) throws(ParameterFailure) {
        field = parameters.text("field")
        let (size, overlap) = (parameters.integer("size"), parameters.integer("overlap"))
        guard overlap <= size / 2 else { throw ParameterFailure("overlap", "must be at most half of size") }
        chunker = TextChunker(
            size: size, overlap: overlap, unit: parameters.text("unit") == "tokens" ? .tokens : .characters)
        indexField = parameters.optionalText("index_into")
        countField = parameters.optionalText("count_into")
    }

    func apply(to rows: [Row], report: (Row, RowFailure) throws(JobFailure) -> Void) throws(JobFailure) -> [Row] {
        var result: [Row] = []
        result.reserveCapacity(rows.count)
        for row in rows {
            let text: String?
            do {
                text = try row.text(field)
            } catch {
                try report(row, error)
                continue
            }
            let pieces = text.map(chunker.chunks) ?? []
            if pieces.isEmpty { result.append(numbered(row, 0, of: 1)) }
            for (number, piece) in pieces.enumerated() {
                var copy = numbered(row, number, of: pieces.count)
                copy.set(field, .string(piece))
                result.append(copy)
            }
            if result.count > Self.maximumRows {
                throw JobFailure("chunk would make more than \(Self.maximumRows) rows")
            }
        }
        return result
    }

    private func numbered(_ row: Row, _ number: Int, of count: Int) -> Row {
        var copy = row
        if let key = row.key { copy.set(Row.keyField, .string("\(key.text)#\(number)")) }
        if let indexField { copy.set(indexField, JSONValue(number)) }
        if let countField { copy.set(countField, JSONValue(count)) }
        return copy
    }
}
