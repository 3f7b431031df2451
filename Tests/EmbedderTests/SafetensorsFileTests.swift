import Foundation
import Testing

@testable import Embedder

struct SafetensorsFileTests {
    private func file(header: String, data: [UInt8] = [], headerLength: UInt64? = nil) throws -> String {
        var bytes: [UInt8] = []
        withUnsafeBytes(of: (headerLength ?? UInt64(header.utf8.count)).littleEndian) { bytes += $0 }
        bytes += Array(header.utf8) + data
        let path = try TestModel.folder("safetensors") + "/model.safetensors"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return path
    }
    private let floats: [UInt8] = [1.5, -2.0].flatMap { (value: Float) in
        withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
    }

    @Test func readsATensorWhereItLies() throws {
        // 64 bytes of header: the data lie aligned.
        let header = #"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#
        let padded = header + String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
        let tensors = try SafetensorsFile(path: try file(header: padded, data: floats))
        let pointer = try tensors.floats("a", shape: [2])
        #expect([pointer[0], pointer[1]] == [1.5, -2.0])
        #expect(throws: ModelError.self) { try tensors.floats("a", shape: [1, 2]) }
        #expect(throws: ModelError.self) { try tensors.floats("b", shape: [2]) }
    }

    @Test(arguments: [
        "not json", "[]", #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}}"#,
        #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}"#,
        #"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
        #"{"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,8]}}"#,
        #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
    ])
    func refusesAHeaderThatLies(header: String) throws {
        let path = try file(header: header, data: floats)
        #expect(throws: ModelError.self) { try SafetensorsFile(path: path) }
    }

    @Test func refusesAHeaderLongerThanTheFile() throws {
        for length in [UInt64.max, 1 << 40, 1000] {
            let path = try file(header: "{}", headerLength: length)
            #expect(throws: ModelError.self) { try SafetensorsFile(path: path) }
        }
        #expect(throws: ModelError.self) { try SafetensorsFile(path: "/nowhere/model.safetensors") }
    }
}
