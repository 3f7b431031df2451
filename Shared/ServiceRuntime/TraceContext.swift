/// W3C Trace Context (https://www.w3.org/TR/trace-context/), version 00. Numbers inside, so that making one allocates nothing.
package struct TraceContext: Sendable, Equatable {
    private let high: UInt64
    private let low: UInt64
    private let span: UInt64
    package let sampled: Bool

    /// A new trace.
    package init() {
        var generator = SystemRandomNumberGenerator()
        self.init(using: &generator)
    }

    /// For who makes many: the system's generator is a system call a number.
    package init(using generator: inout some RandomNumberGenerator) {
        self.init(
            high: .random(in: 1 ... .max, using: &generator), low: generator.next(), using: &generator, sampled: true)
    }

    private init(high: UInt64, low: UInt64, using generator: inout some RandomNumberGenerator, sampled: Bool) {
        self.high = high
        self.low = low
        self.span = .random(in: 1 ... .max, using: &generator)
        self.sampled = sampled
    }

    /// `nil` for anything the standard says to ignore.
    package init?(traceparent: String) {
        let parts = traceparent.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 4, parts[0].count == 2, parts[0] != "ff", parts[0] != "00" || parts.count == 4,
            parts[1].count == 32, parts[2].count == 16, parts[3].count == 2,
            parts.prefix(4).allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) } }),
            let high = UInt64(parts[1].prefix(16), radix: 16), let low = UInt64(parts[1].suffix(16), radix: 16),
            let span = UInt64(parts[2], radix: 16), let flags = UInt8(parts[3], radix: 16), high | low != 0, span != 0
        else { return nil }
        self.high = high
        self.low = low
        self.span = span
        sampled = flags & 1 == 1
    }

    /// 32 lower-case hex digits.
    package var traceID: String { Self.hex(high) + Self.hex(low) }
    /// 16 lower-case hex digits.
    package var spanID: String { Self.hex(span) }
    package var traceparent: String { "00-\(traceID)-\(spanID)-\(sampled ? "01" : "00")" }

    /// A new span of the same trace.
    package func child() -> TraceContext {
        var generator = SystemRandomNumberGenerator()
        return child(using: &generator)
    }
    package func child(using generator: inout some RandomNumberGenerator) -> TraceContext {
        TraceContext(high: high, low: low, using: &generator, sampled: sampled)
    }

    private static func hex(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
