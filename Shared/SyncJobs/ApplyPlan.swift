import Postgres
import WireProtocol

/// The decisions of one index transaction: which batches count, which records, and what is true afterwards. No I/O.
struct ApplyPlan {
    struct Key: Hashable {
        var collection: String
        var datasourceID: String
        var key: String
        init(_ header: RecordBatch.Header, _ key: String) {
            collection = header.collection
            datasourceID = header.datasourceID
            self.key = key
        }
    }

    /// A row of `record_states`; the hashes only matter once it is changed.
    struct State {
        var seen: Int64
        var applied: Int64
        var gone: Bool
        var contentHash: [UInt8]?
        var textHash: [UInt8]?
        var isChanged = false
    }

    struct Counts: Equatable {
        var ok = 0, skipped = 0, failed = 0, deleted = 0
    }

    private let batches: [RecordBatch]
    /// In the order of their reads.
    private(set) var admitted: [RecordBatch] = []
    private var expected: [Int64: Int] = [:]
    var states: [Key: State] = [:]
    private(set) var counts: [Int64: Counts] = [:]
    /// Records to report, by job, with their `failure`.
    private(set) var failures: [String: [ProcessedRecord]] = [:]
    /// Payload changes without a point, as parts of their batches.
    private(set) var missing: [RecordBatch] = []
    private(set) var milliseconds = 0
    private(set) var result = Checkpoint()
    private var effects:
        [(key: Key, batch: RecordBatch.Header, operation: RecordBatch.Operation, record: ProcessedRecord)] = []

    init(_ batches: [RecordBatch]) { self.batches = batches }

    /// Keeps the batches whose job runs in their epoch and that are still open.
    mutating func admit(epochs: PostgresRows, open: PostgresRows) {
        let epochs = Dictionary(
            epochs.map { ($0.text(0) ?? "", $0.int(1) ?? 0) }, uniquingKeysWith: { first, _ in first })
        let open = Dictionary(
            open.map { ($0.int(0) ?? 0, Int($0.int(1) ?? 0)) }, uniquingKeysWith: { first, _ in first })
        for batch in batches {
            let id = batch.header.batchID
            if epochs[batch.header.jobID.lowercased()] != Int64(batch.header.epoch) {
                result.refused.append(id)
            } else if let read = open[id], expected[id] == nil {
                expected[id] = read
                admitted.append(batch)
            } else {
                result.finishedBefore.append(id)
            }
        }
        admitted.sort { ($0.header.readSequence, $0.header.batchID) < ($1.header.readSequence, $1.header.batchID) }
    }

    var keys: [Key] {
        var seen = Set<Key>()
        return admitted.flatMap { batch in
            batch.records.compactMap { record in
                let key = Key(batch.header, record.key)
                return seen.insert(key).inserted ? key : nil
            }
        }
    }

    /// What the store must do. A record's own failure, and what a newer version has overtaken, is only counted.
    mutating func decide() -> [RecordChange] {
        var applied: [Key: Int64] = [:]
        var changes: [RecordChange] = []
        for batch in admitted {
            let header = batch.header
            var count = Counts()
            for var record in batch.records {
                if record.failure == nil, header.operation == .upsert, record.vector.count != header.space.dimensions {
                    record.failure = RecordFailure(
                        type: "vector_invalid",
                        message:
                            "the vector has \(record.vector.count) numbers, the collection \(header.space.dimensions)")
                }
                if record.failure != nil {
                    count.failed += 1
                    failures[header.jobID, default: []].append(record)
                    continue
                }
                let key = Key(header, record.key)
                let isEffective =
                    if let state = states[key] {
                        header.operation == .delete
                            ? state.seen < header.readSequence : (applied[key] ?? state.applied) < header.readSequence
                    } else {
                        false
                    }
                guard isEffective else {
                    if header.operation != .delete { count.skipped += 1 }
                    continue
                }
                applied[key] = max(applied[key] ?? states[key]?.applied ?? 0, header.readSequence)
                effects.append((key, header, header.operation, record))
                changes.append(
                    RecordChange(
                        operation: header.operation, collection: header.collection, datasourceID: header.datasourceID,
                        space: header.space, record: record, batchID: header.batchID))
            }
            // A body that lost records on its way must not keep the job from ending.
            let lost = (expected[header.batchID] ?? 0) - batch.records.count
            if header.operation != .delete, lost > 0 {
                count.failed += lost
                failures[header.jobID, default: []].append(
                    ProcessedRecord(
                        key: "",
                        failure: .init(type: "record_lost", message: "\(lost) records are missing from their batch")))
            }
            counts[header.batchID] = count
        }
        return changes
    }

    /// What is true after the store has answered.
    mutating func settle(_ outcome: StoreOutcome, took duration: Duration) {
        milliseconds = Int(duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000)
        var missingOf: [Int64: Int] = [:]
        for (index, effect) in effects.enumerated() {
            let id = effect.batch.batchID
            if let failure = outcome.failures[index] {
                var record = effect.record
                record.failure = failure
                failures[effect.batch.jobID, default: []].append(record)
                if effect.operation != .delete { counts[id]?.failed += 1 }
                continue
            }
            if effect.operation == .payload, outcome.missing.contains(index) {
                if let position = missingOf[id] {
                    missing[position].records.append(effect.record)
                } else {
                    missingOf[id] = missing.count
                    missing.append(RecordBatch(header: effect.batch, records: [effect.record]))
                }
                continue
            }
            apply(effect.operation, effect.record, effect.batch.readSequence, to: effect.key, in: id)
        }
        result.done = admitted.map(\.header.batchID)
        for count in counts.values {
            result.ok += count.ok
            result.skipped += count.skipped
            result.failed += count.failed
            result.deleted += count.deleted
        }
    }

    private mutating func apply(
        _ operation: RecordBatch.Operation, _ record: ProcessedRecord, _ sequence: Int64, to key: Key,
        in batchID: Int64
    ) {
        guard var state = states[key] else { return }
        if operation == .delete {
            if !state.gone { counts[batchID]?.deleted += 1 }
            state.applied = max(state.applied, sequence)
            state.gone = true
            (state.contentHash, state.textHash) = (nil, nil)
        } else {
            counts[batchID]?.ok += 1
            state.applied = sequence
            // A newer read is on its way: the next comparison must not take this version for the newest.
            let isNewest = state.seen == sequence
            state.contentHash = isNewest ? record.contentHash : nil
            state.textHash = isNewest ? record.textHash : nil
        }
        state.isChanged = true
        states[key] = state
    }
}
