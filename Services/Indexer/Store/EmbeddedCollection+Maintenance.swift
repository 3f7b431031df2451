import Foundation
import Resilience

/// Checkpoints and compactions, as the store's maintenance asks for them.
extension EmbeddedCollection {
    /// Dead slots that a compaction would free.
    var needsCompaction: Bool {
        let snapshot = index.snapshot
        let dead = snapshot.count - snapshot.liveCount
        return dead >= CollectionCheckpoint.deadMinimum
            && Double(dead) > Double(snapshot.count) * CollectionCheckpoint.deadShare
    }

    /// False for a while after a failure: what a full disk refuses now it refuses a second later.
    var mayMaintain: Bool { failures.withLock { $0.retryAt.map { ContinuousClock.now >= $0 } ?? true } }
    func maintained(_ error: (any Error)?) {
        failures.withLock { failures in
            failures.count = error == nil ? 0 : failures.count + 1
            let delay = Self.maintenanceBackoff.delay(afterFailures: failures.count) ?? .zero
            failures.retryAt = error == nil ? nil : ContinuousClock.now + delay
        }
    }
    private static let maintenanceBackoff = Backoff(base: .seconds(1), cap: .seconds(60), attempts: .max)

    /// Runs on the caller's thread except for the moments on the writer's: call it where a blocking second harms nobody.
    func checkpoint(compacting: Bool) async throws {
        guard await writer.needsCheckpoint || compacting else { return }
        let log = await writer.log
        try log.synchronise()
        let plan = try await writer.beginCheckpoint(try WriteAheadLog(log.number + 1, in: folder))
        let saved: Manifest
        if compacting {
            let manifest = try await compact(plan)
            saved = try CollectionCheckpoint.save(
                manifest, plan, live: Bitmap(count: manifest.end.slots, filled: true))
        } else {
            do {
                for file in plan.files {
                    try file.file.writeOut(file.range(from: plan.previous.end, to: plan.end))
                    try file.file.synchronise()
                }
            } catch {
                await writer.fail(error)
                throw error
            }
            saved = try CollectionCheckpoint.save(plan)
        }
        for path in await writer.endCheckpoint(saved) { unlink(path) }
    }

    /// Answers the manifest of the compacted segment, which is in use then.
    private func compact(_ plan: CheckpointPlan) async throws -> Manifest {
        var compaction = try CollectionCheckpoint.compact(plan)
        do {
            // What was written meanwhile is copied here as long as it is much, the rest on the writer's time.
            for _ in 0..<8 {
                let now = index.snapshot
                if now.count - compaction.moved.count <= CollectionCheckpoint.shortTail { break }
                guard compaction.segment.columns == now.view.columns else { break }
                try compaction.copy(from: now.view, live: now.live, upTo: now.count)
            }
            try await writer.adopt(compaction)
        } catch {
            compaction.segment.delete()
            throw error
        }
        return compaction.manifest
    }
}
