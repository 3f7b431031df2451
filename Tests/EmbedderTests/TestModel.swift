import Foundation

/// The model that `make test` fetches; tests that need it are skipped where it is not.
enum TestModel {
    static let path = ProcessInfo.processInfo.environment["EMBEDDING_MODEL_DIR"] ?? ""
    static var isPresent: Bool { FileManager.default.isReadableFile(atPath: path + "/model.safetensors") }

    static func folder(_ name: String) throws -> String {
        let path = NSTemporaryDirectory() + "embedder-\(name)-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }
}
