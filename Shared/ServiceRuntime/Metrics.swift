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
    private struct Series {
        var value = 0.0
        var buckets: [UInt64] = []
        var count: UInt64 = 0
    }
    private struct State {
        var families: [String: Family] = [:]
        var collectors: [@Sendable (Metrics) -> Void] = []
    }
    private let state = Mutex(State())

    package func add(_ name: String, _ amount: Double = 1, help: String, _ labels: KeyValuePairs<String, String> = [:]) {
        update(name, .counter, help, labels) { $0.value += amount }
    }
    package func set(_ name: String, _ value: Double, help: String, _ labels: KeyValuePairs<String, String> = [:]) {
        update(name, .gauge, help, labels) { $0.value = value }
    }
    /// Units: seconds unless the name says otherwise.
    package func observe(
        _ name: String, _ value: Double, help: String, _ labels: KeyValuePairs<String, String> = [:],
        buckets: [Double] = Metrics.latencyBuckets
    ) {
        update(name, .histogram, help, labels, bounds: buckets) { series in
            if series.buckets.isEmpty { series.buckets = Array(repeating: 0, count: buckets.count) }
            if let index = buckets.firstIndex(where: { value <= $0 }) { series.buckets[index] += 1 }
            series.count += 1
            series.value += value
        }
    }
    package static let latencyBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

    /// Runs before each scrape, to set gauges that are cheap to read and dear to keep (memory, queue depth).
    package func beforeScrape(_ collector: @escaping @Sendable (Metrics) -> Void) {
        state.withLock { $0.collectors.append(collector) }
    }

    package func exposition() -> String {
        for collector in state.withLock({ $0.collectors }) { collector(self) }
        return state.withLock { state in
            var text = ""
            for (name, family) in state.families.sorted(by: { $0.key < $1.key }) {
                text += "# HELP \(name) \(family.help)\n# TYPE \(name) \(family.kind.rawValue)\n"
                for labels in family.order {
                    guard let series = family.series[labels] else { continue }
                    text += Self.lines(name, labels, series, family)
                }
            }
            return text
        }
    }

    private static func lines(_ name: String, _ labels: String, _ series: Series, _ family: Family) -> String {
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

    private func update(
        _ name: String, _ kind: Kind, _ help: String, _ labels: KeyValuePairs<String, String>, bounds: [Double] = [],
        _ change: (inout Series) -> Void
    ) {
        let key = labels.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
        state.withLock { state in
            if state.families[name] == nil { state.families[name] = Family(kind: kind, help: help, bounds: bounds) }
            if state.families[name]?.series[key] == nil { state.families[name]?.order.append(key) }
            change(&state.families[name, default: Family(kind: kind, help: help)].series[key, default: Series()])
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
