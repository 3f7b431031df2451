import CVectorKernel
import Foundation

/// One record of the write-ahead log: a whole request.
///
/// Bytes, little endian: `magic u32, crc32c u32 of all that follows, length u32 of the body, 0 u32, sequence u64, durable u64, body`.
/// `durable` is how far this file was known to be on disk when the record was written: damage before such a place is damage to
/// what was acknowledged; damage behind every such place is a tail that nobody was promised.
struct LogRecord: Equatable {
    static let magic: UInt32 = 0x314C_5753  // "SWL1"
    static let headerSize = 32
    static let maximumBody = 1 << 30

    var sequence: UInt64
    var durable: UInt64
    var body: Range<Int>

    /// Throws: `wrongInput` where one request changes more than a record holds.
    static func encode(sequence: UInt64, durable: UInt64, changes: [PointChange]) throws -> [UInt8] {
        var writer = RecordWriter(reserving: headerSize + changes.reduce(16) { $0 + 64 + $1.approximateSize })
        writer.integer(magic)
        writer.integer(UInt32(0))
        writer.integer(UInt32(0))
        writer.integer(UInt32(0))
        writer.integer(sequence)
        writer.integer(durable)
        writer.changes(changes)
        guard writer.bytes.count - headerSize <= maximumBody else {
            throw StoreError.wrongInput(
                "the request changes \(changes.count) points with over \(maximumBody) bytes: divide it")
        }
        writer.patch(UInt32(writer.bytes.count - headerSize), at: 8)
        writer.patch(writer.bytes.withUnsafeBytes { vector_crc32c(0, $0.baseAddress! + 8, $0.count - 8) }, at: 4)
        return writer.bytes
    }

    /// The record that starts at `offset`, or why there is none.
    static func read(_ log: UnsafeRawBufferPointer, at offset: Int) -> Result<LogRecord, Flaw> {
        guard log.count - offset >= headerSize else { return .failure(.torn) }
        func value<T: FixedWidthInteger>(_ at: Int, _: T.Type) -> T {
            T(littleEndian: log.loadUnaligned(fromByteOffset: offset + at, as: T.self))
        }
        guard value(0, UInt32.self) == magic else { return .failure(.noMagic) }
        let length = Int(value(8, UInt32.self))
        guard length <= maximumBody, log.count - offset - headerSize >= length else { return .failure(.torn) }
        let crc = vector_crc32c(0, log.baseAddress! + offset + 8, headerSize - 8 + length)
        guard crc == value(4, UInt32.self) else { return .failure(.badChecksum) }
        let start = offset + headerSize
        return .success(
            LogRecord(sequence: value(16, UInt64.self), durable: value(24, UInt64.self), body: start..<(start + length))
        )
    }

    enum Flaw: String, Error {
        case torn = "the record is cut off"
        case noMagic = "no record starts here"
        case badChecksum = "the checksum does not match"
    }

    /// `nil` where the bytes are no list of changes (a foreign or future format: the checksum was right).
    static func changes(in body: UnsafeRawBufferPointer) -> [PointChange]? {
        var reader = RecordReader(body)
        return reader.changes()
    }
}

extension PointChange {
    fileprivate var approximateSize: Int {
        switch effect {
        case .upsert(let vectors, let payload): vectors.reduce(payload.count) { $0 + $1.approximateSize }
        case .payload(let payload): payload.count
        case .vectors(let vectors): vectors.reduce(0) { $0 + $1.approximateSize }
        case .dropVectors, .delete: 8
        }
    }
}

extension PlacedVector {
    fileprivate var approximateSize: Int {
        switch values {
        case .dense(let values): 8 + values.count * 4
        case .sparse(let vector): 8 + vector.indices.count * 8
        }
    }
}

private struct RecordWriter {
    private(set) var bytes: [UInt8] = []
    init(reserving capacity: Int) { bytes.reserveCapacity(capacity) }

