import CSimdjson
import FastJSON

/// Reads the values at one path out of payload bytes, with simdjson and without building the rest.
struct PayloadExtractor: Sendable {
    enum Found {
        case null, emptyArray
        case scalar(Scalar)
        /// A null in a list.
        case nullElement
        /// How many values `values_count` sees in what comes next: 0 for null, a list's elements, 1 for anything else.
        case count(UInt32)
    }
    private let path: PayloadPath
    /// Names, zero-terminated and joined; `json_step` points into it while reading.
    init(_ path: PayloadPath) { self.path = path }

    /// One parser for one pass.
    // Used by the one pass that made it.
    final class Parser {
        fileprivate let handle: OpaquePointer
        fileprivate let steps: UnsafeMutableBufferPointer<json_step>
        fileprivate init(_ path: PayloadPath) throws {
            guard let handle = json_parser_create(JSONReader.defaultMaximumDepth) else {
                throw StoreError.inputOutput("out of memory")
            }
            self.handle = handle
            steps = .allocate(capacity: path.steps.count)
            for (index, step) in path.steps.enumerated() {
                var value = json_step(name: nil, length: 0, index: -1)
                switch step {
                case .member(let name):
                    let bytes = UnsafeMutablePointer<CChar>.allocate(capacity: name.utf8.count + 1)
                    for (offset, byte) in name.utf8.enumerated() { bytes[offset] = CChar(bitPattern: byte) }
                    value.name = UnsafePointer(bytes)
                    value.length = name.utf8.count
                case .element(let element): value.index = Int64(element)
                case .everyElement: value.index = -2
                }
                steps.initializeElement(at: index, to: value)
            }
        }
        deinit {
            for step in steps { step.name?.deallocate() }
            steps.deallocate()
            json_parser_free(handle)
        }
    }
    func makeParser() throws -> Parser { try Parser(path) }

    /// Calls `found` for each value; a list gives its elements. A payload that is no JSON has none.
    func read(_ payload: UnsafeRawBufferPointer, with parser: Parser, found: (Found) -> Void) {
        guard let base = payload.bindMemory(to: UInt8.self).baseAddress,
            json_extract(parser.handle, base, payload.count, parser.steps.baseAddress, parser.steps.count) == 0
        else { return }
        var length = 0
        let nodes = json_nodes(parser.handle, &length)
        var reader = ScalarNodes(nodes: UnsafeRawBufferPointer(start: nodes, count: length))
        while !reader.isAtEnd { reader.next(isElement: false, found: found) }
    }
}

/// Walks the nodes that `json_extract` left: one after the other, objects as '{' with no members.
private struct ScalarNodes {
    let nodes: UnsafeRawBufferPointer
    private var offset = 0
    init(nodes: UnsafeRawBufferPointer) { self.nodes = nodes }

    var isAtEnd: Bool { offset >= nodes.count }

    private mutating func load<Value: BitwiseCopyable>() -> Value {
        defer { offset += MemoryLayout<Value>.size }
        return nodes.loadUnaligned(fromByteOffset: offset, as: Value.self)
    }

    private func count(_ tag: UInt8) -> UInt32 {
        switch tag {
        case UInt8(ascii: "n"): 0
        case UInt8(ascii: "["): nodes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        default: 1
        }
    }

    mutating func next(isElement: Bool, found: (PayloadExtractor.Found) -> Void) {
        let tag: UInt8 = load()
        if !isElement { found(.count(count(tag))) }
        switch tag {
        case UInt8(ascii: "n"): found(isElement ? .nullElement : .null)
        case UInt8(ascii: "t"): found(.scalar(.bool(true)))
        case UInt8(ascii: "f"): found(.scalar(.bool(false)))
        case UInt8(ascii: "i"): found(.scalar(.integer(load())))
        case UInt8(ascii: "u"): found(.scalar(.number(Double(load() as UInt64))))
        case UInt8(ascii: "d"): found(.scalar(.number(load())))
        case UInt8(ascii: "s"):
            let count = Int(load() as UInt32)
            let text = String(
                decoding: UnsafeRawBufferPointer(rebasing: nodes[offset..<(offset + count)]), as: UTF8.self)
            offset += count
            found(.scalar(.string(text)))
        case UInt8(ascii: "["):
            let count: UInt32 = load()
            if count == 0 { found(isElement ? .scalar(.other) : .emptyArray) }
            for _ in 0..<count { next(isElement: true, found: found) }
        case UInt8(ascii: "{"):
            offset += 4
            found(.scalar(.other))
        default: preconditionFailure("json_extract wrote an unknown tag \(tag)")
        }
    }
}
