/// Dates as payloads and filters write them: `2024-03-01`, `2024-03-01T12:00:00`, with fraction, `Z` or an offset, or a space for `T`.
enum PayloadDate {
    /// Units: microseconds since 1970, UTC; a time without zone is UTC.
    static func microseconds(_ text: String) -> Int64? {
        var text = text
        return text.withUTF8 { bytes in
            var scanner = DateScanner(bytes: bytes)
            return scanner.date()
        }
    }
}

private struct DateScanner {
    let bytes: UnsafeBufferPointer<UInt8>
    var position = 0
    init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    private mutating func digits(_ count: Int) -> Int64? {
        guard position + count <= bytes.count else { return nil }
        var value: Int64 = 0
        for _ in 0..<count {
            let digit = bytes[position]
            guard (48...57).contains(digit) else { return nil }
            value = value * 10 + Int64(digit - 48)
            position += 1
        }
        return value
    }
    private mutating func skip(_ characters: StaticString) -> Bool {
        guard position < bytes.count else { return false }
        let found = characters.withUTF8Buffer { $0.contains(bytes[position]) }
        if found { position += 1 }
        return found
    }

    mutating func date() -> Int64? {
        guard let year = digits(4), skip("-"), let month = digits(2), (1...12).contains(month), skip("-"),
            let day = digits(2), (1...31).contains(day)
        else { return nil }
        var seconds = Self.days(year, month, day) * 86_400
        if position == bytes.count { return seconds * 1_000_000 }
        guard skip("Tt "), let hour = digits(2), hour < 24, skip(":"), let minute = digits(2), minute < 60 else {
            return nil
        }
        seconds += hour * 3600 + minute * 60
        var fraction: Int64 = 0
        if skip(":") {
            guard let second = digits(2), second <= 60 else { return nil }
            seconds += second
            if skip(".") {
                var unit: Int64 = 100_000
                while position < bytes.count, (48...57).contains(bytes[position]) {
                    fraction += Int64(bytes[position] - 48) * unit
                    unit /= 10
                    position += 1
                }
            }
        }
        if position < bytes.count, !skip("Zz") {
            let sign: Int64 = bytes[position] == UInt8(ascii: "-") ? -1 : 1
            guard skip("+-"), let hours = digits(2) else { return nil }
            _ = skip(":")
            guard let minutes = digits(2) else { return nil }
            seconds -= sign * (hours * 3600 + minutes * 60)
        }
        return position == bytes.count ? seconds * 1_000_000 + fraction : nil
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
