import ServiceRuntime

/// A moment read from a text: a day, with a time of day when the format has one.
struct CalendarMoment: Equatable {
    var year = 1970
    var month = 1
    var day = 1
    var hour = 0
    var minute = 0
    var second = 0
    var millisecond = 0
    /// Units: minutes east of UTC.
    var offset = 0
    var hasTime = false

    var isValid: Bool {
        (1...9999).contains(year) && (1...12).contains(month) && (1...Self.days(in: month, of: year)).contains(day)
            && (0...23).contains(hour) && (0...59).contains(minute) && (0...59).contains(second)
            && abs(offset) <= 18 * 60
    }

    /// `2026-11-20`, or RFC 3339 in UTC when there is a time.
    var text: String {
        let text = Timestamp(milliseconds: millisecondsSince1970).text
        guard hasTime else { return String(text.prefix(10)) }
        return millisecond == 0 ? text.prefix(19) + "Z" : text
    }

    /// Source: "chrono-Compatible Low-Level Date Algorithms" (Howard Hinnant), days_from_civil.
    private var millisecondsSince1970: Int64 {
        let y = month <= 2 ? year - 1 : year
        let era = (y >= 0 ? y : y - 399) / 400
        let yearOfEra = y - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = era * 146_097 + dayOfEra - 719_468
        return Int64(((days * 24 + hour) * 60 + minute - offset) * 60 + second) * 1000 + Int64(millisecond)
    }

    static func days(in month: Int, of year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}

/// How a date is written: the commoner letters of Unicode's date patterns (UTS 35), in English.
///
/// `yyyy yy MM M MMM MMMM dd d HH H hh h mm ss SSS a Z` (`Z`: `Z`, `+02:00`, `+0200`), quoted text, and other characters as
/// they are. `M d H h` take one or two digits, `SSS` one to nine.
struct DateFormat: Sendable {
    private enum Part: Sendable, Equatable {
        case number(Field, ClosedRange<Int>), monthName, half, zone, literal(Character)
    }
    private enum Field: Sendable { case year, shortYear, month, day, hour, hour12, minute, second, fraction }
    private enum Form: Sendable { case parts([Part]), iso8601, unix(perSecond: Double) }
    private let form: Form

    struct Invalid: Error { let message: String }

    init(_ text: String) throws(Invalid) {
        switch text {
        case "iso8601": form = .iso8601
        case "unix": form = .unix(perSecond: 1)
        case "unix_ms": form = .unix(perSecond: 1000)
        default: form = .parts(try Self.parts(of: text))
        }
    }

    func read(_ text: String) -> CalendarMoment? {
        switch form {
        case .unix(let perSecond): return Self.readUnix(text, perSecond: perSecond)
        case .iso8601:
            for parts in Self.iso8601 {
                if let moment = Self.read(text, parts) { return moment }
            }
            return nil
        case .parts(let parts): return Self.read(text, parts)
        }
    }

    /// Source: ISO 8601 extended format as RFC 3339 and databases write it.
    private static let iso8601: [[Part]] = [
        "yyyy-MM-dd", "yyyy-MM-dd'T'HH:mm:ssZ", "yyyy-MM-dd'T'HH:mm:ss.SSSZ", "yyyy-MM-dd'T'HH:mm:ss",
        "yyyy-MM-dd'T'HH:mm:ss.SSS",
        "yyyy-MM-dd HH:mm:ss", "yyyy-MM-dd HH:mm:ss.SSS", "yyyy-MM-dd HH:mm:ssZ", "yyyy-MM-dd HH:mm:ss.SSSZ",
        "yyyy-MM-dd'T'HH:mmZ",
        "yyyy-MM-dd'T'HH:mm", "yyyy-MM-dd HH:mm", "yyyyMMdd", "yyyyMMdd'T'HHmmssZ",
    ].map(ownParts)
    private static let withMilliseconds = ownParts("yyyy-MM-dd'T'HH:mm:ss.SSSZ")

    private static func ownParts(_ pattern: String) -> [Part] {
        do { return try parts(of: pattern) } catch {
            preconditionFailure("our own format \(pattern): \(error.message)")
        }
    }

    private static func readUnix(_ text: String, perSecond: Double) -> CalendarMoment? {
        guard let number = NumberText.read(text)?.double, abs(number / perSecond) <= 253_402_300_799 else { return nil }
        let text = Timestamp(milliseconds: Int64((number / perSecond * 1000).rounded())).text
        return read(text, withMilliseconds)
    }

    // MARK: - The pattern

