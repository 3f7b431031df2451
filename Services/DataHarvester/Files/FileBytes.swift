import Datasources
import Foundation
import ServiceRuntime

/// The bytes of a file, wherever it lies.
protocol FileBytes: Sendable {
    var name: String { get }
    /// Another content is another fingerprint: a checkpoint inside the old content means nothing in the new one.
    var fingerprint: String { get }
    var size: Int { get }
    /// From `offset`, as many as are cheap to give at once (at most a few MiB); empty at the end.
    func bytes(at offset: Int) async throws -> [UInt8]
}

/// A file under the mounted folder (`SOURCES_DIR`). Reads on a thread of its own: a network mount may block.
actor MountedFile: FileBytes {
    nonisolated let name: String
    nonisolated let fingerprint: String
    nonisolated let size: Int
    private nonisolated let executor = BlockingExecutor(label: "mounted-file")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    private let descriptor: Int32
    private static let partBytes = 1 << 20

    /// `path` inside `folder`: symbolic links that lead out of it are not followed.
    init(path: String, folder: String) throws(SourceError) {
        let field = "connectionConfig.path"
        guard let root = Self.real(folder) else {
            throw SourceError(.fileNotFound, "the mounted folder SOURCES_DIR is not there", field: field)
        }
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard !path.hasPrefix("/"), !parts.contains(".."), !path.utf8.contains(0) else {
            throw SourceError(
                .permissionDenied, "the path must lie inside the mounted folder, without ..", field: field)
        }
        guard let real = Self.real(root + "/" + path) else {
            throw SourceError(.fileNotFound, "there is no file \(path) in the mounted folder", field: field)
        }
        guard real.hasPrefix(root == "/" ? root : root + "/") else {
            throw SourceError(.permissionDenied, "\(path) leads out of the mounted folder", field: field)
        }
        let descriptor = open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw SourceError(
                .permissionDenied, "\(path) cannot be opened: \(String(cString: strerror(errno)))", field: field)
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw SourceError(.unreadableFile, "\(path) is not a file", field: field)
        }
        self.descriptor = descriptor
        name = parts.last.map(String.init) ?? path
        size = Int(status.st_size)
        fingerprint = "\(status.st_ino)-\(status.st_size)-\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
    }
    deinit { close(descriptor) }

    func bytes(at offset: Int) async throws -> [UInt8] {
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: Self.partBytes) { buffer, filled in
            var count: Int
            repeat {
                count = pread(descriptor, buffer.baseAddress, Self.partBytes, off_t(offset))
            } while count < 0 && errno == EINTR
            if count < 0 { failure = errno }
            filled = max(0, count)
        }
        guard failure == 0 else {
            throw SourceError(.unreadableFile, "reading \(name): \(String(cString: strerror(failure)))")
        }
        return bytes
    }

    private static func real(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }
}
/// An uploaded file, kept in PostgreSQL in chunks.
struct UploadedFile: FileBytes {
    private let store: DatasourceStore
    private let file: DatasourceFile
    private static let chunksAtOnce = 4

    init(store: DatasourceStore, datasourceID: String) async throws {
        guard let file = try await store.file(of: datasourceID) else {
            throw SourceError(
                .fileNotFound, "no file was uploaded yet, and connectionConfig has no path",
                field: "connectionConfig.path")
        }
        self.store = store
        self.file = file
    }

    var name: String { file.name }
    var fingerprint: String { file.id }
    var size: Int { file.size }

    func bytes(at offset: Int) async throws -> [UInt8] {
        let first = offset / DatasourceFile.chunkBytes
        do {
            let bytes = try await store.chunks(of: file, from: first, count: Self.chunksAtOnce)
            return Array(bytes.dropFirst(offset - first * DatasourceFile.chunkBytes))
        } catch DatasourcesError.fileGone {
            throw SourceError(.connectionLost, "\(name) was replaced by another upload while it was read")
        }
    }
}
