import CSimdjson

/// The vectors in the answer of an embeddings API, read without a tree in between. See `json_read_vectors` for the forms.
package struct VectorsReader: Sendable {
    package enum State: UInt8, Sendable { case missing, read, otherWidth, notFinite, unreadable, repeated }

    /// Shape: `rows x dimensions`, row-major; a row means something only where its state is `read`.
    package let numbers: [Float]
    package let states: [State]
    /// Vectors in the answer, those that belong to no row included.
    package let found: Int
    /// Dimensions of the answer's first vector.
    package let foundDimensions: Int
    package let tokens: Int?

    /// Throws: `JSONError` for what is not JSON or has no vectors at all.
    package init(_ bytes: [UInt8], rows: Int, dimensions: Int) throws(JSONError) {
        let parser = try ParserPool.shared.take(maximumDepth: JSONReader.defaultMaximumDepth)
        defer { ParserPool.shared.giveBack(parser, afterReading: bytes.count) }
        var raw = [UInt8](repeating: 0, count: rows)
        var (code, found, width, tokens): (Int32, Int, Int, Int64) = (0, 0, 0, -1)
        numbers = [Float](unsafeUninitializedCapacity: rows * dimensions) { buffer, count in
            code = json_read_vectors(
                parser.handle, bytes, bytes.count, buffer.baseAddress, &raw, rows, dimensions, &found, &width, &tokens)
            count = code == 0 ? rows * dimensions : 0
        }
        guard code >= 0 else { throw JSONError(message: "neither \"data\" nor \"embeddings\" holds vectors") }
        guard code == 0 else { throw JSONError(code: code, maximumDepth: JSONReader.defaultMaximumDepth) }
        states = raw.map { State(rawValue: $0) ?? .unreadable }
        (self.found, foundDimensions) = (found, width)
        self.tokens = tokens >= 0 ? Int(tokens) : nil
    }

    package subscript(row: Int) -> [Float] {
        let dimensions = states.isEmpty ? 0 : numbers.count / states.count
        return Array(numbers[(row * dimensions)..<((row + 1) * dimensions)])
    }
}
