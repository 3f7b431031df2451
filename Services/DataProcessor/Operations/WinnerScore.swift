import WireProtocol

/// SPEC 2.8: each signal normalised to 0..1 over the dataset (robust min-max), weighted sum, times 100, rounded; missing
/// signals drop out and the rest is renormalised.
struct WinnerScore: Sendable {
    private struct Signal {
        var field: String
        var weight: Double
        var isReversed: Bool
    }
    private let signals: [Signal]
    private let percentiles: (low: Double, high: Double)

    init(
        weights: [(field: String, weight: Double)], reversed: Set<String> = [],
        percentiles: (low: Double, high: Double) = (0.05, 0.95)
    ) {
        signals = weights.filter { $0.weight > 0 }.map {
            Signal(field: $0.field, weight: $0.weight, isReversed: reversed.contains($0.field))
        }
        self.percentiles = percentiles
    }

    /// One score (0 to 100) a row, `nil` where a row has none of the signals.
    func scores(of rows: [JSONObject]) -> [Int?] {
        var sums = [Double](repeating: 0, count: rows.count)
        var weights = sums
        for signal in signals {
            let values = rows.map { Self.number($0[signal.field]) }
            guard let range = range(of: values.compactMap { $0 }) else { continue }
            for (index, value) in values.enumerated() {
                guard let value else { continue }
                let scaled = range.scaled(value)
                sums[index] += signal.weight * (signal.isReversed ? 1 - scaled : scaled)
                weights[index] += signal.weight
            }
        }
        return zip(sums, weights).map { sum, weight in weight > 0 ? Int((sum / weight * 100).rounded()) : nil }
    }

    private struct Range {
        var low: Double
        var high: Double
        /// A signal that is the same everywhere says nothing: everybody gets the middle.
        func scaled(_ value: Double) -> Double {
            guard high > low else { return 0.5 }
            // halves: the difference cannot overflow
            return min(1, max(0, (value / 2 - low / 2) / (high / 2 - low / 2)))
        }
    }

    private func range(of values: [Double]) -> Range? {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        let robust = Range(low: Self.quantile(percentiles.low, sorted), high: Self.quantile(percentiles.high, sorted))
        // Percentiles that meet (one row in fifty differs) would lose what difference there is.
        return robust.high > robust.low ? robust : Range(low: sorted[0], high: sorted[sorted.count - 1])
    }

    /// Linear between the two nearest ranks (the definition of NumPy and of percentile_cont).
    static func quantile(_ share: Double, _ sorted: [Double]) -> Double {
        let place = share * Double(sorted.count - 1)
        let (below, fraction) = (Int(place), place - place.rounded(.down))
        guard below + 1 < sorted.count else { return sorted[sorted.count - 1] }
        return sorted[below] * (1 - fraction) + sorted[below + 1] * fraction
    }

    /// Numbers, also written as text, as in a CSV file. Anything else is a missing signal.
    private static func number(_ value: JSONValue?) -> Double? {
        switch value {
        case .string(let text)?: NumberText.read(text)?.double
        case let value?: value.double.flatMap { $0.isFinite ? $0 : nil }
        case nil: nil
        }
    }
}
