import Foundation
import WireProtocol

extension RecordBatch {
    /// A stored body for another epoch: only its header is read and written again.
    static func stored(_ body: [UInt8], epoch: Int) throws -> (header: Header, body: [UInt8]) {
        guard body.count >= 4 else { throw FormatError.truncated(at: 0) }
        let length = body.withUnsafeBytes { Int(UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self))) }
        guard body.count - 4 >= length else { throw FormatError.truncated(at: 0) }
        var header: Header
        do {
            header = try JSONDecoder().decode(Header.self, from: Data(body[4..<(4 + length)]))
        } catch {
            throw FormatError.invalidHeader("\(type(of: error))")
        }
        if header.epoch == epoch { return (header, body) }
        header.epoch = epoch
        let bytes = try JSONEncoder().encode(header)
        var result: [UInt8] = []
        result.reserveCapacity(body.count + 8)
        withUnsafeBytes(of: UInt32(bytes.count).littleEndian) { result.append(contentsOf: $0) }
        result.append(contentsOf: bytes)
        result.append(contentsOf: body[(4 + length)...])
        return (header, result)
    }
}
