import WireProtocol

/// Where a harvester stands in one part of its source.
package struct SyncCursor: Sendable, Equatable {
    /// Parts of a source are 0, 1, ...; then come the two passes over what may have vanished.
    package var shard: Int
    package var lo: String?
    package var hi: String?
    /// What the last committed page left; `nil` before the first. Opaque here.
    package var after: String?
    package var exhausted: Bool

    /// Deletion candidates, read again by key: survivors are embedded, the absent deleted.
    package static let deletions = -1
    /// The same without deleting: tells survivors from the vanished where the candidates alone would be a mass delete.
    package static let survivors = -2

    package init(shard: Int = 0, lo: String? = nil, hi: String? = nil, after: String? = nil, exhausted: Bool = false) {
        self.shard = shard
        self.lo = lo
        self.hi = hi
        self.after = after
        self.exhausted = exhausted
    }
}

/// What a harvester needs to begin or to go on.
package struct HarvestState: Sendable {
    package var job: SyncJob
    package var cursors: [SyncCursor]
    /// Where the last completed sync of this datasource into this collection ended.
    package var previousWatermark: String?
}

/// One read of the source, ready to be committed.
package struct RecordPage: Sendable {
    package var shard: Int
    package var readSequence: Int64
    /// The cursor before this page, as the last commit (or `begin`) left it.
    package var previous: String?
    package var next: String?
    /// Nothing comes after it: the part is exhausted.
    package var isLast: Bool
    /// In the source's order; all with hashes, text and payload, or with a `failure` (the payload is then kept as the error's
    /// `recordData`; an unknown key is empty). Of two with one key the last wins.
    package var records: [ProcessedRecord]
    /// Keys known to be no longer in the source.
    package var absent: [String]
    /// Units: milliseconds.
    package var readMilliseconds: Int
    package var processMilliseconds: Int
    package var retries: Int
    package var traceparent: String?

    package init(
        shard: Int = 0, readSequence: Int64, previous: String?, next: String?, isLast: Bool = false,
        records: [ProcessedRecord], absent: [String] = [], readMilliseconds: Int = 0, processMilliseconds: Int = 0,
        retries: Int = 0, traceparent: String? = nil
    ) {
        self.shard = shard
        self.readSequence = readSequence
        self.previous = previous
        self.next = next
        self.isLast = isLast
        self.records = records
        self.absent = absent
        self.readMilliseconds = readMilliseconds
        self.processMilliseconds = processMilliseconds
        self.retries = retries
        self.traceparent = traceparent
    }
}

/// What a committed page came to. Push `batches`; whatever is not pushed the supervisor finds.
package struct CommittedPage: Sendable {
    package var batches: [QueuedBatch]
    package var upserts = 0
    package var payloadOnly = 0
    package var unchanged = 0
    /// A newer read of the record came first.
    package var superseded = 0
    package var failed = 0
    package var deletes = 0
}

/// A batch for a list: `message.kind` says which.
package struct QueuedBatch: Sendable, Equatable {
    package var message: WorkMessage
    /// An encoded `RecordBatch`.
    package var body: [UInt8]
    package init(message: WorkMessage, body: [UInt8]) {
        self.message = message
        self.body = body
    }
}
