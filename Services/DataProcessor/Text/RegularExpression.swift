import CPCRE2
import Foundation

/// A compiled regular expression that cannot run away: steps, depth and heap of each match are limited, and so is the time
/// one value may take.
///
/// Source: pcre2api(3), "The match context", and pcre2jit(3).
// both handles are written in `init` only and read-only in a match
final class RegularExpression: @unchecked Sendable {
    private let code: OpaquePointer
    private let context: OpaquePointer
    let groupCount: Int
    let groupNames: [(name: String, number: Int)]

    /// What an attempt to match at one place, and all work on one value, may cost.
    private static let stepLimit: UInt32 = 500_000
    private static let depthLimit: UInt32 = 10_000
    private static let heapLimitKiB: UInt32 = 8 * 1024
    private static let timeLimit = Duration.seconds(1)
    /// Units: bytes. PCRE2 counts steps anew at each place where a match could begin, so a call tries this many places and the
    /// clock is looked at in between.
    private static let window = 64
    /// `\G` means the place where a call begins: such a pattern is not cut into windows.
    private let isWindowed: Bool

    struct Invalid: Error, Equatable { let message: String }

    init(_ pattern: String, ignoringCase: Bool = false) throws(Invalid) {
        var (number, offset) = (Int32(0), 0)
        let options =
            UInt32(PCRE2_UTF) | UInt32(PCRE2_UCP) | UInt32(PCRE2_NEVER_BACKSLASH_C) | UInt32(PCRE2_USE_OFFSET_LIMIT)
            | (ignoringCase ? UInt32(PCRE2_CASELESS) : 0)
        var utf8 = Array(pattern.utf8)
        guard let code = pcre2_compile_8(&utf8, utf8.count, options, &number, &offset, nil) else {
            throw Invalid(message: "is no valid regular expression: \(Self.message(number)) at position \(offset)")
        }
        pcre2_jit_compile_8(code, UInt32(PCRE2_JIT_COMPLETE))  // where there is no JIT, the interpreter does it
        guard let context = pcre2_match_context_create_8(nil) else {
            pcre2_code_free_8(code)
            throw Invalid(message: "does not fit into memory")
        }
        pcre2_set_match_limit_8(context, Self.stepLimit)
        pcre2_set_depth_limit_8(context, Self.depthLimit)
        pcre2_set_heap_limit_8(context, Self.heapLimitKiB)
        self.code = code
        self.context = context
        groupCount = Int(Self.number(PCRE2_INFO_CAPTURECOUNT, of: code))
        groupNames = Self.names(of: code)
        isWindowed = !pattern.contains("\\G")
    }

    deinit {
        pcre2_match_context_free_8(context)
        pcre2_code_free_8(code)
    }

    func matches(_ text: String) throws(RowFailure) -> Bool {
        var found = false
        try forEachMatch(in: text) { _, _ in
            found = true
            return false
        }
        return found
    }

    /// The groups of the first match (0 is the whole match), `nil` for a group that took no part; `nil` without a match.
    func firstMatch(in text: String) throws(RowFailure) -> [String?]? {
        var groups: [String?]?
        try forEachMatch(in: text) { utf8, match in
            groups = (0...groupCount).map { number in
                match.range(of: number).map { String(decoding: utf8[$0], as: UTF8.self) }
            }
            return false
        }
        return groups
    }

    /// Replaces all matches, or the first. `nil` when there is none.
    func replace(in text: String, by replacement: Replacement, all: Bool, limit: Int) throws(RowFailure) -> String? {
        var result: [UInt8] = []
        var end = 0
        var found = false
        var tooLong = false
        try forEachMatch(in: text) { utf8, match in
            guard let range = match.range(of: 0) else { return true }
            found = true
            result.append(contentsOf: utf8[end..<range.lowerBound])
            replacement.append(to: &result, match: match, in: utf8)
            end = range.upperBound
            tooLong = result.count > limit
            return all && !tooLong
        }
        guard found else { return nil }
        if tooLong { throw RowFailure("the text would be longer than \(limit) bytes after the replacement") }
        result.append(contentsOf: text.utf8.dropFirst(end))
        return String(decoding: result, as: UTF8.self)
    }

