import Synchronization
import Testing

@testable import Embedder

struct IsolationTests {
    private static func log2(_ n: Int) -> Int { Int.bitWidth - (n - 1).leadingZeroBitCount }

    private func run(
        _ texts: [String], _ fails: @escaping @Sendable (ArraySlice<String>) -> EmbeddingError?
    ) async -> (outcome: Isolation.Outcome, calls: Int) {
        let calls = Mutex(0)
        let isolation = Isolation { texts throws(EmbeddingError) in
            calls.withLock { $0 += 1 }
            if let error = fails(texts) { throw error }
            return EmbeddingAnswer(results: texts.map { .success(FakeProvider.vector(of: $0)) }, tokens: texts.count)
        }
        return (await isolation.embed(texts), calls.withLock { $0 })
    }

    @Test(arguments: [1, 2, 3, 7, 50, 100, 256], [EmbeddingError.Kind.contextLength, .serverError, .badVector])
    func oneBadTextFailsAlone(count: Int, kind: EmbeddingError.Kind) async {
        guard count > 1 || kind != .serverError else { return }
        let texts = (0..<count).map { "text \($0)" }
        for bad in Set([0, count / 3, count - 1]) {
            let (outcome, calls) = await run(texts) { part in
                part.contains("text \(bad)") ? EmbeddingError(kind, "no") : nil
            }
            #expect(outcome.fault == nil)
            #expect(calls <= 2 * Self.log2(count) + 1)
            for index in texts.indices {
                switch outcome.results[index] {
                case .success(let vector): #expect(index != bad && vector == FakeProvider.vector(of: texts[index]))
                case .failure(let error): #expect(index == bad && error.isTextsAlone && error.kind == kind)
                }
            }
        }
    }

    @Test(arguments: [EmbeddingError.Kind.connection, .authInvalid, .rateLimited, .timeout])
    func aProvidersFailureIsNotIsolated(kind: EmbeddingError.Kind) async {
        let (outcome, calls) = await run((0..<100).map(String.init)) { _ in EmbeddingError(kind, "out") }
        #expect(calls == 1)
        #expect(outcome.fault?.kind == kind)
        #expect(outcome.results.count == 100)
    }

    @Test func aServerThatAlwaysBreaksIsTheProvidersFault() async {
        for count in [1, 2, 100] {
            let (outcome, calls) = await run((0..<count).map(String.init)) { _ in EmbeddingError(.serverError, "500") }
            #expect(outcome.fault?.kind == .serverError)
            #expect(
                outcome.results.allSatisfy { if case .failure(let error) = $0 { !error.isTextsAlone } else { false } })
            #expect(calls <= Self.log2(count) + 2)
        }
    }

    @Test func refusingEveryTextIsTheProvidersFault() async {
        let (outcome, calls) = await run((0..<100).map(String.init)) { _ in
            EmbeddingError(.invalidRequest, "dimensions")
        }
        #expect(outcome.fault?.kind == .invalidRequest)
        #expect(outcome.results.count == 100)
        #expect(calls < 30)
    }

    @Test(arguments: [true, false])
    func aBadVectorIsAskedForOnceMore(heals: Bool) async {
        let calls = Mutex<[Int]>([])
        let isolation = Isolation { texts throws(EmbeddingError) in
            let number = calls.withLock { calls in
                calls.append(texts.count)
                return calls.count
            }
            return EmbeddingAnswer(
                results: texts.map {
                    $0 == "7" && (number == 1 || !heals)
                        ? .failure(EmbeddingError(.badVector, "NaN")) : .success(FakeProvider.vector(of: $0))
                }, tokens: 1)
        }
        let outcome = await isolation.embed((0..<10).map(String.init))
        #expect(calls.withLock { $0 } == [10, 1])
        #expect(outcome.fault == nil)
        #expect(outcome.results.map { (try? $0.get()) != nil } == (0..<10).map { heals || $0 != 7 })
    }

    @Test func whatPassedBeforeAnOutageIsKept() async {
        let (outcome, _) = await run((0..<8).map(String.init)) { part in
            part.count == 8
                ? EmbeddingError(.badVector, "x") : part.contains("5") ? EmbeddingError(.connection, "out") : nil
        }
        #expect(outcome.fault?.kind == .connection)
        #expect(outcome.results.prefix(4).allSatisfy { (try? $0.get()) != nil })
        #expect(outcome.results.suffix(4).allSatisfy { (try? $0.get()) == nil })
    }
}
