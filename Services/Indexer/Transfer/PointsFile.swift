import CZlib
import Foundation
import Glibc
import WireProtocol

/// The first line of a file of points: what the collection is, and how many lines follow.
struct PointsFileHeader: Sendable {
    static let format = "semantic-ingestion.points.v1"
    var collection: String
    /// Other names of it.
    var aliases: [String]
    /// The request that makes the collection.
    var configuration: JSONObject
    var payloadSchema: JSONObject
    /// `nil` in what was written to a pipe: it was not known yet.
    var points: Int?
    var exportedAt: String

    /// With white space behind it, so that it is as long whatever the number of points is.
    var line: [UInt8] {
        var object: JSONObject = [
            "format": .string(Self.format), "collection": .string(collection),
            "aliases": .array(aliases.map { .string($0) }), "exported_at": .string(exportedAt),
            "config": .object(configuration), "payload_schema": .object(payloadSchema),
        ]
        if let points { object["points"] = JSONValue(points) }
        let text = JSONValue.object(object).serializedBytes
        let padding = points.map { 20 - String($0).count } ?? 0
        return text + Array(repeating: 0x20, count: padding) + [0x0A]
    }

    /// Throws: `TransferError` for what is no such line.
    init(_ line: JSONValue) throws {
        guard line["format"]?.string == Self.format, let collection = line["collection"]?.string,
            let configuration = line["config"]?.object
        else {
            throw TransferError(
                "line 1 is not the first line of an export: it must be an object with \"format\": \"\(Self.format)\", collection and config"
            )
        }
        self.collection = collection
        aliases = (line["aliases"]?.array ?? []).compactMap(\.string)
        self.configuration = configuration
        payloadSchema = line["payload_schema"]?.object ?? JSONObject()
        points = line["points"]?.integer.map { Int($0) }
        exportedAt = line["exported_at"]?.string ?? ""
    }

    init(
        collection: String, aliases: [String], configuration: JSONObject, payloadSchema: JSONObject, points: Int?,
        exportedAt: String
    ) {
        self.collection = collection
        self.aliases = aliases
        self.configuration = configuration
        self.payloadSchema = payloadSchema
        self.points = points
        self.exportedAt = exportedAt
    }
}

/// A file of points being written, packed when its name ends in `.gz`. It has its name only once it is complete.
final class PointsFileWriter {
    private let path: String
    private let descriptor: Int32
    private let isPacked: Bool
    private var header: PointsFileHeader
    private var stream = z_stream()
    private var pending: [UInt8] = []
    private var isFinished = false
    private static let pendingBytes = 1 << 20

    private var temporary: String { path + ".part" }
    private var isPipe: Bool { path == "-" }

    /// `-` is standard output.
    init(path: String, header: PointsFileHeader) throws {
        self.path = path
        self.header = header
        isPacked = path.hasSuffix(".gz")
        descriptor = path == "-" ? 1 : Glibc.open(path + ".part", O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        guard descriptor >= 0 else { throw TransferError("\(path).part: \(String(cString: strerror(errno)))") }
        if isPipe { self.header.points = nil } else { self.header.points = 0 }
        try write(firstBytes)
        if isPacked, zlib_deflate_init(&stream, 1, 31) != Z_OK { throw TransferError("gzip: out of memory") }
    }

    deinit {
        if isPacked { deflateEnd(&stream) }
        if !isPipe {
            close(descriptor)
            if !isFinished { unlink(temporary) }
        }
    }

    /// The header; packed as a gzip member of its own, and stored in it, so that it is as long with another number.
    private var firstBytes: [UInt8] {
        if !isPacked { return header.line }
        var first = z_stream()
        precondition(zlib_deflate_init(&first, 0, 31) == Z_OK, "gzip: out of memory")
        defer { deflateEnd(&first) }
        return Self.deflated(header.line, with: &first, Z_FINISH)
    }

    func append(line: ArraySlice<UInt8>) throws {
        pending += line
        pending.append(0x0A)
        if pending.count >= Self.pendingBytes { try flush() }
    }

    /// `points`: how many lines there are behind the first. Throws: `TransferError`; then there is no file.
    func finish(points: Int) throws {
        try flush(Z_FINISH)
        if !isPipe {
            header.points = points
            let first = firstBytes
            guard pwrite(descriptor, first, first.count, 0) == first.count, fsync(descriptor) == 0,
                rename(temporary, path) == 0
            else { throw TransferError("\(path): \(String(cString: strerror(errno)))") }
        }
        isFinished = true
    }

    private func flush(_ mode: Int32 = Z_NO_FLUSH) throws {
        try write(isPacked ? Self.deflated(pending, with: &stream, mode) : pending)
        pending.removeAll(keepingCapacity: true)
    }

    private static func deflated(_ bytes: [UInt8], with stream: inout z_stream, _ mode: Int32) -> [UInt8] {
        var bytes = bytes
        var packed: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 256 << 10)
        bytes.withUnsafeMutableBufferPointer { input in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(input.count)
            repeat {
                let produced = part.withUnsafeMutableBufferPointer { output in
                    stream.next_out = output.baseAddress
                    stream.avail_out = UInt32(output.count)
                    deflate(&stream, mode)
                    return output.count - Int(stream.avail_out)
                }
                packed += part[..<produced]
            } while stream.avail_out == 0
        }
        return packed
    }

