/// Writes server-sent events. Source: HTML standard, section 9.2.
package struct EventWriter: Sendable {
    private let body: HTTPBodyWriter
    package init(_ body: HTTPBodyWriter) { self.body = body }

    package func send(id: String? = nil, event: String? = nil, data: String) async throws {
        try await body.write(Self.encoded(id: id, event: event, data: data))
    }

    static func encoded(id: String?, event: String?, data: String) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(data.utf8.count + 48)
        if let id { bytes.append(contentsOf: "id: \(oneLine(id))\n".utf8) }
        if let event { bytes.append(contentsOf: "event: \(oneLine(event))\n".utf8) }
        var afterReturn = false
        bytes.append(contentsOf: "data: ".utf8)
        for byte in data.utf8 {
            defer { afterReturn = byte == 0x0D }
            if byte == 0x0A, afterReturn { continue }
            if byte == 0x0A || byte == 0x0D {
                bytes.append(contentsOf: "\ndata: ".utf8)
            } else {
                bytes.append(byte)
            }
        }
        bytes.append(contentsOf: "\n\n".utf8)
        return bytes
    }

    /// A line break would start another field.
    private static func oneLine(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 == 0x0A || $0 == 0x0D || $0 == 0 }) else { return text }
        return String(decoding: text.utf8.map { $0 == 0x0A || $0 == 0x0D || $0 == 0 ? 0x20 : $0 }, as: UTF8.self)
    }
}
