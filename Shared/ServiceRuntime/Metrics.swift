import Synchronization

/// Counters, gauges and histograms of one process, in Prometheus text format 0.0.4. Names start with `suite_`; labels have few
/// values: no job id, no record key.
package final class Metrics: Sendable {
    package init() {}

    private enum Kind: String { case counter, gauge, histogram }
    private struct Family {
        var kind: Kind
        var help: String
        var bounds: [Double] = []
        var series: [String: Series] = [:]
        var order: [String] = []
    }
    private struct State {
        var families: [String: Family] = [:]
        var collectors: [@Sendable (Metrics) -> Void] = []
    }
    private let state = Mutex(State())

    /// One line (a histogram's: one set of lines) of the exposition, held by code that counts often: no look-up, no text.
    package final class Series: Sendable {
        fileprivate struct Values {
            var value = 0.0
            var buckets: [UInt64]
            var count: UInt64 = 0
        }
        fileprivate let values: Mutex<Values>
        private let bounds: [Double]

        fileprivate init(bounds: [Double]) {
            self.bounds = bounds
            values = Mutex(Values(buckets: Array(repeating: 0, count: bounds.count)))
        }
        package func add(_ amount: Double = 1) { values.withLock { $0.value += amount } }
        package func set(_ value: Double) { values.withLock { $0.value = value } }
        package func observe(_ value: Double) {
            values.withLock { values in
                if let index = bounds.firstIndex(where: { value <= $0 }) { values.buckets[index] += 1 }
                values.count += 1
                values.value += value
            }
        }
    }

    package func counter(_ name: String, help: String, _ labels: KeyValuePairs<String, String> = [:]) -> Series {
        series(name, .counter, help, labels)
    }
    package func gauge(_ name: String, help: String, _ labels: KeyValuePairs<String, String> = [:]) -> Series {
        series(name, .gauge, help, labels)
    }
    package func histogram(
        _ name: String, help: String, _ labels: KeyValuePairs<String, String> = [:],
        buckets: [Double] = Metrics.latencyBuckets
    ) -> Series {
        series(name, .histogram, help, labels, bounds: buckets)
    }

    package func add(_ name: String, _ amount: Double = 1, help: String, _ labels: KeyValuePairs<String, String> = [:])
    {
        series(name, .counter, help, labels).add(amount)
    }
    package func set(_ name: String, _ value: Double, help: String, _ labels: KeyValuePairs<String, String> = [:]) {
        series(name, .gauge, help, labels).set(value)
    }
    /// Units: seconds unless the name says otherwise.
    package func observe(
        _ name: String, _ value: Double, help: String, _ labels: KeyValuePairs<String, String> = [:],
        buckets: [Double] = Metrics.latencyBuckets
    ) {
        series(name, .histogram, help, labels, bounds: buckets).observe(value)
    }
    package static let latencyBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

    /// Runs before each scrape, to set gauges that are cheap to read and dear to keep (memory, queue depth).
    package func beforeScrape(_ collector: @escaping @Sendable (Metrics) -> Void) {
        state.withLock { $0.collectors.append(collector) }
    }

    package func exposition() -> String {
        for collector in state.withLock({ $0.collectors }) { collector(self) }
        var text = ""
        for (name, family) in state.withLock({ $0.families }).sorted(by: { $0.key < $1.key }) {
            text += "# HELP \(name) \(family.help)\n# TYPE \(name) \(family.kind.rawValue)\n"
            for labels in family.order {
                guard let series = family.series[labels] else { continue }
                text += Self.lines(name, labels, series.values.withLock { $0 }, family)
            }
        }
        return text
    }

    private static func lines(_ name: String, _ labels: String, _ series: Series.Values, _ family: Family) -> String {
        let plain = labels.isEmpty ? "" : "{\(labels)}"
        guard family.kind == .histogram else { return "\(name)\(plain) \(series.value)\n" }
        let prefix = labels.isEmpty ? "" : labels + ","
        var text = ""
        var total: UInt64 = 0
        for (bound, count) in zip(family.bounds, series.buckets) {
            total += count
            text += "\(name)_bucket{\(prefix)le=\"\(bound)\"} \(total)\n"
        }
        text += "\(name)_bucket{\(prefix)le=\"+Inf\"} \(series.count)\n"
        return text + "\(name)_sum\(plain) \(series.value)\n\(name)_count\(plain) \(series.count)\n"
    }

    private func series(
        _ name: String, _ kind: Kind, _ help: String, _ labels: KeyValuePairs<String, String>, bounds: [Double] = []
    ) -> Series {
        let key = labels.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
        return state.withLock { state in
            if let series = state.families[name]?.series[key] { return series }
            var family = state.families[name] ?? Family(kind: kind, help: help, bounds: bounds)
            let series = Series(bounds: family.bounds)
            family.series[key] = series
            family.order.append(key)
            state.families[name] = family
            return series
        }
    }

    private static func escaped(_ text: String) -> String {
        guard text.contains(where: { $0 == "\\" || $0 == "\"" || $0 == "\n" }) else { return text }
        return text.flatMap { character -> String in
            switch character {
            case "\\": "\\\\"
            case "\"": "\\\""
            case "\n": "\\n"
            default: String(character)
            }
        }.reduce(into: "") { $0.append($1) }
    }
}
