import CSimdjson
import FastJSON

/// Reads the values at one path out of payload bytes, with simdjson and without building the rest.
struct PayloadExtractor: Sendable {
    /// Arrays whose objects are rows, outermost first; none where a payload is a row itself.
    let arrays: [PayloadPath]
    /// Inside a row; `nil`: the rows alone are wanted.
    let path: PayloadPath?

    /// One parser for one pass.
    // Used by the one pass that made it.
    final class Parser {
        private let handle: OpaquePointer
        private let steps: UnsafeMutableBufferPointer<json_step>

        fileprivate init(_ wanted: [PayloadPath.Step?]) throws {
            guard let handle = json_parser_create(JSONReader.defaultMaximumDepth) else {
                throw StoreError.inputOutput("out of memory")
            }
            self.handle = handle
            steps = .allocate(capacity: wanted.count)
            for (index, step) in wanted.enumerated() {
                var value = json_step(name: nil, length: 0, index: -1)
                switch step {
                case .member(let name)?:
                    let bytes = UnsafeMutablePointer<CChar>.allocate(capacity: name.utf8.count + 1)
                    for (offset, byte) in name.utf8.enumerated() { bytes[offset] = CChar(bitPattern: byte) }
                    value.name = UnsafePointer(bytes)
                    value.length = name.utf8.count
                case .element(let element)?: value.index = Int64(element)
                case .everyElement?: value.index = -2
                case nil: value.index = -3
                }
                steps.initializeElement(at: index, to: value)
            }
        }
        deinit {
            for step in steps { step.name?.deallocate() }
            steps.deallocate()
            json_parser_free(handle)
        }

        /// Calls `body` for each node at the path, in order. A payload that is no JSON has none.
        func read(_ payload: UnsafeRawBufferPointer, _ body: (PayloadNode) -> Void) {
            guard let base = payload.bindMemory(to: UInt8.self).baseAddress,
                json_extract(handle, base, payload.count, steps.baseAddress, steps.count) == 0
            else { return }
            var length = 0
            let nodes = json_nodes(handle, &length)
            var reader = NodeReader(nodes: UnsafeRawBufferPointer(start: nodes, count: length))
            while let node = reader.next() { body(node) }
        }
    }

    func makeParser() throws -> Parser {
        let rows = arrays.flatMap { $0.steps.map { Optional($0) } + [nil] }
        return try Parser(rows + (path?.steps ?? []).map { Optional($0) })
    }
}

/// What stands at a path.
enum PayloadNode {
    /// An object of the array of that number in `arrays` begins.
    case row(level: Int)
    case null
    /// So many of the nodes that follow are its elements.
    case array(count: Int)
    case bool(Bool)
    case integer(Int64)
    /// Above `Int64.max`.
    case unsigned(UInt64)
    /// With a fraction or an exponent.
    case number(Double)
    case text(UnsafeBufferPointer<UInt8>)
    case place(GeoPoint)
    /// Any other object, or an array in an array.
    case other
}

/// Walks the nodes that `json_extract` left. They are our own, so they need no checks.
private struct NodeReader {
    let nodes: UnsafeRawBufferPointer
    private var offset = 0
    init(nodes: UnsafeRawBufferPointer) { self.nodes = nodes }

    private mutating func load<Value: BitwiseCopyable>() -> Value {
        defer { offset += MemoryLayout<Value>.size }
        return nodes.loadUnaligned(fromByteOffset: offset, as: Value.self)
    }

    mutating func next() -> PayloadNode? {
        guard offset < nodes.count else { return nil }
        let tag: UInt8 = load()
        switch tag {
        case UInt8(ascii: "r"): return .row(level: Int(load() as UInt8))
        case UInt8(ascii: "n"): return .null
        case UInt8(ascii: "t"): return .bool(true)
        case UInt8(ascii: "f"): return .bool(false)
        case UInt8(ascii: "i"): return .integer(load())
        case UInt8(ascii: "u"): return .unsigned(load())
        case UInt8(ascii: "d"): return .number(load())
        case UInt8(ascii: "s"):
            let count = Int(load() as UInt32)
            defer { offset += count }
            return .text(UnsafeRawBufferPointer(rebasing: nodes[offset..<(offset + count)]).bindMemory(to: UInt8.self))
        case UInt8(ascii: "["): return .array(count: Int(load() as UInt32))
        case UInt8(ascii: "g"): return .place(GeoPoint(latitude: load(), longitude: load()))
        case UInt8(ascii: "{"): return .other
        default: preconditionFailure("json_extract wrote an unknown tag \(tag)")
        }
    }
}
