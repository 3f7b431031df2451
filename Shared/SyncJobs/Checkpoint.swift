/// What one index transaction left behind: these batches are done, counted once, whoever dies next.
///
/// All but `replanned` are to be acknowledged.
package struct Checkpoint: Sendable, Equatable {
    package var done: [Int64] = []
    /// Of an older epoch, or of a job that does not run: no effect.
    package var refused: [Int64] = []
    /// Done, dead or split before: no effect.
    package var finishedBefore: [Int64] = []
    /// To push: payload changes whose point was missing.
    package var replanned: [QueuedBatch] = []
    package var ok = 0
    package var skipped = 0
    package var failed = 0
    package var deleted = 0
}
