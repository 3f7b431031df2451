import Foundation
import Synchronization
import WireProtocol

/// Structured log: one JSON object a line on standard output (`LOG_FORMAT=json`), or a line for people (`text`).
///
/// Events are `noun.verb` (`job.completed`). Fields carry ids, counts and durations, never secrets or customers' values.
package struct Log: Sendable {
    package enum Level: String, Sendable, CaseIterable, Comparable {
        case debug, info, warning, error
        package static func < (left: Level, right: Level) -> Bool { left.rank < right.rank }
        private var rank: Int { Level.allCases.firstIndex(of: self) ?? 0 }
    }
    package enum Format: String, Sendable, CaseIterable { case json, text }

    private let sink: Sink
    private let level: Level
    private var fields: [(name: String, value: JSONValue)]

    /// A log of its own for `service`; `write` gets each finished line (default: standard output).
    package init(
        service: String, level: Level = .info, format: Format = .json,
        write: @escaping @Sendable (String) -> Void = Log.standardOutput
    ) {
        sink = Sink(service: service, format: format, write: write)
        self.level = level
        fields = []
    }

    /// For tests and for parts that nobody listens to.
    package static let silent = Log(service: "silent", level: .error, write: { _ in })

    /// The same log with more fields on every line.
    package func with(_ more: KeyValuePairs<String, JSONValue>) -> Log {
        var copy = self
        copy.fields += more.map { ($0.key, $0.value) }
        return copy
    }
    package func with(_ trace: TraceContext) -> Log {
        with(["trace_id": .string(trace.traceID), "span_id": .string(trace.spanID)])
    }

    package func debug(_ event: StaticString, _ fields: KeyValuePairs<String, JSONValue> = [:]) {
        emit(.debug, event, fields)
    }
    package func info(_ event: StaticString, _ fields: KeyValuePairs<String, JSONValue> = [:]) {
        emit(.info, event, fields)
    }
    package func warning(_ event: StaticString, _ fields: KeyValuePairs<String, JSONValue> = [:]) {
        emit(.warning, event, fields)
    }
    package func error(_ event: StaticString, _ fields: KeyValuePairs<String, JSONValue> = [:]) {
        emit(.error, event, fields)
    }

    private func emit(_ level: Level, _ event: StaticString, _ more: KeyValuePairs<String, JSONValue>) {
        guard level >= self.level else { return }
        sink.emit(level, "\(event)", fields + more.map { ($0.key, $0.value) })
    }

    package static func standardOutput(_ line: String) {
        FileHandle.standardOutput.write(Data(line.utf8))
    }

    private final class Sink: Sendable {
        private let service: String
        private let format: Format
        private let write: @Sendable (String) -> Void
        private let lock = Mutex(())

        init(service: String, format: Format, write: @escaping @Sendable (String) -> Void) {
            self.service = service
            self.format = format
            self.write = write
        }

        func emit(_ level: Level, _ event: String, _ fields: [(name: String, value: JSONValue)]) {
            let now = Timestamp.now.text
            let line: String
            switch format {
            case .json:
                var object = JSONObject(unique: [
                    ("ts", .string(now)), ("level", .string(level.rawValue)), ("service", .string(service)),
                    ("event", .string(event)),
                ])
                for field in fields { object[field.name] = field.value }
                line = JSONValue.object(object).serialized + "\n"
            case .text:
                let details = fields.map { " \($0.name)=\($0.value.text)" }.joined()
                line = "\(now.dropFirst(11)) \(level.rawValue.uppercased()) \(service) \(event)\(details)\n"
            }
            lock.withLock { _ in write(line) }
        }
    }
}
