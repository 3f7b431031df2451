import Testing

@testable import HTTPServer

/// However bytes are cut on their way, and whatever they are, the outcome is the same and nobody crashes.
@Suite struct ParserTests {
    private static let heads = ConformanceTests.refused.map(\.bytes) + ConformanceTests.accepted.map(\.bytes)
    private static let bodies = [
        "5\r\nabcde\r\n0\r\n\r\n", "A;x=\"y\"\r\n0123456789\r\n1 ;z\r\na\r\n00\r\nT: r\r\n\r\n", "FFFFFFFFFFFFFFFF\r\n",
        "5\nabcde\r\n",
        "3\r\nabc\r\n3\r\ndef\r\n0\r\nA: b\r\n c\r\n\r\n",
    ].map { Array($0.utf8) }

    private func mutated(_ bytes: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = bytes.count > 4000 ? Array(bytes.prefix(300)) : bytes
        for _ in 0..<Int.random(in: 0...3, using: &random) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0...3, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes.remove(at: place)
            case 2: bytes.insert([0x0D, 0x0A, 0x00, 0x20, 0x3A, 0x25].randomElement(using: &random) ?? 0, at: place)
            default: bytes.removeSubrange(place...)
            }
        }
        return bytes
    }

    private func head(_ bytes: [UInt8], cuts: [Int]) -> RequestHeadParser.Outcome {
        var parser = RequestHeadParser()
        var outcome = RequestHeadParser.Outcome.incomplete
        for cut in cuts + [bytes.count] {
            outcome = bytes.withUnsafeBufferPointer { parser.parse($0.slice(0..<cut), limits: HTTPLimits()) }
            if outcome != .incomplete { break }
        }
        return outcome
    }

    private struct Decoded: Equatable {
        var body: [UInt8] = []
        var used = 0
        var isComplete = false
        var error: HTTPParseError?
    }

    private func body(_ bytes: [UInt8], cuts: [Int]) -> Decoded {
        var decoder = BodyDecoder.chunked
        var decoded = Decoded()
        for cut in cuts + [bytes.count] where cut > decoded.used {
            do {
                decoded.used += try bytes.withUnsafeBufferPointer {
                    try decoder.decode($0.slice(decoded.used..<cut), into: &decoded.body)
                }
            } catch {
                decoded.error = error as? HTTPParseError
                decoded.used = 0
                decoded.body = []
                return decoded
            }
        }
        decoded.isComplete = decoder.isComplete
        return decoded
    }

    @Test func headsAreReadTheSameHoweverTheyArrive() {
        var random = SeededRandom(state: 1)
        for example in Self.heads {
            for _ in 0..<60 {
                let bytes = mutated(example, &random)
                let cuts = (0..<4).map { _ in Int.random(in: 0...bytes.count, using: &random) }.sorted()
                #expect(head(bytes, cuts: cuts) == head(bytes, cuts: []), "\(bytes)")
            }
        }
    }

    @Test func chunksAreReadTheSameHoweverTheyArrive() {
        var random = SeededRandom(state: 2)
        for example in Self.bodies {
            for _ in 0..<1000 {
                let bytes = mutated(example, &random)
                let cuts = (0..<4).map { _ in Int.random(in: 0...bytes.count, using: &random) }.sorted()
                #expect(body(bytes, cuts: cuts) == body(bytes, cuts: []), "\(bytes)")
            }
        }
    }

    @Test func whateverComesTheServerStays() async throws {
        var random = SeededRandom(state: 3)
        let examples = (0..<300).map { _ in mutated(Self.heads.randomElement(using: &random) ?? [], &random) }
        try await withServer(Router.small) { port in
            for example in examples {
                let client = try RawClient(port: port)
                // The server may have refused it before it was all sent.
                try? await client.send(example)
                client.abort()
            }
            let client = try RawClient(port: port)
            try await client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await client.until("hello").statuses == [200])
            client.close()
        }
    }
}

/// The same numbers in every run.
struct SeededRandom: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ (state >> 29)
    }
}
