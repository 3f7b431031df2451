import CTransformerKernel

/// Feature hashing: words and their character trigrams, signed, onto a fixed number of dimensions. No model, no semantics
/// beyond shared spelling: what is left when the model's files are missing, and labelled so wherever it is used.
struct HashingEncoder: Sendable {
    static let defaultDimensions = 384
    /// How much a word's trigrams weigh together, against the word itself.
    private static let trigramWeight: Float = 1
    let dimensions: Int
    private let folding = CharacterFolding(lowercases: true)

    init(dimensions: Int = HashingEncoder.defaultDimensions) { self.dimensions = dimensions }

    func vector(of text: String) -> [Float] {
        var vector = [Float](repeating: 0, count: dimensions)
        var word: [UInt8] = []
        for scalar in text.unicodeScalars {
            folding.fold(scalar) { kind, scalar in
                if kind == .letter {
                    word.append(contentsOf: scalar.utf8)
                } else {
                    add(word, to: &vector)
                    word.removeAll(keepingCapacity: true)
                    if kind == .alone && scalar.value > 0x7F { add(Array(scalar.utf8), to: &vector) }
                }
            }
        }
        add(word, to: &vector)
        let hasLength = vector.withUnsafeMutableBufferPointer { transformer_normalize($0.baseAddress, dimensions) } == 1
        if !hasLength { vector[0] = 1 }  // punctuation only: some unit vector, always the same
        return vector
    }

    private func add(_ word: [UInt8], to vector: inout [Float]) {
        guard !word.isEmpty else { return }
        add(hash(word, seed: 1), weight: 1, to: &vector)
        let padded = [UInt8(ascii: "<")] + word + [UInt8(ascii: ">")]
        let count = padded.count - 2
        let weight = Self.trigramWeight / Float(count).squareRoot()
        for start in 0..<count { add(hash(padded[start..<(start + 3)], seed: 2), weight: weight, to: &vector) }
    }

    private func add(_ hash: UInt64, weight: Float, to vector: inout [Float]) {
        vector[Int(hash % UInt64(dimensions))] += hash >> 63 == 0 ? weight : -weight
    }

    /// FNV-1a with a finishing mix: the same on every machine and in every release, because vectors are kept.
    private func hash(_ bytes: some Sequence<UInt8>, seed: UInt64) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ seed
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        hash = (hash ^ hash >> 33) &* 0xFF51_AFD7_ED55_8CCD
        return hash ^ hash >> 33
    }
}
