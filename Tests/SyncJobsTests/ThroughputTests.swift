import Foundation
import SyncJobs
import Testing
import WireProtocol

/// The cost of bookkeeping alone, at the reference size: `SYNC_BENCH=202910 swift test -c release --filter Throughput`.
@Suite struct ThroughputTests {
    @Test(.enabled(if: ProcessInfo.processInfo.environment["SYNC_BENCH"] != nil))
    func fullSyncThenUnchangedRescan() async throws {
        let total = ProcessInfo.processInfo.environment["SYNC_BENCH"].flatMap { Int($0) } ?? 20_000
        let suite = try await SyncFixture()
        let rows = (0..<total).map { index -> ProcessedRecord in
            let text =
                "Product number \(index), a thing of some use with a description of middling length and colour \(index % 17)"
            var row = record("sku-\(index)", text, String(repeating: "payload ", count: 60) + "\(index)")
            row.contentHash = (0..<16).map { UInt8(truncatingIfNeeded: index >> ($0 % 4 * 8) ^ $0) }
            row.textHash = row.contentHash
            return row
        }
        for name in ["first full", "unchanged rescan"] {
            let started = ContinuousClock.now
            let job = try await suite.begin()
            var harvested = Duration.zero
            var waiting: [QueuedBatch] = []
            var previous: String?
            for start in stride(from: 0, to: total, by: 1000) {
                let end = min(total, start + 1000)
                let begun = ContinuousClock.now
                let page = try await suite.jobs.commit(
                    RecordPage(
                        readSequence: try await suite.jobs.nextReadSequence(), previous: previous, next: "\(end)",
                        isLast: end == total,
                        records: Array(rows[start..<end])), of: job)
                harvested += ContinuousClock.now - begun
                previous = "\(end)"
                waiting += page.batches
                while waiting.count >= 32 || (end == total && !waiting.isEmpty) {
                    try await suite.apply(Array(waiting.prefix(32)))
                    waiting.removeFirst(min(32, waiting.count))
                }
            }
            try await suite.jobs.deletesPlanned(job)
            let all = ContinuousClock.now - started
            let beforeFinish = ContinuousClock.now
            let finished = try #require(try await suite.jobs.finish(job.id))
            func rate(_ duration: Duration) -> Int { Int(Double(total) / (Double(duration.milliseconds) / 1000)) }
            print(
                "\(name): \(rate(all)) rows/s in all, harvest transactions \(rate(harvested)) rows/s, the rest \(rate(all - harvested)) rows/s, finish \(ContinuousClock.now - beforeFinish)"
            )
            #expect(finished.processed == Int64(total))
        }
        let listing = ContinuousClock.now
        _ = try await suite.jobs.jobs()
        print("listing: \(ContinuousClock.now - listing)")
    }
}

extension Duration {
    fileprivate var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
