/// A bound parameter. All but texts travel in PostgreSQL's binary form; a text takes the type that its place in the statement asks
/// for (`uuid`, `timestamptz`, ...).
package enum PostgresValue: Sendable, Equatable {
    case null
    case text(String)
    case bool(Bool)
    case int(Int64)
    case double(Double)
    case bytes([UInt8])
    /// 36 characters.
    case uuid(String)
    /// JSON text, bound as `jsonb`.
    case json([UInt8])
    case textArray([String?])
    case int8Array([Int64])
    case doubleArray([Double])
    case boolArray([Bool])
    case byteaArray([[UInt8]?])
    case uuidArray([String])

    package init(_ value: String?) { self = value.map(Self.text) ?? .null }
    package init(_ value: Int?) { self = value.map { .int(Int64($0)) } ?? .null }
    package init(_ value: Int64?) { self = value.map(Self.int) ?? .null }
}

/// The parameters of one statement in one buffer, as libpq wants them.
struct EncodedParameters {
    private(set) var bytes: [UInt8] = []
    private(set) var types: [UInt32] = []
    private(set) var formats: [Int32] = []
    private(set) var lengths: [Int32] = []
    private var offsets: [Int?] = []

    var count: Int { types.count }

    init(_ values: [PostgresValue]) throws(PostgresError) {
        for value in values { try append(value) }
    }

    private mutating func append(_ value: PostgresValue) throws(PostgresError) {
        types.append(value.type)
        let start = bytes.count
        if case .null = value {
            offsets.append(nil)
            formats.append(0)
            lengths.append(0)
            return
        }
        offsets.append(start)
        if case .text(let text) = value {
            guard !text.utf8.contains(0) else { throw .zeroByte }
            bytes.append(contentsOf: text.utf8)
            bytes.append(0)
            formats.append(0)
        } else {
            try value.write(to: &bytes)
            formats.append(1)
        }
        lengths.append(Int32(bytes.count - start))
    }

    func withPointers<R>(_ body: ([UnsafePointer<CChar>?]) -> R) -> R {
        bytes.withUnsafeBytes { buffer in
            // An empty buffer may have no address; a value of no bytes still needs one, or it would be NULL.
            var nothing: UInt8 = 0
            return withUnsafePointer(to: &nothing) { placeholder in
                let base = buffer.baseAddress ?? UnsafeRawPointer(placeholder)
                return body(offsets.map { $0.map { (base + $0).assumingMemoryBound(to: CChar.self) } })
            }
        }
    }
}

extension PostgresError {
    fileprivate static let zeroByte = PostgresError.server(
        sqlState: "22021", message: "a text with a zero byte cannot be stored")
    fileprivate static let invalidUUID = PostgresError.server(sqlState: "22P02", message: "a value is not a UUID")
}

extension PostgresValue {
    /// The type's oid; 0 lets the server decide. Source: `pg_type.dat`.
    var type: UInt32 {
        switch self {
        case .null, .text: 0
        case .bool: 16
        case .bytes: 17
        case .int: 20
        case .double: 701
        case .uuid: 2950
        case .json: 3802
        case .boolArray: 1000
        case .byteaArray: 1001
        case .textArray: 1009
        case .int8Array: 1016
        case .doubleArray: 1022
        case .uuidArray: 2951
        }
    }

    /// Appends the binary form, without its length.
    func write(to bytes: inout [UInt8]) throws(PostgresError) {
        switch self {
        case .null: break
        case .text(let text):
            guard !text.utf8.contains(0) else { throw .zeroByte }
            bytes.append(contentsOf: text.utf8)
        case .bool(let value): bytes.append(value ? 1 : 0)
        case .int(let value): bytes.appendBigEndian(value)
        case .double(let value): bytes.appendBigEndian(value.bitPattern)
        case .bytes(let value): bytes.append(contentsOf: value)
        case .uuid(let text): try bytes.appendUUID(text)
        case .json(let json):
            bytes.append(1)  // version of the binary form
            bytes.append(contentsOf: json)
        case .boolArray(let values):
            bytes.appendArrayHeader(count: values.count, element: 16)
            for value in values {
                bytes.appendBigEndian(Int32(1))
                bytes.append(value ? 1 : 0)
            }
        case .int8Array(let values):
            bytes.reserveCapacity(bytes.count + 20 + values.count * 12)
            bytes.appendArrayHeader(count: values.count, element: 20)
            for value in values {
                bytes.appendBigEndian(Int32(8))
                bytes.appendBigEndian(value)
            }
        case .doubleArray(let values):
            bytes.appendArrayHeader(count: values.count, element: 701)
            for value in values {
                bytes.appendBigEndian(Int32(8))
                bytes.appendBigEndian(value.bitPattern)
            }
        case .byteaArray(let values):
            bytes.reserveCapacity(bytes.count + 20 + values.reduce(0) { $0 + 4 + ($1?.count ?? 0) })
            bytes.appendArrayHeader(count: values.count, element: 17, hasNull: values.contains { $0 == nil })
            for value in values {
                guard let value else {
                    bytes.appendBigEndian(Int32(-1))
                    continue
                }
                bytes.appendBigEndian(Int32(value.count))
                bytes.append(contentsOf: value)
            }
        case .textArray(let values):
            bytes.appendArrayHeader(count: values.count, element: 25, hasNull: values.contains { $0 == nil })
            for value in values {
                guard let value else {
                    bytes.appendBigEndian(Int32(-1))
                    continue
                }
                let utf8 = value.utf8
                guard !utf8.contains(0) else { throw .zeroByte }
                bytes.appendBigEndian(Int32(utf8.count))
                bytes.append(contentsOf: utf8)
            }
        case .uuidArray(let values):
            bytes.appendArrayHeader(count: values.count, element: 2950)
            for value in values {
                bytes.appendBigEndian(Int32(16))
                try bytes.appendUUID(value)
            }
        }
    }
}

extension [UInt8] {
    mutating func appendBigEndian(_ value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }

    /// Dimensions (none for an empty array), has-null flag, element type, length, lower bound.
    fileprivate mutating func appendArrayHeader(count: Int, element: UInt32, hasNull: Bool = false) {
        appendBigEndian(Int32(count == 0 ? 0 : 1))
        appendBigEndian(Int32(hasNull ? 1 : 0))
        appendBigEndian(element)
        guard count > 0 else { return }
        appendBigEndian(Int32(count))
        appendBigEndian(Int32(1))
    }

    fileprivate mutating func appendUUID(_ text: String) throws(PostgresError) {
        var digits = 0
        var high: UInt8 = 0
        for byte in text.utf8 where byte != UInt8(ascii: "-") {
            guard let digit = hexDigit(byte), digits < 32 else { throw .invalidUUID }
            if digits.isMultiple(of: 2) { high = digit << 4 } else { append(high | digit) }
            digits += 1
        }
        guard digits == 32 else { throw .invalidUUID }
    }
}

func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 48...57: byte - 48
    case 97...102: byte - 87
    case 65...70: byte - 55
    default: nil
    }
}
