import Datasources

/// The text of a file: unpacked where it is gzip, as UTF-8 whatever it was written in. Does no input of its own: `next` says which
/// bytes of the file it needs, `accept` takes them.
///
/// Offsets count bytes of that UTF-8 text. Only plain UTF-8 can be entered in the middle; anything else is read from its start.
struct TextFile {
    enum Step {
        case text([UInt8])
        case needsBytes(at: Int)
        case end
    }
    private let given: FileSettings.Encoding?
    private var gunzip: Gunzip?
    private var decoder: TextDecoder?
    private var fileOffset = 0
    private var pending: [UInt8] = []
    private var isAtEnd = false
    /// Text before this offset is dropped.
    private var target = 0
    /// Of the text given out, or dropped, so far.
    private(set) var offset = 0
    private static let unpackedBytes = 256 << 10

    init(encoding: FileSettings.Encoding?, from target: Int = 0) {
        given = encoding
        self.target = target
    }

    var encoding: FileSettings.Encoding { decoder?.encoding ?? .utf8 }
    var isGzip: Bool { gunzip != nil }

    mutating func accept(_ bytes: [UInt8]) throws(SourceError) {
        if fileOffset == 0 {
            if Gunzip.isGzip(bytes) {
                gunzip = try Gunzip()
            } else if target > 0 {
                let decoder = TextDecoder(given: given, start: bytes)
                if decoder.encoding == .utf8 {
                    var entered = decoder
                    let mark = bytes.count - entered.decode(bytes).count
                    self.decoder = entered
                    offset = target
                    fileOffset = target + mark
                    return
                }
            }
        }
        fileOffset += bytes.count
        isAtEnd = bytes.isEmpty
        if let gunzip {
            if isAtEnd { try gunzip.finish() }
            gunzip.append(bytes)
        } else {
            pending = bytes
        }
    }

    /// Texts are never empty.
    mutating func next() throws(SourceError) -> Step {
        while true {
            let plain = try gunzip?.next(limit: Self.unpackedBytes) ?? pending
            pending = []
            if plain.isEmpty {
                guard isAtEnd else { return .needsBytes(at: fileOffset) }
                guard let rest = decoder?.finish(), !rest.isEmpty else { return .end }
                decoder = nil
                return .text(rest)
            }
            var decoder = decoder ?? TextDecoder(given: given, start: plain)
            let text = decoder.decode(plain)
            self.decoder = decoder
            let before = offset
            offset += text.count
            if offset <= target { continue }
            let wanted = before >= target ? text : Array(text.suffix(offset - target))
            if !wanted.isEmpty { return .text(wanted) }
        }
    }
}
