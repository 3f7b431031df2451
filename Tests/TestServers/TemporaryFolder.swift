import Foundation
import Glibc

/// A folder for a server's data that other users can reach, gone with the test process. What a crashed process left behind
/// is removed by the next one: the owner holds a lock on the file `owner` as long as it lives.
package final class TemporaryFolder: Sendable {
    package let path: String
    private let lock: Int32

    package init(_ purpose: String) throws {
        let parent = ProcessInfo.processInfo.environment["TMPDIR"].flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
        Self.removeAbandoned(in: parent)
        path = "\(parent)/suite-tests.\(purpose).\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        guard chmod(path, 0o711) == 0 else { throw ServerError("cannot change the mode of \(path)") }
        lock = open("\(path)/owner", O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard lock >= 0, flock(lock, LOCK_EX | LOCK_NB) == 0 else { throw ServerError("cannot lock \(path)/owner") }
        let path = path
        AtExit.run { try? FileManager.default.removeItem(atPath: path) }
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
        close(lock)
    }

    /// Makes `name` inside, owned by `user` when we are root.
    package func makeFolder(_ name: String, ownedBy user: String? = nil) throws -> String {
        let folder = "\(path)/\(name)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        if let user, getuid() == 0, let account = getpwnam(user) {
            guard chown(folder, account.pointee.pw_uid, account.pointee.pw_gid) == 0 else {
                throw ServerError("cannot give \(folder) to \(user)")
            }
        }
        return folder
    }

    private static func removeAbandoned(in parent: String) {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        where name.hasPrefix("suite-tests.") {
            let descriptor = open("\(parent)/\(name)/owner", O_RDWR | O_CLOEXEC)
            guard descriptor >= 0 else { continue }
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 {
                try? FileManager.default.removeItem(atPath: "\(parent)/\(name)")
            }
            close(descriptor)
        }
    }
}
