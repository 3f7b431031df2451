import CPostgres

/// The rows that a statement gave. Values stay in the client library's memory until they are asked for.
package struct PostgresRows: RandomAccessCollection, Sendable {
    fileprivate let result: PostgresResult
    package let startIndex = 0
    package let endIndex: Int

    init(_ result: PostgresResult) {
        self.result = result
        endIndex = Int(PQntuples(result.handle))
    }

    package subscript(position: Int) -> PostgresRow {
        precondition(indices.contains(position), "row \(position) of \(endIndex)")
        return PostgresRow(result: result, index: Int32(position))
    }

    /// Rows that the statement inserted, changed, deleted or selected.
    package var affected: Int { Int(String(cString: PQcmdTuples(result.handle))) ?? 0 }

    /// `COMMIT`, `INSERT 0 3`, ...
    package var commandTag: String { String(cString: PQcmdStatus(result.handle)) }

    /// Names and types, for rows whose shape is not ours.
    package var columns: [PostgresColumn] {
        (0..<PQnfields(result.handle)).map {
            PostgresColumn(
                name: String(cString: PQfname(result.handle, $0)), type: PQftype(result.handle, $0),
                modifier: PQfmod(result.handle, $0))
        }
    }
}

package struct PostgresColumn: Sendable, Equatable {
    package var name: String
    /// The type's oid: 16 bool, 20 int8, 21 int2, 23 int4, 25 text, 114 json, 700 and 701 floats, 1082 date, 1114 and 1184
    /// timestamps, 1700 numeric, 2950 uuid, 3802 jsonb, ... Source: `pg_type.dat`.
    package var type: UInt32
    package var modifier: Int32
}

/// One row, its values read by position or by name.
package struct PostgresRow: Sendable {
    fileprivate let result: PostgresResult
    fileprivate let index: Int32

    package func isNull(_ column: Int) -> Bool { PQgetisnull(result.handle, index, Int32(column)) == 1 }

    /// The value's bytes as they came, without a copy; `nil` for NULL. Valid only inside `body`.
    package func withBytes<R>(_ column: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R? {
        guard !isNull(column), let start = PQgetvalue(result.handle, index, Int32(column)) else { return nil }
        return try body(
            UnsafeRawBufferPointer(start: start, count: Int(PQgetlength(result.handle, index, Int32(column)))))
    }

    private func isBinary(_ column: Int) -> Bool { PQfformat(result.handle, Int32(column)) == 1 }
    private func type(_ column: Int) -> UInt32 { PQftype(result.handle, Int32(column)) }

    package func text(_ column: Int) -> String? {
        withBytes(column) { bytes in
            guard isBinary(column) else { return String(decoding: bytes, as: UTF8.self) }
            switch type(column) {
            case 20, 21, 23, 26: return String(bytes.bigEndianInteger())
            case 2950: return bytes.uuidText()
            case 3802: return String(decoding: bytes.dropFirst(), as: UTF8.self)
            default: return String(decoding: bytes, as: UTF8.self)
            }
        }
    }

    package func int(_ column: Int) -> Int64? {
        withBytes(column) { bytes in
            isBinary(column) ? bytes.bigEndianInteger() : Int64(String(decoding: bytes, as: UTF8.self))
        } ?? nil
    }

    package func double(_ column: Int) -> Double? {
        withBytes(column) { bytes in
            guard isBinary(column) else { return Double(String(decoding: bytes, as: UTF8.self)) }
            switch type(column) {
            case 700: return Double(Float(bitPattern: UInt32(truncatingIfNeeded: bytes.bigEndianInteger())))
            case 701: return Double(bitPattern: UInt64(bitPattern: bytes.bigEndianInteger()))
            default: return Double(bytes.bigEndianInteger())
            }
        } ?? nil
    }

    package func bool(_ column: Int) -> Bool? {
        withBytes(column) { bytes in isBinary(column) ? bytes.first == 1 : bytes.first == UInt8(ascii: "t") }
    }

    package func bytes(_ column: Int) -> [UInt8]? {
        withBytes(column) { bytes in
            if isBinary(column) {
                return Array(type(column) == 3802 ? UnsafeRawBufferPointer(rebasing: bytes.dropFirst()) : bytes)
            }
            return type(column) == 17 ? bytes.unescapedBytea() : Array(bytes)
        }
    }

    package func isNull(_ name: String) -> Bool { isNull(position(name)) }
    package func text(_ name: String) -> String? { text(position(name)) }
    package func int(_ name: String) -> Int64? { int(position(name)) }
    package func bool(_ name: String) -> Bool? { bool(position(name)) }
    package func bytes(_ name: String) -> [UInt8]? { bytes(position(name)) }

    private func position(_ name: String) -> Int {
        let position = PQfnumber(result.handle, name)
        guard position >= 0 else { preconditionFailure("the statement gives no column \(name)") }
        return Int(position)
    }
}

/// Owns a result of libpq.
/// Sendable: nothing writes to a `PGresult` once it is complete, and only `deinit` frees it.
final class PostgresResult: @unchecked Sendable {
    let handle: OpaquePointer
    init(adopting handle: OpaquePointer) { self.handle = handle }
    deinit { PQclear(handle) }
}

extension UnsafeRawBufferPointer {
    fileprivate func bigEndianInteger() -> Int64 {
        switch count {
        case 1: Int64(self[0])
        case 2: Int64(Int16(bigEndian: loadUnaligned(as: Int16.self)))
        case 4: Int64(Int32(bigEndian: loadUnaligned(as: Int32.self)))
        case 8: Int64(bigEndian: loadUnaligned(as: Int64.self))
        default: preconditionFailure("not an integer of PostgreSQL: \(count) bytes")
        }
    }

    fileprivate func uuidText() -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(36)
        for (index, byte) in enumerated() {
            if [4, 6, 8, 10].contains(index) { text.append(UInt8(ascii: "-")) }
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The text form `\x0a0b`.
    fileprivate func unescapedBytea() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count / 2)
        var index = 2
        while index + 1 < count {
            bytes.append((hexDigit(self[index]) ?? 0) << 4 | (hexDigit(self[index + 1]) ?? 0))
            index += 2
        }
        return bytes
    }
}
