import SyncJobs
import WireProtocol

/// What vanished from the source, after an exhausted full sync: what it has not seen is read again by key, under a limit of how much
/// may go at once.
extension HarvestRun {
    func planDeletes() async throws {
        var check = try await jobs.deletionCheck(job)
        if check.exceeds(share: settings.massDeleteShare), !job.options.allowMassDelete {
            // Perhaps only the pages missed them (rows that moved while they were read).
            try await pass(SyncCursor.survivors, deletes: false)
            check = try await jobs.deletionCheck(job)
            if check.exceeds(share: settings.massDeleteShare) {
                log.warning(
                    "deletes.stopped", ["candidates": .integer(check.candidates), "records": .integer(check.records)])
                return try await jobs.deletesPlanned(job, stoppedBy: check)
            }
        }
        if check.candidates > 0 || state.cursors.contains(where: { $0.shard == SyncCursor.deletions }) {
            try await pass(SyncCursor.deletions, deletes: true)
        }
        try await jobs.deletesPlanned(job)
    }

    /// From where an earlier harvester left it.
    private func pass(_ shard: Int, deletes: Bool) async throws {
        try await jobs.open([SyncCursor(shard: shard)], jobID: job.id, epoch: job.epoch)
        guard let cursor = try await jobs.cursors(jobID: job.id).first(where: { $0.shard == shard }), !cursor.exhausted
        else { return }
        let limit = min(connector.keysPerRead, 5000)
        var previous = cursor.after
        while true {
            let keys = try await jobs.deletionCandidates(job, after: previous, limit: limit)
            let isLast = keys.count < limit
            let next = keys.last ?? previous
            try await commitKeys(keys, shard: shard, previous: previous, next: next, isLast: isLast, deletes: deletes)
            if isLast { return }
            previous = next
        }
    }
}
