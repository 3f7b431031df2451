import ServiceRuntime
import WireProtocol

/// A page with each key once: what can be compared, what failed, what is absent.
struct PageDraft {
    private(set) var records: [ProcessedRecord] = []
    /// With their `failure`; an unknown key is empty.
    private(set) var failures: [ProcessedRecord] = []
    /// Keys whose record failed: their hash is forgotten, so that the next sync tries again.
    private(set) var failedKeys: [String] = []
    private(set) var absent: [String] = []

    /// B-tree entries end at some 2,700 bytes.
    private static let longestKey = 1024

    init(_ page: RecordPage) {
        var positions: [String: Int] = [:]
        positions.reserveCapacity(page.records.count)
        for var record in page.records {
            if record.failure == nil,
                record.key.isEmpty || record.key.utf8.count > Self.longestKey || record.key.utf8.contains(0)
            {
                record.failure = .init(
                    type: "invalid_key", message: "the key is empty, longer than \(Self.longestKey) bytes or not text")
                record.key = ""
            }
            if record.failure != nil {
                failures.append(record)
            } else if let earlier = positions.updateValue(records.count, forKey: record.key) {
                var lost = records[earlier]
                lost.failure = .init(
                    type: "duplicate_key", message: "the key comes more than once: the last row was taken")
                failures.append(lost)
                records[earlier] = record
                positions[record.key] = earlier
            } else {
                records.append(record)
            }
        }
        var failed = Set<String>()
        for key in failures.map(\.key)
        where !key.isEmpty && positions[key] == nil && key.utf8.count <= Self.longestKey
            && !key.utf8.contains(0)
        {
            if failed.insert(key).inserted { failedKeys.append(key) }
        }
        var seen = Set<String>()
        absent = page.absent.filter { positions[$0] == nil && !failed.contains($0) && seen.insert($0).inserted }
    }
}

/// The batches of a page.
struct PagePlan {
    struct Batch {
        var operation: RecordBatch.Operation
        var readSequence: Int64
        var records: [ProcessedRecord]

        func queued(id: Int64, job: SyncJob, traceparent: String?) throws -> QueuedBatch {
            let header = RecordBatch.Header(
                jobID: job.id, epoch: job.epoch, batchID: id, operation: operation, datasourceID: job.datasourceID,
                collection: job.collection, space: job.space, readSequence: readSequence, traceparent: traceparent)
            return QueuedBatch(
                message: .reference(to: header, attempt: 1),
                body: try RecordBatch(header: header, records: records).encoded())
        }
    }

    private(set) var batches: [Batch] = []
    /// What vanished during a full sync is deleted as of its start: whoever saw it since keeps it. Any other absence is as new as its read.
    let deleteSequence: Int64
    private let readSequence: Int64
    private let size: Int
    private var current: [RecordBatch.Operation: Int] = [:]

    init(_ page: RecordPage, _ job: SyncJob) {
        readSequence = page.readSequence
        deleteSequence = page.shard < 0 ? job.startSequence : page.readSequence
        size = job.options.batchSize
    }

    mutating func add(_ record: ProcessedRecord, _ operation: RecordBatch.Operation) {
        if let index = current[operation], batches[index].records.count < size {
            batches[index].records.append(record)
        } else {
            current[operation] = batches.count
            batches.append(
                Batch(
                    operation: operation, readSequence: operation == .delete ? deleteSequence : readSequence,
                    records: [record]))
        }
    }
}

extension WorkMessage {
    /// Upserts go to the embedder, the rest has no use for a vector.
    static func reference(to header: RecordBatch.Header, attempt: Int) -> WorkMessage {
        WorkMessage(
            jobID: header.jobID, epoch: header.epoch, batchID: header.batchID, attempt: attempt,
            kind: header.operation == .upsert ? .embed : .index, traceparent: header.traceparent,
            enqueuedAt: Timestamp.now.milliseconds)
    }
}
