import CZlib

/// A gzip stream (RFC 1952), several members included, unpacked in parts of bounded size.
final class Gunzip {
    private var stream = z_stream()
    private var input: [UInt8] = []
    private var consumed = 0
    private var isInsideMember = false

    init() throws(SourceError) {
        // 15 + 16: the largest window, a gzip header.
        guard zlib_inflate_init(&stream, 31) == Z_OK else {
            throw SourceError(.unreadableFile, "gzip: no memory for the window")
        }
    }
    deinit { inflateEnd(&stream) }

    static func isGzip(_ start: [UInt8]) -> Bool { start.count >= 2 && start[0] == 0x1F && start[1] == 0x8B }

    func append(_ bytes: [UInt8]) {
        input.removeFirst(consumed)
        consumed = 0
        input += bytes
    }

    /// Up to `limit` unpacked bytes; empty: give more packed ones.
    func next(limit: Int) throws(SourceError) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: limit)
        var produced = 0
        while produced == 0, consumed < input.count {
            if !isInsideMember {
                // Zeros pad the end of some files.
                while consumed < input.count, input[consumed] == 0 { consumed += 1 }
                guard consumed < input.count else { break }
                isInsideMember = true
            }
            let available = input.count - consumed
            let status = input.withUnsafeMutableBufferPointer { packed in
                output.withUnsafeMutableBufferPointer { unpacked in
                    stream.next_in = packed.baseAddress! + consumed
                    stream.avail_in = UInt32(available)
                    stream.next_out = unpacked.baseAddress!
                    stream.avail_out = UInt32(limit)
                    return inflate(&stream, Z_NO_FLUSH)
                }
            }
            consumed += available - Int(stream.avail_in)
            produced = limit - Int(stream.avail_out)
            switch status {
            case Z_STREAM_END:
                isInsideMember = false
                inflateReset(&stream)
            case Z_OK, Z_BUF_ERROR:
                if produced == 0, stream.avail_in > 0, status == Z_BUF_ERROR { throw Self.damaged }
            default: throw Self.damaged
            }
        }
        output.removeLast(limit - produced)
        return output
    }

    /// Throws where the last member has no end.
    func finish() throws(SourceError) {
        if isInsideMember { throw SourceError(.unreadableFile, "gzip: the file ends in the middle: was it cut off?") }
    }

    private static let damaged = SourceError(.unreadableFile, "gzip: the file is damaged")
}
