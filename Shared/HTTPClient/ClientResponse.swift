import Foundation

/// Whatever status: an answer is not an error here.
package struct ClientResponse: Sendable {
    package let status: Int
    /// As they came, in order.
    package let headers: [(name: String, value: String)]
    package let body: [UInt8]

    package init(status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// The first value of a header, whatever the case of its name.
    package func header(_ name: String) -> String? {
        headers.first { $0.name.caseInsensitiveCompare(name) == .orderedSame }?.value
    }
    package var isSuccess: Bool { (200..<300).contains(status) }
    package var text: String { String(decoding: body, as: UTF8.self) }

    /// `Retry-After`, in seconds or as a date. Source: RFC 9110, 10.2.3.
    package func retryAfter(now: Date = Date()) -> Duration? {
        guard let value = header("retry-after")?.trimmingCharacters(in: .whitespaces) else { return nil }
        if let seconds = Double(value) {
            return seconds >= 0 && seconds < 1e9 ? .milliseconds(Int(seconds * 1000)) : nil
        }
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(identifier: "GMT")
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss zzz"
        return format.date(from: value).map { .milliseconds(Int(max(0, $0.timeIntervalSince(now)) * 1000)) }
    }
}
