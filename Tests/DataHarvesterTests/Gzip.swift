import CZlib

/// One gzip member.
func gzip(_ bytes: [UInt8]) -> [UInt8] {
    var stream = z_stream()
    guard zlib_deflate_init(&stream, 6, 31) == Z_OK else { return [] }
    defer { deflateEnd(&stream) }
    var input = bytes
    var output = [UInt8](repeating: 0, count: bytes.count + 1024)
    let count = input.withUnsafeMutableBufferPointer { plain in
        output.withUnsafeMutableBufferPointer { packed in
            stream.next_in = plain.baseAddress
            stream.avail_in = UInt32(plain.count)
            stream.next_out = packed.baseAddress
            stream.avail_out = UInt32(packed.count)
            deflate(&stream, Z_FINISH)
            return packed.count - Int(stream.avail_out)
        }
    }
    return Array(output.prefix(count))
}
