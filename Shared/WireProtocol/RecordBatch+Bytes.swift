import Foundation

extension RecordBatch {
    package enum FormatError: Error, Equatable, CustomStringConvertible {
        case truncated(at: Int)
        case invalidHeader(String)
        package var description: String {
            switch self {
            case .truncated(let offset): "record batch: the bytes end inside a field that starts at \(offset)"
            case .invalidHeader(let reason): "record batch: unreadable header: \(reason)"
            }
        }
    }

    package func encoded() throws -> [UInt8] {
        var writer = ByteWriter()
        writer.reserve(
            256 + records.reduce(0) { $0 + 96 + $1.text.utf8.count + $1.payload.count + $1.vector.count * 4 })
        writer.field([UInt8](try JSONEncoder().encode(header)))
        writer.integer(UInt32(records.count))
        for record in records {
            writer.field(Array(record.key.utf8))
            writer.field(record.contentHash)
            writer.field(record.textHash)
            writer.field(record.text)
            writer.field(record.payload)
            writer.field(record.vector)
            writer.integer(UInt8(record.failure == nil ? 0 : 1))
            if let failure = record.failure {
                writer.field(failure.type)
                writer.field(failure.message)
            }
        }
        return writer.bytes
    }

    /// Throws: `FormatError`; nothing of it is worth another try.
    package init(decoding bytes: [UInt8]) throws {
        var reader = ByteReader(bytes)
        let headerBytes = try reader.field()
        do {
            header = try JSONDecoder().decode(Header.self, from: Data(headerBytes))
        } catch {
            throw FormatError.invalidHeader("\(type(of: error))")
        }
        let count = Int(try reader.integer(UInt32.self))
        records = []
        records.reserveCapacity(min(count, bytes.count / 25))
        for _ in 0..<count {
            var record = ProcessedRecord(key: try reader.text())
            record.contentHash = try reader.field()
            record.textHash = try reader.field()
            record.text = try reader.text()
            record.payload = try reader.field()
            record.vector = try reader.floats()
            if try reader.integer(UInt8.self) == 1 {
                record.failure = RecordFailure(type: try reader.text(), message: try reader.text())
            }
            records.append(record)
        }
    }
}

private struct ByteWriter {
    private(set) var bytes: [UInt8] = []
    mutating func reserve(_ capacity: Int) { bytes.reserveCapacity(capacity) }
    mutating func integer(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
    mutating func field(_ value: [UInt8]) {
        integer(UInt32(value.count))
        bytes.append(contentsOf: value)
    }
    mutating func field(_ value: String) {
        integer(UInt32(value.utf8.count))
        bytes.append(contentsOf: value.utf8)
    }
    /// Float32, little endian, as on every machine this runs on.
    mutating func field(_ value: [Float]) {
        integer(UInt32(value.count * 4))
        value.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }
}

private struct ByteReader {
    private let bytes: [UInt8]
    private var offset = 0
    init(_ bytes: [UInt8]) { self.bytes = bytes }

    private mutating func take(_ count: Int) throws -> Range<Int> {
        guard count <= bytes.count - offset else { throw RecordBatch.FormatError.truncated(at: offset) }
        defer { offset += count }
        return offset..<(offset + count)
    }
    mutating func integer<Value: FixedWidthInteger>(_: Value.Type) throws -> Value {
        let range = try take(MemoryLayout<Value>.size)
        return bytes.withUnsafeBytes {
            Value(littleEndian: $0.loadUnaligned(fromByteOffset: range.lowerBound, as: Value.self))
        }
    }
    mutating func field() throws -> [UInt8] {
        let count = Int(try integer(UInt32.self))
        return Array(bytes[try take(count)])
    }
    mutating func text() throws -> String {
        let count = Int(try integer(UInt32.self))
        let range = try take(count)
        return bytes.withUnsafeBufferPointer {
            String(decoding: UnsafeBufferPointer(rebasing: $0[range]), as: UTF8.self)
        }
    }
    mutating func floats() throws -> [Float] {
        let count = Int(try integer(UInt32.self))
        guard count.isMultiple(of: 4) else { throw RecordBatch.FormatError.truncated(at: offset) }
        let range = try take(count)
        return [Float](unsafeUninitializedCapacity: count / 4) { buffer, initialized in
            bytes.withUnsafeBytes {
                UnsafeMutableRawBufferPointer(buffer).copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range]))
            }
            initialized = count / 4
        }
    }
}
