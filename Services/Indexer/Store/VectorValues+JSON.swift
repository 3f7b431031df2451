import WireProtocol

extension JSONWriter {
    /// A list of numbers, or `{"indices": [...], "values": [...]}`.
    mutating func write(_ values: VectorValues) {
        switch values {
        case .dense(let numbers): write(numbers)
        case .sparse(let vector):
            raw("{\"indices\":[")
            for (index, dimension) in vector.indices.enumerated() {
                if index > 0 { raw(",") }
                write(Int64(dimension))
            }
            raw("],\"values\":")
            write(vector.values)
            raw("}")
        }
    }

    private mutating func write(_ numbers: [Float]) {
        raw("[")
        for (index, number) in numbers.enumerated() {
            if index > 0 { raw(",") }
            write(number)
        }
        raw("]")
    }
}
