import CTransformerKernel

enum UnitVector {
    /// The vector divided by its length; `nil` when it has none or holds NaN or an infinity.
    static func of(_ vector: consuming [Float]) -> [Float]? {
        var vector = vector
        let count = vector.count
        let isGood = vector.withUnsafeMutableBufferPointer { transformer_normalize($0.baseAddress, count) } == 1
        return isGood ? vector : nil
    }
}