    private func write(_ bytes: [UInt8]) throws {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress! + offset, bytes.count - offset)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw TransferError("\(isPipe ? "standard output" : path): \(String(cString: strerror(errno)))")
            }
            offset += count
        }
    }
}

/// The lines of a file of points, plain or packed: which of them is seen in its first bytes, not in its name.
final class PointsFileReader {
    private let path: String
    private let file: gzFile
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false
    /// Of the line that was read last; the first is 1.
    private(set) var line = 0
    /// A line may be that long: a point of the largest vectors and payload.
    private static let maximumLine = 64 << 20

    /// `-` is standard input.
    init(path: String) throws {
        self.path = path
        let descriptor = path == "-" ? dup(0) : Glibc.open(path, O_RDONLY)
        guard descriptor >= 0, let file = gzdopen(descriptor, "rb") else {
            throw TransferError("\(path): \(String(cString: strerror(errno)))")
        }
        self.file = file
        gzbuffer(file, 256 << 10)
    }
    deinit { gzclose(file) }

    /// The next line without its end, empty ones left out; `nil` at the end. Throws: `TransferError` with the line.
    func next() throws -> ArraySlice<UInt8>? {
        while true {
            var searched = start
            while true {
                if let end = buffer[searched...].firstIndex(of: 0x0A) {
                    line += 1
                    defer { start = end + 1 }
                    let text = buffer[start..<end].trimmingSuffix { $0 <= 0x20 }
                    if text.isEmpty { break }
                    return text
                }
                if isAtEnd {
                    guard start < buffer.count else { return nil }
                    line += 1
                    defer { start = buffer.count }
                    let text = buffer[start...].trimmingSuffix { $0 <= 0x20 }
                    return text.isEmpty ? nil : text
                }
                searched = buffer.count - start
                try fill()
            }
        }
    }

    /// Moves what is left to the front and reads on.
    private func fill() throws {
        buffer.removeFirst(start)
        start = 0
        guard buffer.count < Self.maximumLine else {
            throw TransferError("line \(line + 1) has more than \(Self.maximumLine >> 20) MiB")
        }
        let (old, step) = (buffer.count, 1 << 20)
        buffer.append(contentsOf: repeatElement(0, count: step))
        let count = buffer.withUnsafeMutableBytes { gzread(file, $0.baseAddress! + old, UInt32(step)) }
        buffer.removeLast(step - max(0, Int(count)))
        var code: Int32 = 0
        let reason = gzerror(file, &code).map { String(cString: $0) } ?? ""
        // A gzip file that is cut off gives what it has, and says so at its end.
        if count < 0 || (count == 0 && code != Z_OK) {
            throw TransferError("\(path) cannot be read on after line \(line): \(reason)")
        }
        if count == 0 { isAtEnd = true }
    }
}

extension Collection where SubSequence == Self {
    fileprivate func trimmingSuffix(while predicate: (Element) -> Bool) -> SubSequence
    where Self: BidirectionalCollection {
        var end = endIndex
        while end > startIndex, predicate(self[index(before: end)]) { end = index(before: end) }
        return self[startIndex..<end]
    }
}
