/// A vector with few of many dimensions: term weights, for example.
struct SparseVector: Sendable, Equatable {
    /// Invariant: ascending, each once.
    var indices: [UInt32]
    /// Beside `indices`.
    var values: [Float]
}

enum VectorValues: Sendable, Equatable {
    case dense([Float])
    case sparse(SparseVector)
}

/// One vector of a point, by its position in the collection's configuration.
struct PlacedVector: Sendable, Equatable {
    var position: Int
    var values: VectorValues
}
