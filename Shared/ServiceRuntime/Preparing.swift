import Foundation

/// An error that says whether another try may help.
package protocol RetryableError: Error {
    var isRetryable: Bool { get }
}

/// Prepares what a service cannot start without, its tables and lists: again and again while the server it needs is away or starting.
///
/// Nothing is held meanwhile: SIGTERM and SIGINT end the process at once, with 0.
/// Throws: the error that another try will not help against, or the last one when `limit` is over.
package func preparing(
    log: Log, limit: Duration = .seconds(60), interval: Duration = .seconds(1), _ preparation: () async throws -> Void
) async throws {
    let handlers = [SIGTERM, SIGINT].map { number in (number, signal(number) { _ in _exit(0) }) }
    defer { for (number, handler) in handlers { signal(number, handler) } }
    let deadline = ContinuousClock.now + limit
    while true {
        do {
            return try await preparation()
        } catch let error as any RetryableError where error.isRetryable && ContinuousClock.now + interval < deadline {
            log.warning("service.waiting", ["error": .string("\(error)")])
            try await Task.sleep(for: interval)
        }
    }
}