    /// The texts between the matches.
    func split(_ text: String, limit: Int) throws(RowFailure) -> [String] {
        var parts: [String] = []
        var end = 0
        try forEachMatch(in: text) { utf8, match in
            guard let range = match.range(of: 0), !range.isEmpty else { return true }
            guard parts.count + 1 < limit else { return false }
            parts.append(String(decoding: utf8[end..<range.lowerBound], as: UTF8.self))
            end = range.upperBound
            return true
        }
        return parts + [String(decoding: text.utf8.dropFirst(end), as: UTF8.self)]
    }

    // MARK: - The matching loop

    /// Where the groups of one match lie in the subject.
    struct Match: ~Copyable {
        fileprivate let offsets: UnsafeMutablePointer<Int>
        fileprivate let count: Int
        func range(of group: Int) -> Range<Int>? {
            guard group < count, offsets[2 * group] >= 0, offsets[2 * group] <= offsets[2 * group + 1] else {
                return nil
            }
            return offsets[2 * group]..<offsets[2 * group + 1]
        }
    }

    /// Calls `body` for each match until it returns false.
    private func forEachMatch(
        in text: String, _ body: (UnsafeBufferPointer<UInt8>, borrowing Match) -> Bool
    ) throws(RowFailure) {
        guard let data = pcre2_match_data_create_from_pattern_8(code, nil),
            let pairs = pcre2_get_ovector_pointer_8(data),
            let context = pcre2_match_context_copy_8(context)
        else { throw RowFailure("no memory for the regular expression") }
        defer {
            pcre2_match_data_free_8(data)
            pcre2_match_context_free_8(context)
        }
        let offsets = UnsafeMutableRawPointer(pairs).assumingMemoryBound(to: Int.self)
        var text = text
        let failure = text.withUTF8 { utf8 -> Int32 in
            let (began, used) = (ContinuousClock.now, Self.threadTime)
            var start = 0
            var emptyAt = -1
            while start <= utf8.count {
                let windowEnd = isWindowed ? min(start + Self.window, utf8.count) : utf8.count
                pcre2_set_offset_limit_8(context, windowEnd)
                // After an empty match: something non-empty at the same place, or one character on (pcre2demo.c).
                let options = emptyAt == start ? UInt32(PCRE2_NOTEMPTY_ATSTART) : 0
                let result = match(utf8, from: start, options: options, data, context)
                if result == PCRE2_ERROR_NOMATCH {
                    start = windowEnd + 1
                    while start < utf8.count, utf8[start] & 0xC0 == 0x80 { start += 1 }
                } else if result < 0 {
                    return result
                } else {
                    guard offsets[0] <= offsets[1], offsets[1] >= start else { return 0 }  // \K in a lookaround
                    if !body(utf8, Match(offsets: offsets, count: Int(result))) { return 0 }
                    start = offsets[1]
                    emptyAt = offsets[0] == offsets[1] ? start : -1
                }
                // The cheap clock first; on a busy machine it runs on while this thread waits.
                if ContinuousClock.now - began > Self.timeLimit, Self.threadTime - used > Self.timeLimit {
                    return PCRE2_ERROR_MATCHLIMIT
                }
            }
            return 0
        }
        if failure != 0 { throw RowFailure("the regular expression \(Self.reason(failure))") }
    }

