import Foundation
import TestServers
import Testing
import WireProtocol

@testable import DataHarvester

@Suite struct MountedFileTests {
    @Test func readsInsideTheFolderAndNowhereElse() async throws {
        let folder = try TemporaryFolder("mount")
        let (inside, outside) = (folder.path + "/sources", folder.path + "/secret.csv")
        try FileManager.default.createDirectory(atPath: inside + "/sub", withIntermediateDirectories: true)
        try "id\n1\n".write(toFile: inside + "/sub/a.csv", atomically: false, encoding: .utf8)
        try "id\nsecret\n".write(toFile: outside, atomically: false, encoding: .utf8)
        try FileManager.default.createSymbolicLink(atPath: inside + "/link.csv", withDestinationPath: outside)
        try FileManager.default.createSymbolicLink(atPath: inside + "/good.csv", withDestinationPath: "sub/a.csv")

        for path in ["sub/a.csv", "good.csv"] {
            let file = try MountedFile(path: path, folder: inside)
            #expect(try await file.bytes(at: 0) == Array("id\n1\n".utf8))
            #expect(try await file.bytes(at: 3) == Array("1\n".utf8))
            #expect(try await file.bytes(at: 99) == [])
        }
        for (path, code): (String, SourceError.Code) in [
            ("../secret.csv", .permissionDenied), (outside, .permissionDenied), ("link.csv", .permissionDenied),
            ("sub/../../secret.csv", .permissionDenied), ("none.csv", .fileNotFound), ("sub", .unreadableFile),
        ] {
            let error = #expect(throws: SourceError.self) { try MountedFile(path: path, folder: inside) }
            #expect(error?.code == code, "\(path)")
        }
    }
}
