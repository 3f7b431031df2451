@testable import DataHarvester

/// Bytes at hand, in parts of any size.
struct MemoryFile: FileBytes {
    var name = "inline"
    var content: [UInt8]
    var partBytes = 1 << 20
    var fingerprint: String { "\(content.count)" }
    var size: Int { content.count }
    func bytes(at offset: Int) async throws -> [UInt8] {
        Array(content[min(offset, content.count)...].prefix(partBytes))
    }
}
