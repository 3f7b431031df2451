import CSimdjson
import Synchronization
import WireProtocol

/// Reads JSON text (RFC 8259) into `JSONValue` with simdjson: strict, with a depth limit that is checked before anything is built.
package enum JSONReader {
    package static let defaultMaximumDepth = 64

    /// Of members with one name the last counts. Throws: `JSONError` with simdjson's reason, never a piece of the text.
    package static func parse(
        _ bytes: [UInt8], maximumDepth: Int = defaultMaximumDepth
    ) throws(JSONError) -> JSONValue {
        // `withUnsafeBytes` forgets which error its closure throws.
        try bytes.withUnsafeBytes { buffer in
            Result { () throws(JSONError) in try parse(buffer, maximumDepth: maximumDepth) }
        }.get()
    }

    package static func parse(
        _ bytes: UnsafeRawBufferPointer, maximumDepth: Int = defaultMaximumDepth
    ) throws(JSONError) -> JSONValue {
        guard let base = bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count > 0 else {
            throw JSONError(message: "the body is empty")
        }
        let parser = try ParserPool.shared.take(maximumDepth: maximumDepth)
        defer { ParserPool.shared.giveBack(parser, afterReading: bytes.count) }
        let code = json_parse(parser.handle, base, bytes.count)
        guard code == 0 else { throw JSONError(code: code, maximumDepth: maximumDepth) }
        var length = 0
        let nodes = json_nodes(parser.handle, &length)
        var reader = NodeReader(nodes: UnsafeRawBufferPointer(start: nodes, count: length))
        return reader.value()
    }

    /// Throws when `bytes` nest deeper than `maximumDepth`. Looks at brackets outside strings only; the decoder behind it
    /// finds all other faults.
    package static func checkDepth(_ bytes: [UInt8], maximumDepth: Int = defaultMaximumDepth) throws(JSONError) {
        var depth = 0
        var inString = false
        var escaped = false
        for byte in bytes {
            if inString {
                if escaped {
                    escaped = false
                } else if byte == UInt8(ascii: "\\") {
                    escaped = true
                } else if byte == UInt8(ascii: "\"") {
                    inString = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): inString = true
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                depth += 1
                if depth > maximumDepth { throw JSONError(message: "nested deeper than \(maximumDepth) levels") }
            case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
            default: break
            }
        }
    }
}

/// Why a text is not the JSON that was expected. Holds no piece of the text itself.
package struct JSONError: Error, Equatable, CustomStringConvertible {
    package var message: String
    /// `items[3].price`, where a field is at fault.
    package var path: String?

    package init(message: String, path: String? = nil) {
        self.message = message
        self.path = path
    }

    init(code: Int32, maximumDepth: Int) {
        let depthError: Int32 = 4  // simdjson::DEPTH_ERROR
        self.init(
            message: code == depthError
                ? "nested deeper than \(maximumDepth) levels"
                : "not valid JSON: \(String(cString: json_error_message(code)))")
    }

    package var description: String { path.map { "\($0): \(message)" } ?? message }
}

/// Walks the flat nodes that `json_parse` left. They are our own, so they need no checks.
private struct NodeReader {
    let nodes: UnsafeRawBufferPointer
    private var offset = 0
    init(nodes: UnsafeRawBufferPointer) { self.nodes = nodes }

    mutating func value() -> JSONValue {
        let tag: UInt8 = next()
        switch tag {
        case UInt8(ascii: "n"): return .null
        case UInt8(ascii: "t"): return .bool(true)
        case UInt8(ascii: "f"): return .bool(false)
        case UInt8(ascii: "i"): return .integer(next())
        case UInt8(ascii: "u"): return .unsigned(next())
        case UInt8(ascii: "d"): return .number(next())
        case UInt8(ascii: "s"): return .string(text())
        case UInt8(ascii: "["):
            let count: UInt32 = next()
            var values: [JSONValue] = []
            values.reserveCapacity(Int(count))
            for _ in 0..<count { values.append(value()) }
            return .array(values)
        case UInt8(ascii: "{"):
            let count: UInt32 = next()
            var members: [(name: String, value: JSONValue)] = []
            members.reserveCapacity(Int(count))
            for _ in 0..<count {
                let name = text()
                members.append((name, value()))
            }
            return .object(JSONObject(members))
        default: preconditionFailure("json_parse wrote an unknown tag \(tag)")
        }
    }

    private mutating func next<Value: BitwiseCopyable>() -> Value {
        defer { offset += MemoryLayout<Value>.size }
        return nodes.loadUnaligned(fromByteOffset: offset, as: Value.self)
    }

    private mutating func text() -> String {
        let count = Int(next() as UInt32)
        defer { offset += count }
        return String(decoding: UnsafeRawBufferPointer(rebasing: nodes[offset..<(offset + count)]), as: UTF8.self)
    }
}

/// A parser is dear to make and cheap to use again; one that has read a big document is let go with its memory.
final class ParserPool: Sendable {
    static let shared = ParserPool()

    // The handle is used by one caller at a time: the pool hands a parser out once.
    final class Parser: @unchecked Sendable {
        let handle: OpaquePointer
        let maximumDepth: Int
        init?(maximumDepth: Int) {
            guard let handle = json_parser_create(maximumDepth) else { return nil }
            self.handle = handle
            self.maximumDepth = maximumDepth
        }
        deinit { json_parser_free(handle) }
    }

    private let idle = Mutex<[Parser]>([])

    func take(maximumDepth: Int) throws(JSONError) -> Parser {
        let found = idle.withLock { idle in
            idle.lastIndex { $0.maximumDepth == maximumDepth }.map { idle.remove(at: $0) }
        }
        if let parser = found ?? Parser(maximumDepth: maximumDepth) { return parser }
        throw JSONError(message: "out of memory")
    }

    func giveBack(_ parser: Parser, afterReading bytes: Int) {
        guard bytes <= 1 << 20 else { return }
        idle.withLock { if $0.count < 8 { $0.append(parser) } }
    }
}
