import Foundation

/// The variables a process was started with. Read once in `main`; nothing else looks at the environment.
package struct Environment: Sendable {
    package let values: [String: String]
    package init(_ values: [String: String] = ProcessInfo.processInfo.environment) { self.values = values }
}

/// Every problem of a configuration at once. A service that gets one exits with 78 (EX_CONFIG), nothing half-started.
package struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    package var problems: [String]
    package init(problems: [String]) { self.problems = problems }
    package var description: String {
        "configuration: \(problems.count) problem\(problems.count == 1 ? "" : "s")\n"
            + problems.map { "  - \($0)" }.joined(separator: "\n")
    }
}

/// Reads typed settings and collects what is wrong with them, so that `finish()` reports all at once.
///
/// ```swift
/// var settings = ConfigurationReader(environment)
/// port = settings.integer("PORT", default: 8004, in: 0...65535)
/// redisURL = settings.url("REDIS_URL", default: "redis://127.0.0.1:6379", schemes: ["redis"])
/// try settings.finish()
/// ```
package struct ConfigurationReader {
    private let environment: Environment
    private var problems: [String] = []

    package init(_ environment: Environment) { self.environment = environment }

    /// The value of `name`, or of the file that `name_FILE` points to (one trailing newline trimmed). An empty value is none.
    package mutating func secret(_ name: String) -> String? {
        let direct = environment.values[name].flatMap { $0.isEmpty ? nil : $0 }
        guard let path = environment.values[name + "_FILE"], !path.isEmpty else { return direct }
        guard direct == nil else {
            problems.append("\(name) and \(name)_FILE are both set: keep one")
            return nil
        }
        do {
            var text = try String(contentsOfFile: path, encoding: .utf8)
            if text.hasSuffix("\n") { text.removeLast() }
            return text.isEmpty ? nil : text
        } catch {
            problems.append("\(name)_FILE: cannot read \(path)")
            return nil
        }
    }

    package mutating func string(_ name: String) -> String? { secret(name) }
    package mutating func string(_ name: String, default fallback: String) -> String { secret(name) ?? fallback }

    package mutating func required(_ name: String, example: String) -> String {
        if let value = secret(name) { return value }
        problems.append("\(name) is not set (for example \(example))")
        return ""
    }

    package mutating func integer(_ name: String, default fallback: Int, in range: ClosedRange<Int>) -> Int {
        guard let text = secret(name) else { return fallback }
        guard let value = Int(text), range.contains(value) else {
            problems.append("\(name) must be a whole number from \(range.lowerBound) to \(range.upperBound)")
            return fallback
        }
        return value
    }

    package mutating func number(_ name: String, default fallback: Double, in range: ClosedRange<Double>) -> Double {
        guard let text = secret(name) else { return fallback }
        guard let value = Double(text), range.contains(value) else {
            problems.append("\(name) must be a number from \(range.lowerBound) to \(range.upperBound)")
            return fallback
        }
        return value
    }

    package mutating func flag(_ name: String, default fallback: Bool) -> Bool {
        guard let text = secret(name) else { return fallback }
        switch text.lowercased() {
        case "1", "true", "yes", "on": return true
        case "0", "false", "no", "off": return false
        default:
            problems.append("\(name) must be true or false")
            return fallback
        }
    }

    package mutating func choice<Value: RawRepresentable & CaseIterable>(
        _ name: String, default fallback: Value
    ) -> Value where Value.RawValue == String {
        guard let text = secret(name) else { return fallback }
        guard let value = Value(rawValue: text) else {
            problems.append("\(name) must be one of \(Value.allCases.map(\.rawValue).joined(separator: ", "))")
            return fallback
        }
        return value
    }

    /// A URL kept as text (credentials may be in it: never log it; see `redacted`).
    package mutating func url(_ name: String, default fallback: String, schemes: [String]) -> String {
        url(name, schemes: schemes) ?? fallback
    }
    package mutating func url(_ name: String, schemes: [String]) -> String? {
        guard let text = secret(name) else { return nil }
        guard let url = URL(string: text), let scheme = url.scheme, schemes.contains(scheme),
            url.host != nil || scheme == "unix"
        else {
            problems.append(
                "\(name) must be a URL that starts with \(schemes.map { $0 + "://" }.joined(separator: " or "))")
            return nil
        }
        return text
    }

    /// Notes a problem that only the service can see.
    package mutating func refuse(_ problem: String) { problems.append(problem) }

    /// Throws: `ConfigurationError` with all that was noted.
    package mutating func finish() throws(ConfigurationError) {
        // Read by `run`, before there is a configuration; checked here with everything else.
        _ = choice("LOG_LEVEL", default: Log.Level.info)
        _ = choice("LOG_FORMAT", default: Log.Format.json)
        if !problems.isEmpty { throw ConfigurationError(problems: problems) }
    }
}
