/// Dates as payloads and filters write them: RFC 3339 and what Qdrant takes beside it: `2024-03-01`, a space for the `T`, no seconds,
/// no zone (UTC then), zones like `+02`, `+0200` and ` UTC`.
enum PayloadDate {
    /// Units: microseconds since 1970, UTC.
    static func microseconds(_ text: String) -> Int64? {
        var text = text
        return text.withUTF8 { microseconds($0) }
    }
    static func microseconds(_ bytes: UnsafeBufferPointer<UInt8>) -> Int64? {
        var scanner = DateScanner(bytes: bytes)
        return scanner.date()
    }
}

private struct DateScanner {
    let bytes: UnsafeBufferPointer<UInt8>
    var position = 0
    init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    private var isAtEnd: Bool { position == bytes.count }
    private func isDigit(at position: Int) -> Bool { position < bytes.count && (48...57).contains(bytes[position]) }

    private mutating func number(_ lengths: ClosedRange<Int>) -> Int64? {
        var value: Int64 = 0
        var length = 0
        while length < lengths.upperBound, isDigit(at: position) {
            value = value * 10 + Int64(bytes[position] - 48)
            position += 1
            length += 1
        }
        return length >= lengths.lowerBound ? value : nil
    }
    private mutating func skip(_ characters: StaticString) -> Bool {
        guard !isAtEnd else { return false }
        let found = characters.withUTF8Buffer { $0.contains(bytes[position]) }
        if found { position += 1 }
        return found
    }
    private mutating func skipSpaces() -> Bool {
        let start = position
        while skip(" \t\n\r") {}
        return position > start
    }

    mutating func date() -> Int64? {
        _ = skipSpaces()
        guard let year = year(), skip("-"), let month = number(1...2), (1...12).contains(month), skip("-"),
            let day = number(1...2), (1...Self.length(of: month, year)).contains(day)
        else { return nil }
        let seconds = Self.days(year, month, day) * 86_400
        return isAtEnd ? seconds * 1_000_000 : time(on: seconds)
    }

    /// Four digits at most, or any number that a calendar knows behind a sign.
    private mutating func year() -> Int64? {
        guard !isAtEnd, bytes[position] == UInt8(ascii: "-") || bytes[position] == UInt8(ascii: "+") else {
            return number(1...4)
        }
        let isNegative = bytes[position] == UInt8(ascii: "-")
        position += 1
        guard let year = number(1...9), year <= 262_000 else { return nil }
        return isNegative ? -year : year
    }

    private mutating func time(on day: Int64) -> Int64? {
        guard skip("Tt") || skipSpaces(), let hour = number(1...2), hour < 24, skip(":"),
            let minute = number(1...2), minute < 60
        else { return nil }
        var seconds = day + hour * 3600 + minute * 60
        if isAtEnd { return seconds * 1_000_000 }
        guard skip(":"), let second = number(1...2), second <= 60 else { return nil }
        seconds += second
        var fraction: Int64 = 0
        if skip(".") {
            guard isDigit(at: position) else { return nil }
            var unit: Int64 = 100_000
            while isDigit(at: position) {
                fraction += Int64(bytes[position] - 48) * unit
                unit /= 10
                position += 1
            }
        }
        if isAtEnd { return seconds * 1_000_000 + fraction }
        guard let offset = zone() else { return nil }
        return (seconds - offset) * 1_000_000 + fraction
    }

    /// Units: seconds east of Greenwich.
    private mutating func zone() -> Int64? {
        _ = skipSpaces()
        if skip("Zz") { return isAtEnd ? 0 : nil }
        if bytes.suffix(from: position).elementsEqual("UTC".utf8) { return 0 }
        guard !isAtEnd else { return nil }
        let sign: Int64 = bytes[position] == UInt8(ascii: "-") ? -1 : 1
        guard skip("+-"), let hours = number(2...2), hours < 24 else { return nil }
        if isAtEnd { return sign * hours * 3600 }
        _ = skip(":")
        guard let minutes = number(2...2), minutes < 60, isAtEnd else { return nil }
        return sign * (hours * 3600 + minutes * 60)
    }

    private static func length(of month: Int64, _ year: Int64) -> Int64 {
        switch month {
        case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days since 1970-01-01 of the proleptic Gregorian calendar. Source: H. Hinnant, "days_from_civil".
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
