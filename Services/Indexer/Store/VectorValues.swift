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

extension VectorValues {
    /// The sum of vectors of one kind and length, each times its weight.
    static func combined(_ parts: [(vector: VectorValues, weight: Float)]) throws -> VectorValues {
        var dense: [Float] = []
        var sparse: [UInt32: Float] = [:]
        for part in parts {
            switch part.vector {
            case .dense(let values):
                if dense.isEmpty { dense = Array(repeating: 0, count: values.count) }
                guard values.count == dense.count, sparse.isEmpty else { throw mixed }
                for (index, value) in values.enumerated() { dense[index] += value * part.weight }
            case .sparse(let vector):
                guard dense.isEmpty else { throw mixed }
                for (index, value) in zip(vector.indices, vector.values) {
                    sparse[index, default: 0] += value * part.weight
                }
            }
        }
        if !dense.isEmpty { return .dense(dense) }
        let indices = sparse.keys.sorted()
        return .sparse(SparseVector(indices: indices, values: indices.map { sparse[$0] ?? 0 }))
    }
    private static var mixed: StoreError { .wrongInput("examples must be vectors of one kind and length") }
}