    private static var threadTime: Duration {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    private func match(
        _ utf8: UnsafeBufferPointer<UInt8>, from start: Int, options: UInt32, _ data: OpaquePointer,
        _ context: OpaquePointer
    ) -> Int32 {
        // A Swift string is valid UTF-8: checking it again for each match would be quadratic.
        let options = options | UInt32(PCRE2_NO_UTF_CHECK)
        var nothing: UInt8 = 0
        return withUnsafePointer(to: &nothing) { empty in
            let subject = utf8.baseAddress ?? empty
            let result = pcre2_match_8(code, subject, utf8.count, start, options, data, context)
            guard result == PCRE2_ERROR_JIT_STACKLIMIT else { return result }
            return pcre2_match_8(code, subject, utf8.count, start, options | UInt32(PCRE2_NO_JIT), data, context)
        }
    }

    private static func reason(_ number: Int32) -> String {
        switch number {
        case PCRE2_ERROR_MATCHLIMIT, PCRE2_ERROR_DEPTHLIMIT, PCRE2_ERROR_HEAPLIMIT, PCRE2_ERROR_JIT_STACKLIMIT:
            "takes too long on this text"
        default: "failed: \(message(number))"
        }
    }

    private static func message(_ number: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = pcre2_get_error_message_8(number, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer.prefix(Int(count)), as: UTF8.self) : "error \(number)"
    }

    private static func number(_ what: Int32, of code: OpaquePointer) -> UInt32 {
        var value: UInt32 = 0
        pcre2_pattern_info_8(code, UInt32(what), &value)
        return value
    }

    /// The name table: entries of fixed size, two bytes of group number (big-endian), then the name, zero-terminated.
    private static func names(of code: OpaquePointer) -> [(name: String, number: Int)] {
        let (count, size) = (
            Int(number(PCRE2_INFO_NAMECOUNT, of: code)), Int(number(PCRE2_INFO_NAMEENTRYSIZE, of: code))
        )
        var table: UnsafePointer<UInt8>?
        pcre2_pattern_info_8(code, UInt32(PCRE2_INFO_NAMETABLE), &table)
        guard let table else { return [] }
        return (0..<count).map { entry in
            let start = table + entry * size
            return (String(cString: start + 2), Int(start[0]) << 8 | Int(start[1]))
        }.sorted { $0.number < $1.number }
    }
}

extension RegularExpression {
    /// The text put in a match's place: `$1`, `${1}` and `${name}` stand for groups, `$$` for a dollar.
    struct Replacement: Sendable {
        private enum Part: Sendable { case text([UInt8]), group(Int) }
        private var parts: [Part] = []

        init(_ text: String, for expression: RegularExpression) throws(Invalid) {
            var rest = Substring(text)
            while let dollar = rest.firstIndex(of: "$") {
                if dollar > rest.startIndex { parts.append(.text(Array(rest[..<dollar].utf8))) }
                rest = rest[rest.index(after: dollar)...]
                if rest.first == "$" {
                    parts.append(.text([UInt8(ascii: "$")]))
                    rest.removeFirst()
                } else {
                    parts.append(.group(try Self.reference(&rest, expression)))
                }
            }
            if !rest.isEmpty { parts.append(.text(Array(rest.utf8))) }
        }

        private static func reference(_ rest: inout Substring, _ expression: RegularExpression) throws(Invalid) -> Int {
            let name: Substring
            if rest.first == "{", let end = rest.firstIndex(of: "}") {
                name = rest[rest.index(after: rest.startIndex)..<end]
                rest = rest[rest.index(after: end)...]
            } else {
                name = rest.prefix { $0.isASCII && $0.isNumber }
                rest = rest.dropFirst(name.count)
            }
            guard !name.isEmpty else {
                throw Invalid(message: "has a '$' that names no group (write $$ for a dollar sign)")
            }
            if let number = Int(name), (0...expression.groupCount).contains(number) { return number }
            if let group = expression.groupNames.first(where: { $0.name == name }) { return group.number }
            throw Invalid(message: "refers to group '\(name)', which the pattern does not have")
        }

        fileprivate func append(to result: inout [UInt8], match: borrowing Match, in utf8: UnsafeBufferPointer<UInt8>) {
            for part in parts {
                switch part {
                case .text(let text): result.append(contentsOf: text)
                case .group(let number):
                    if let range = match.range(of: number) { result.append(contentsOf: utf8[range]) }
                }
            }
        }
    }
}
