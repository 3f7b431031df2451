import Foundation

/// The tensors of a `.safetensors` file, mapped into memory and never copied: the pages stay the file's, shared by all
/// processes and dropped by the kernel when it needs them.
///
/// Source: https://huggingface.co/docs/safetensors (u64 header length, JSON header, raw little-endian tensors).
final class SafetensorsFile: Sendable {
    private static let headerLimit = 8 << 20
    /// Read-only and alive as long as this object.
    private nonisolated(unsafe) let base: UnsafeRawPointer
    private let size: Int
    private let tensors: [String: Entry]

    private struct Entry: Decodable, Sendable {
        var dtype: String?
        var shape: [Int]?
        var offsets: [Int]?
        enum CodingKeys: String, CodingKey { case dtype, shape, offsets = "data_offsets" }
    }

    init(path: String) throws(ModelError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .missing(file: path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_size > 8 else {
            throw .unreadable(file: path, reason: "it is too short")
        }
        size = Int(status.st_size)
        guard let mapped = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), mapped != MAP_FAILED else {
            throw .unreadable(file: path, reason: String(cString: strerror(errno)))
        }
        base = UnsafeRawPointer(mapped)
        do {
            tensors = try Self.header(base, size: size)
        } catch {
            munmap(mapped, size)
            throw .unreadable(file: path, reason: error.reason)
        }
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: base), size) }

    /// Shape: as asked, row-major; the pointer lives as long as the file object.
    func floats(_ name: String, shape: [Int]) throws(ModelError) -> UnsafePointer<Float> {
        guard let entry = tensors[name] else { throw .unsupported("it has no tensor \(name)") }
        guard entry.dtype == "F32" else { throw .unsupported("tensor \(name) is \(entry.dtype ?? "?"), not F32") }
        guard entry.shape == shape, let start = entry.offsets?.first else {
            throw .unsupported("tensor \(name) has the shape \(entry.shape ?? []), not \(shape)")
        }
        return (base + start).assumingMemoryBound(to: Float.self)
    }

    func contains(_ name: String) -> Bool { tensors[name] != nil }

    private struct HeaderError: Error { var reason: String }

    /// The entries, their offsets made absolute and checked against the file, so that a lookup needs no check.
    private static func header(_ base: UnsafeRawPointer, size: Int) throws(HeaderError) -> [String: Entry] {
        let length = UInt64(littleEndian: base.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(headerLimit), Int(length) <= size - 8 else {
            throw HeaderError(reason: "its header is too long")
        }
        let start = 8 + Int(length)
        let decoded: [String: Entry]
        do {
            decoded = try JSONDecoder().decode([String: Entry].self, from: Data(bytes: base + 8, count: Int(length)))
        } catch {
            throw HeaderError(reason: "its header is not the JSON of tensors")
        }
        var entries: [String: Entry] = [:]
        for (name, entry) in decoded where name != "__metadata__" {
            guard let dtype = entry.dtype, let shape = entry.shape, let offsets = entry.offsets, offsets.count == 2,
                offsets[0] >= 0, offsets[0] <= offsets[1], offsets[1] <= size - start
            else { throw HeaderError(reason: "tensor \(name) lies outside the file") }
            if dtype == "F32" {
                var count = 4
                for dimension in shape {
                    let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
                    guard !overflow, dimension >= 0 else {
                        throw HeaderError(reason: "tensor \(name) has an impossible shape")
                    }
                    count = product
                }
                guard count == offsets[1] - offsets[0], (start + offsets[0]).isMultiple(of: 4) else {
                    throw HeaderError(reason: "tensor \(name) has not the bytes of its shape")
                }
            }
            var absolute = entry
            absolute.offsets = [start + offsets[0], start + offsets[1]]
            entries[name] = absolute
        }
        return entries
    }
}
