import CVectorKernel
import Foundation

/// An open file of the store. Writes give an offset, so that one descriptor serves writers and readers.
final class StoreFile: Sendable {
    let path: String
    private let descriptor: Int32

    init(_ path: String, create: Bool = false) throws {
        self.path = path
        descriptor = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0o600)
        if descriptor < 0 { throw StoreFile.failure("cannot open", path) }
    }
    deinit { close(descriptor) }

    var size: Int {
        get throws {
            var status = stat()
            if fstat(descriptor, &status) != 0 { throw Self.failure("cannot examine", path) }
            return Int(status.st_size)
        }
    }

    /// Deleted while it was open: what is written to it goes nowhere.
    var isUnlinked: Bool {
        var status = stat()
        return fstat(descriptor, &status) != 0 || status.st_nlink == 0
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
        var done = 0
        while done < bytes.count {
            let written = pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
            if written < 0 {
                if errno == EINTR { continue }
                throw Self.failure("cannot write", path)
            }
            done += written
        }
    }

    /// Fills `buffer`; a file that ends earlier is an error.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws {
        var done = 0
        while done < buffer.count {
            let count = pread(descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(offset + done))
            if count < 0 {
                if errno == EINTR { continue }
                throw Self.failure("cannot read", path)
            }
            if count == 0 {
                throw StoreError.damaged(file: path, offset: offset + done, reason: "the file ends too early")
            }
            done += count
        }
    }

    /// Durable afterwards: the content and the length.
    func synchronise() throws {
        if fdatasync(descriptor) != 0 { throw Self.failure("cannot sync", path) }
    }

    /// Brings a part to the disk bit by bit: a sync of much at once would hold up the syncs of logs, on whose end writers wait. What comes
    /// after it still needs `synchronise`.
    func writeOut(_ range: Range<Int>) throws {
        for start in stride(from: range.lowerBound, to: range.upperBound, by: Self.writeOutBytes) {
            let count = min(Self.writeOutBytes, range.upperBound - start)
            if store_write_out(descriptor, Int64(start), Int64(count)) != 0 { throw Self.failure("cannot sync", path) }
        }
    }
    static let writeOutBytes = 4 << 20

    func truncate(to length: Int) throws {
        if ftruncate(descriptor, off_t(length)) != 0 { throw Self.failure("cannot truncate", path) }
    }

    /// Takes the disk space now, so that no later write into it can fail for lack of space.
    func reserve(from offset: Int, count: Int) throws {
        let code = posix_fallocate(descriptor, off_t(offset), off_t(count))
        if code != 0 {
            errno = code
            throw Self.failure("cannot extend", path)
        }
    }

    /// Read-only view of a part. It may lie beyond the end of the file as long as nobody looks at it before the file has grown.
    func map(at offset: Int, count: Int) throws -> MappedMemory {
        let address = mmap(nil, count, PROT_READ, MAP_SHARED, descriptor, off_t(offset))
        guard let address, address != MAP_FAILED else { throw Self.failure("cannot map", path) }
        return MappedMemory(UnsafeMutableRawBufferPointer(start: address, count: count))
    }

    /// What a writer without privileges may still take of the disk. Units: bytes.
    static func freeBytes(of folder: String) throws -> Int {
        var status = statvfs()
        if statvfs(folder, &status) != 0 { throw failure("cannot examine", folder) }
        return Int(status.f_bavail) * Int(status.f_frsize)
    }

    static func failure(_ action: String, _ path: String) -> StoreError {
        if [ENOSPC, EDQUOT, EFBIG].contains(errno) { return .diskFull(path: path) }
        return .inputOutput("\(action) \(path): \(String(cString: strerror(errno)))")
    }

    /// Makes creations, renames and deletions in a folder durable.
    static func synchroniseFolder(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("cannot open", path) }
        defer { close(descriptor) }
        if fsync(descriptor) != 0 { throw failure("cannot sync", path) }
    }

    /// Old content or new content, never a mixture: a file beside it, sync, rename, sync of the folder.
    static func replace(_ path: String, with bytes: [UInt8]) throws {
        let temporary = path + ".tmp"
        do {
            let file = try StoreFile(temporary, create: true)
            try file.truncate(to: 0)
            try bytes.withUnsafeBytes { try file.write($0, at: 0) }
            try file.synchronise()
        }
        if rename(temporary, path) != 0 { throw failure("cannot replace", path) }
        try synchroniseFolder((path as NSString).deletingLastPathComponent)
    }

    static func content(of path: String) throws -> [UInt8] {
        let file = try StoreFile(path)
        return try [UInt8](unsafeUninitializedCapacity: try file.size) { buffer, count in
            count = try file.size
            try file.read(
                into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count]), at: 0)
        }
    }
}

/// Pages of a file or of nothing, given back when the last reader lets go.
// What is visible of it does not change: writers only touch rows that no snapshot counts yet.
final class MappedMemory: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer
    fileprivate init(_ bytes: UnsafeMutableRawBufferPointer) { self.bytes = bytes }
    deinit { munmap(bytes.baseAddress, bytes.count) }

    /// Zeroed memory that costs nothing until it is touched.
    init(anonymous count: Int) throws {
        let address = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let address, address != MAP_FAILED else { throw StoreError.inputOutput("out of memory (\(count) bytes)") }
        bytes = UnsafeMutableRawBufferPointer(start: address, count: count)
    }
}
