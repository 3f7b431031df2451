/// What can go wrong above Redis' own errors.
package enum WorkQueueError: Error, Equatable, CustomStringConvertible {
    /// The lease was lost and another consumer has the messages (or had them): drop what was made of them.
    case notHeld
    /// Redis is full: the work is still held, try again when there is room. Retryable.
    case outOfMemory

    package var description: String {
        switch self {
        case .notHeld: "the messages are not held by this consumer any more"
        case .outOfMemory: "Redis is out of memory"
        }
    }
}
