import CVectorKernel

/// Checks vectors of requests against what the collection is made of, and makes them ready to be stored or compared.
struct VectorFitter {
    let configuration: CollectionConfiguration

    /// What is wrong with it; nothing: Cosine vectors have length 1 now, sparse ones ascending indices.
    func fit(_ placed: inout PlacedVector) -> String? {
        if let expected = configuration.vector(at: placed.position) {
            guard case .dense(var numbers) = placed.values else { return Self.mismatch(expected.name) }
            placed.values = .dense([])  // so that `numbers` is changed in place
            defer { placed.values = .dense(numbers) }
            return Self.fit(&numbers, expected)
        }
        guard let expected = configuration.sparseVector(at: placed.position) else {
            return "Not existing vector name error: \(placed.position)"
        }
        guard case .sparse(var vector) = placed.values else { return Self.mismatch(expected.name) }
        placed.values = .dense([])
        defer { placed.values = .sparse(vector) }
        return Self.fit(&vector, expected.name)
    }

    private static func mismatch(_ name: String) -> String {
        "Conversion between sparse and regular vectors failed for vector `\(name)`"
    }

    private static func fit(_ numbers: inout [Float], _ expected: CollectionConfiguration.Vector) -> String? {
        guard numbers.count == expected.size else {
            let name = expected.name.isEmpty ? "" : " for vector `\(expected.name)`"
            return "Vector dimension error: expected dim: \(expected.size), got \(numbers.count)\(name)"
        }
        return numbers.withUnsafeMutableBufferPointer { values in
            guard vector_is_finite(values.baseAddress, values.count) == 1 else {
                return "vector `\(expected.name)` has a number that float32 cannot hold"
            }
            if expected.distance == .cosine { vector_normalise(values.baseAddress, values.count) }
            return nil
        }
    }

    private static func fit(_ vector: inout SparseVector, _ name: String) -> String? {
        guard vector.indices.count == vector.values.count else {
            return "vector `\(name)`: values must be the same length as indices"
        }
        guard vector_is_finite(vector.values, vector.values.count) == 1 else {
            return "vector `\(name)` has a number that float32 cannot hold"
        }
        if zip(vector.indices, vector.indices.dropFirst()).allSatisfy({ $0 < $1 }) { return nil }
        let sorted = zip(vector.indices, vector.values).sorted { $0.0 < $1.0 }
        vector = SparseVector(indices: sorted.map(\.0), values: sorted.map(\.1))
        if zip(vector.indices, vector.indices.dropFirst()).contains(where: { $0 == $1 }) {
            return "vector `\(name)`: indices must be unique"
        }
        return nil
    }
}