    private static func parts(of pattern: String) throws(Invalid) -> [Part] {
        var parts: [Part] = []
        var rest = Substring(pattern)
        var offset = 0
        while let character = rest.first {
            let run = rest.prefix { $0 == character }
            if character == "'" {
                let quoted = rest.dropFirst().prefix { $0 != "'" }
                guard quoted.endIndex < rest.endIndex else { throw Invalid(message: "has a quote that is not closed") }
                parts += quoted.isEmpty ? [.literal("'")] : quoted.map(Part.literal)
                offset += quoted.count + 2
                rest = rest[rest.index(after: quoted.endIndex)...]
                continue
            }
            if character.isASCII, character.isLetter {
                guard let part = letters[String(run)] else {
                    throw Invalid(message: "has '\(run)' at position \(offset), which is no part of a date")
                }
                parts.append(part)
            } else {
                parts += run.map(Part.literal)
            }
            offset += run.count
            rest = rest.dropFirst(run.count)
        }
        let fields = parts.compactMap { part -> Field? in if case .number(let field, _) = part { field } else { nil } }
        guard fields.contains(.year) || fields.contains(.shortYear) else {
            throw Invalid(message: "has no year (yyyy or yy)")
        }
        return parts
    }

    private static let letters: [String: Part] = [
        "yyyy": .number(.year, 4...4), "yy": .number(.shortYear, 2...2), "MM": .number(.month, 2...2),
        "M": .number(.month, 1...2),
        "MMM": .monthName, "MMMM": .monthName, "dd": .number(.day, 2...2), "d": .number(.day, 1...2),
        "HH": .number(.hour, 2...2), "H": .number(.hour, 1...2), "hh": .number(.hour12, 2...2),
        "h": .number(.hour12, 1...2),
        "mm": .number(.minute, 2...2), "ss": .number(.second, 2...2), "SSS": .number(.fraction, 1...9), "a": .half,
        "Z": .zone,
    ]
    private static let months = [
        "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
        "december",
    ]

    // MARK: - Reading

    private static func read(_ text: String, _ parts: [Part]) -> CalendarMoment? {
        var moment = CalendarMoment()
        var rest = Substring(text)
        var isAfternoon: Bool?
        for part in parts {
            switch part {
            case .literal(let character):
                guard rest.first == character else { return nil }
                rest.removeFirst()
            case .number(let field, let width):
                let digits = rest.utf8.prefix(width.upperBound).prefix { (48...57).contains($0) }
                guard digits.count >= width.lowerBound, let number = Int(Substring(digits)) else { return nil }
                set(field, number, digits.count, &moment)
                rest = rest[digits.endIndex...]
            case .monthName:
                let letters = rest.prefix { $0.isLetter }
                let name = letters.lowercased()
                guard name.count >= 3, let month = months.firstIndex(where: { $0 == name || $0.prefix(3) == name })
                else { return nil }
                moment.month = month + 1
                rest = rest[letters.endIndex...]
            case .half:
                switch rest.prefix(2).lowercased() {
                case "am": isAfternoon = false
                case "pm": isAfternoon = true
                default: return nil
                }
                rest = rest.dropFirst(2)
            case .zone:
                guard let offset = readZone(&rest) else { return nil }
                moment.offset = offset
            }
        }
        if let isAfternoon {
            guard (1...12).contains(moment.hour) else { return nil }
            moment.hour = moment.hour % 12 + (isAfternoon ? 12 : 0)
        }
        return rest.isEmpty && moment.isValid ? moment : nil
    }

    private static func set(_ field: Field, _ number: Int, _ digits: Int, _ moment: inout CalendarMoment) {
        switch field {
        case .year: moment.year = number
        case .shortYear: moment.year = number < 70 ? 2000 + number : 1900 + number
        case .month: moment.month = number
        case .day: moment.day = number
        case .hour, .hour12: moment.hour = number
        case .minute: moment.minute = number
        case .second: moment.second = number
        case .fraction:
            var scaled = number
            for _ in digits..<max(digits, 3) { scaled *= 10 }
            for _ in 3..<max(digits, 3) { scaled /= 10 }
            moment.millisecond = scaled
        }
        if [.hour, .hour12].contains(field) { moment.hasTime = true }
    }

    private static func readZone(_ rest: inout Substring) -> Int? {
        if rest.first == "Z" {
            rest.removeFirst()
            return 0
        }
        guard let sign = rest.first, sign == "+" || sign == "-" else { return nil }
        let after = rest.dropFirst()
        let hours = after.prefix(2)
        let minutes = after.dropFirst(2).first == ":" ? after.dropFirst(3).prefix(2) : after.dropFirst(2).prefix(2)
        guard hours.count == 2, minutes.count == 2, (hours + minutes).utf8.allSatisfy({ (48...57).contains($0) }),
            let h = Int(hours), let m = Int(minutes), m < 60
        else { return nil }
        rest = rest[minutes.endIndex...]
        return (sign == "-" ? -1 : 1) * (h * 60 + m)
    }
}