    mutating func integer(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
    mutating func patch(_ value: UInt32, at offset: Int) {
        withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(offset..<(offset + 4), with: $0) }
    }
    mutating func field(_ value: [UInt8]) {
        integer(UInt32(value.count))
        value.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }
    mutating func vectors(_ vectors: [PlacedVector]) {
        integer(UInt8(vectors.count))
        for vector in vectors {
            integer(UInt8(vector.position))
            switch vector.values {
            case .dense(let values):
                integer(UInt8(0))
                integer(UInt32(values.count))
                values.withUnsafeBytes { bytes.append(contentsOf: $0) }
            case .sparse(let vector):
                integer(UInt8(1))
                integer(UInt32(vector.indices.count))
                vector.indices.withUnsafeBytes { bytes.append(contentsOf: $0) }
                vector.values.withUnsafeBytes { bytes.append(contentsOf: $0) }
            }
        }
    }
    mutating func changes(_ changes: [PointChange]) {
        integer(UInt8(2))  // format; 1 was before there were sparse vectors: a vector had no kind
        integer(UInt32(changes.count))
        for change in changes {
            integer(UInt8(change.id.kind))
            integer(change.id.high)
            integer(change.id.low)
            switch change.effect {
            case .upsert(let placed, let payload):
                integer(UInt8(1))
                vectors(placed)
                field(payload)
            case .payload(let payload):
                integer(UInt8(2))
                field(payload)
            case .vectors(let placed):
                integer(UInt8(3))
                vectors(placed)
            case .dropVectors(let mask):
                integer(UInt8(4))
                integer(mask)
            case .delete: integer(UInt8(5))
            }
        }
    }
}

private struct RecordReader {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0
    private var format: UInt8 = 0
    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    private mutating func take(_ count: Int) -> UnsafeRawBufferPointer? {
        guard count >= 0, count <= bytes.count - offset else { return nil }
        defer { offset += count }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)])
    }
    private mutating func integer<T: FixedWidthInteger>(_: T.Type) -> T? {
        take(MemoryLayout<T>.size).map { T(littleEndian: $0.loadUnaligned(as: T.self)) }
    }
    private mutating func field() -> [UInt8]? {
        integer(UInt32.self).flatMap { take(Int($0)) }.map { Array($0) }
    }
    private mutating func numbers<T: BitwiseCopyable>(_ count: Int, _: T.Type) -> [T]? {
        take(count * MemoryLayout<T>.size).map { raw in
            [T](unsafeUninitializedCapacity: count) { buffer, initialized in
                UnsafeMutableRawBufferPointer(buffer).copyMemory(from: raw)
                initialized = count
            }
        }
    }
    private mutating func vectors() -> [PlacedVector]? {
        guard let count = integer(UInt8.self) else { return nil }
        var vectors: [PlacedVector] = []
        for _ in 0..<count {
            guard let position = integer(UInt8.self), let kind = format == 1 ? 0 : integer(UInt8.self),
                let size = integer(UInt32.self).map(Int.init)
            else { return nil }
            switch kind {
            case 0:
                guard let values = numbers(size, Float.self) else { return nil }
                vectors.append(PlacedVector(position: Int(position), values: .dense(values)))
            case 1:
                guard let indices = numbers(size, UInt32.self), let values = numbers(size, Float.self) else {
                    return nil
                }
                let vector = SparseVector(indices: indices, values: values)
                vectors.append(PlacedVector(position: Int(position), values: .sparse(vector)))
            default: return nil
            }
        }
        return vectors
    }
    mutating func changes() -> [PointChange]? {
        guard let format = integer(UInt8.self), (1...2).contains(format), let count = integer(UInt32.self) else {
            return nil
        }
        self.format = format
        var changes: [PointChange] = []
        changes.reserveCapacity(min(Int(count), bytes.count / 18))
        for _ in 0..<count {
            guard let kind = integer(UInt8.self), let high = integer(UInt64.self), let low = integer(UInt64.self),
                let effect = effect()
            else { return nil }
            changes.append(PointChange(id: PointID(kind: UInt32(kind), high: high, low: low), effect: effect))
        }
        return offset == bytes.count ? changes : nil
    }
    private mutating func effect() -> PointChange.Effect? {
        switch integer(UInt8.self) {
        case 1:
            guard let placed = vectors(), let payload = field() else { return nil }
            return .upsert(vectors: placed, payload: payload)
        case 2: return field().map { .payload($0) }
        case 3: return vectors().map { .vectors($0) }
        case 4: return integer(UInt64.self).map { .dropVectors($0) }
        case 5: return .delete
        default: return nil
        }
    }
}
