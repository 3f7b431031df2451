import Testing

@testable import Embedder

struct HashingEncoderTests {
    private let encoder = HashingEncoder()
    private func cosine(_ left: String, _ right: String) -> Float {
        zip(encoder.vector(of: left), encoder.vector(of: right)).reduce(0) { $0 + $1.0 * $1.1 }
    }

    @Test(arguments: ["red chair", "", "!!!", "日本語", String(repeating: "long ", count: 10_000)])
    func givesUnitVectors(text: String) {
        let vector = encoder.vector(of: text)
        #expect(vector.count == 384)
        #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-4)
    }

    @Test func sharedSpellingIsNearerThanNone() {
        #expect(cosine("wireless headphones", "Wireless HEADPHONE") > 0.6)
        #expect(
            cosine("wireless headphones", "Wireless HEADPHONE") > cosine("wireless headphones", "garden hose") + 0.4)
        #expect(abs(cosine("écran", "ecran") - 1) < 1e-5)
    }

    /// Vectors are stored: a release that hashed differently would make them worthless.
    @Test func hashesTheSameForEver() {
        let places = encoder.vector(of: "chair").enumerated().filter { $0.element != 0 }.map(\.offset)
        #expect(places == HashingEncoderTests.chair)
    }
    static let chair = [16, 30, 124, 143, 206, 269]
}
