import CMalloc
import Foundation
import Synchronization

/// A long-lived part of a process: a server, a queue consumer, a supervisor.
package protocol Service: Sendable {
    /// Works until `shutdown` is requested, then finishes or gives back what it holds and returns.
    func run(until shutdown: Shutdown) async throws
}

/// Runs the parts of a process together. SIGTERM or SIGINT asks them to stop; one that throws stops the others.
package struct ServiceGroup: Sendable {
    private let services: [any Service]
    private let shutdown: Shutdown
    private let gracePeriod: Duration
    private let log: Log

    package init(
        _ services: [any Service], shutdown: Shutdown = Shutdown(), gracePeriod: Duration = .seconds(10), log: Log
    ) {
        self.services = services
        self.shutdown = shutdown
        self.gracePeriod = gracePeriod
        self.log = log
    }

    package func run() async throws {
        let signals = SignalSource([SIGTERM, SIGINT]) { [log, shutdown] signal in
            log.info("service.stopping", ["signal": .integer(Int64(signal))])
            shutdown.request()
        }
        defer { signals.cancel() }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for service in services {
                group.addTask {
                    defer { shutdown.request() }
                    try await service.run(until: shutdown)
                    return true
                }
            }
            group.addTask {
                await shutdown.wait()
                try? await Task.sleep(for: gracePeriod)
                return false
            }
            var remaining = services.count
            while remaining > 0, let finished = try await group.next() {
                guard finished else {
                    log.warning("service.grace_period_over", ["parts_still_running": .integer(Int64(remaining))])
                    break
                }
                remaining -= 1
            }
            group.cancelAll()
            // A part that ignores its cancellation must not keep the process alive: `run` exits right after this.
            if remaining > 0 { exit(0) }
        }
        log.info("service.stopped")
    }
}

/// Delivers signals to a closure, outside signal context; from its `init` on none is lost. (Dispatch's sources ignore the signal and
/// wait for it elsewhere: one that came within moments of the start was nobody's.)
private struct SignalSource {
    private let number: Int

    private static let handlers = Mutex<(last: Int, all: [Int: @Sendable (Int32) -> Void])>((0, [:]))
    /// What the signals' own handler writes to, for it may do little else; a thread reads it for the life of the process.
    private static let writing: Int32 = {
        var ends: [Int32] = [-1, -1]
        precondition(pipe(&ends) == 0, "no pipe for signals")
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        Thread.detachNewThread { [reading = ends[0]] in
            var number: UInt8 = 0
            while true {
                let count = read(reading, &number, 1)
                if count == 1 {
                    for handler in handlers.withLock({ Array($0.all.values) }) { handler(Int32(number)) }
                } else if count == 0 || errno != EINTR {
                    return
                }
            }
        }
        return ends[1]
    }()

    init(_ signals: [Int32], handler: @escaping @Sendable (Int32) -> Void) {
        number = Self.handlers.withLock { handlers in
            handlers.last += 1
            handlers.all[handlers.last] = handler
            return handlers.last
        }
        _ = Self.writing  // made before a signal can want it
        for number in signals {
            signal(number) { number in
                let before = errno
                var byte = UInt8(number)
                _ = write(SignalSource.writing, &byte, 1)
                errno = before
            }
        }
    }
    func cancel() { Self.handlers.withLock { $0.all[number] = nil } }
}

/// Words on the command line that a service does not know.
package struct UsageError: Error, CustomStringConvertible {
    package var usage: String

    /// `arguments` begin with the program's path; `words` are what may follow it.
    package init(_ arguments: [String], knows words: [String] = []) {
        let program = arguments.first?.split(separator: "/").last.map(String.init) ?? "service"
        usage = words.isEmpty ? program : "\(program) [\(words.joined(separator: " | "))]"
    }

    package var description: String { "usage: \(usage)" }
}

/// For a service that is told everything by its environment. Throws: `UsageError` for any word after the program's path.
package func refuseWords(_ arguments: [String]) throws(UsageError) {
    if arguments.count > 1 { throw UsageError(arguments) }
}

/// The frame of every `main`: an error becomes one log line; a bad configuration exits with 78, a wrong command line with 64,
/// anything else with 1.
package func run(
    _ service: String, environment: Environment = Environment(), _ body: @Sendable (Log) async throws -> Void
) async {
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)  // a file over its limit is an error of that write
    // Who wants another number says so in glibc's own variable.
    if environment.values["MALLOC_ARENA_MAX"] == nil {
        limit_malloc_arenas(Int32(max(2, ProcessInfo.processInfo.activeProcessorCount)))
    }
    let level = environment.values["LOG_LEVEL"].flatMap(Log.Level.init) ?? .info
    let format =
        environment.values["LOG_FORMAT"].flatMap(Log.Format.init) ?? (isatty(STDOUT_FILENO) == 1 ? .text : .json)
    let log = Log(service: service, level: level, format: format)
    do {
        try await body(log)
    } catch let error as ConfigurationError {
        FileHandle.standardError.write(Data("\(service): \(error)\n".utf8))
        exit(78)
    } catch let error as UsageError {
        FileHandle.standardError.write(Data("\(error)\n".utf8))
        exit(64)
    } catch {
        log.error("service.failed", ["error": .string("\(error)")])
        FileHandle.standardError.write(Data("\(service): \(error)\n".utf8))
        exit(1)
    }
}
