import WireProtocol

extension LexicalAnalyzer {
    /// A field of a payload in which words of the query stand.
    package struct Highlight: Sendable, Equatable {
        /// `title`, `attributes.colour` for a member of an object.
        package var field: String
        /// Pieces of the field's text as HTML: `&`, `<`, `>`, `"` and `'` are entities, each word that was asked for stands in
        /// `<mark>`, and `…` where text was left out. At most three, each of about 160 bytes; of a list, three of all its texts.
        package var snippets: [String]
    }

    /// Longer texts are looked at up to here. Units: bytes.
    static let longestHighlighted = 1 << 16
    private static let mostSnippets = 3

    /// Where the terms of `query` stand in a payload, in the payload's order. Members that begin with `_` and addresses are left out,
    /// as in `terms(key:payload:)`.
    package func highlights(_ query: LexicalQuery, in payload: JSONObject) -> [Highlight] {
        if query.isEmpty { return [] }
        var found: [Highlight] = []
        let wanted = Set(query.terms.indices)
        for (name, value) in payload.members where !name.hasPrefix("_") {
            mark(value, field: name, FieldKind(name), wanted, into: &found, depth: 0)
        }
        return found
    }

    private func mark(
        _ value: JSONValue, field: String, _ kind: FieldKind, _ wanted: Set<UInt32>, into found: inout [Highlight],
        depth: Int
    ) {
        switch value {
        case .null, .bool, .number: break
        case .integer, .unsigned: if kind == .code { mark(value.text, field, kind, wanted, into: &found) }
        case .string(let text): mark(text, field, kind, wanted, into: &found)
        case .array(let values):
            for value in values.prefix(1000) where depth < 8 {
                mark(value, field: field, kind, wanted, into: &found, depth: depth + 1)
            }
        case .object(let object):
            for (name, value) in object.members where depth < 8 {
                mark(value, field: "\(field).\(name)", FieldKind(name), wanted, into: &found, depth: depth + 1)
            }
        }
    }

    private func mark(
        _ text: String, _ field: String, _ kind: FieldKind, _ wanted: Set<UInt32>, into found: inout [Highlight]
    ) {
        guard SearchableText.isSearchable(text, kind) else { return }
        let bytes = Array(text.utf8.prefix(Self.longestHighlighted))
        let places = state.withLock { state in
            var sink = PlaceSink(lexicon: state.lexicon, wanted: wanted)
            bytes.withUnsafeBufferPointer { state.tokenizer.scan($0, into: &sink) }
            return sink.places
        }
        if places.isEmpty { return }
        let snippets = Snippets(bytes, isCut: bytes.count < text.utf8.count, marks: places).html
        if let last = found.indices.last, found[last].field == field {
            found[last].snippets += snippets.prefix(Self.mostSnippets - found[last].snippets.count)
        } else {
            found.append(Highlight(field: field, snippets: Array(snippets.prefix(Self.mostSnippets))))
        }
    }
}

/// Where wanted terms stand, merged and in order.
private struct PlaceSink: Tokenizer.Sink {
    let lexicon: Lexicon
    let wanted: Set<UInt32>
    private(set) var places: [Range<Int>] = []

    mutating func word(
        _ bytes: UnsafeBufferPointer<UInt8>, _ role: Tokenizer.Role, isSpanish: Bool, at place: Range<Int>
    ) {
        let entry = lexicon.entry(for: bytes)
        if wanted.contains(entry.english) || wanted.contains(entry.spanish) { add(place) }
    }

    mutating func code(_ bytes: UnsafeBufferPointer<UInt8>, _ role: Tokenizer.Role, at place: Range<Int>) {
        if wanted.contains(Term.index(bytes, in: .code)) { add(place) }
    }

    /// A whole lies over its parts, and its parts over each other.
    private mutating func add(_ place: Range<Int>) {
        var place = place
        while let last = places.last, last.upperBound > place.lowerBound {
            place = min(last.lowerBound, place.lowerBound)..<max(last.upperBound, place.upperBound)
            places.removeLast()
        }
        places.append(place)
    }
}

/// Pieces of a text around its marks.
private struct Snippets {
    private static let length = 160
    private static let before = 50
    private let text: [UInt8]
    private let isCut: Bool
    private let marks: [Range<Int>]

    init(_ text: [UInt8], isCut: Bool, marks: [Range<Int>]) {
        self.text = text
        self.isCut = isCut
        self.marks = marks
    }

    /// A short text whole, else a piece around each group of marks.
    var html: [String] {
        if text.count <= Self.length, !isCut { return [html(0..<text.count)] }
        var pieces: [String] = []
        var end = 0
        for mark in marks where mark.lowerBound >= end && pieces.count < 3 {
            let piece = piece(around: mark, from: end)
            pieces.append(html(piece))
            end = piece.upperBound
        }
        return pieces
    }

    /// Begins and ends between words where there is a space nearby, never inside a character.
    private func piece(around mark: Range<Int>, from floor: Int) -> Range<Int> {
        var start = max(floor, mark.lowerBound - Self.before)
        if start > floor {
            start = text[start..<mark.lowerBound].firstIndex(of: 0x20).map { $0 + 1 } ?? mark.lowerBound
        }
        var end = max(mark.upperBound, min(text.count, start + Self.length))
        if end < text.count {
            end = text[mark.upperBound..<end].lastIndex(of: 0x20) ?? mark.upperBound
            // A mark is not cut in two.
            if let cut = marks.first(where: { $0.lowerBound < end && $0.upperBound > end }) { end = cut.lowerBound }
        }
        return start..<max(end, mark.upperBound)
    }

    private func html(_ range: Range<Int>) -> String {
        var result: [UInt8] = []
        result.reserveCapacity(range.count + 64)
        if range.lowerBound > 0 { result += "…".utf8 }
        var position = range.lowerBound
        for mark in marks where mark.lowerBound >= range.lowerBound && mark.upperBound <= range.upperBound {
            escape(position..<mark.lowerBound, into: &result)
            result += "<mark>".utf8
            escape(mark, into: &result)
            result += "</mark>".utf8
            position = mark.upperBound
        }
        escape(position..<range.upperBound, into: &result)
        if range.upperBound < text.count || isCut { result += "…".utf8 }
        return String(decoding: result, as: UTF8.self)
    }

    private func escape(_ range: Range<Int>, into result: inout [UInt8]) {
        for byte in text[range] {
            switch byte {
            case UInt8(ascii: "&"): result += "&amp;".utf8
            case UInt8(ascii: "<"): result += "&lt;".utf8
            case UInt8(ascii: ">"): result += "&gt;".utf8
            case UInt8(ascii: "\""): result += "&quot;".utf8
            case UInt8(ascii: "'"): result += "&#39;".utf8
            default: result.append(byte)
            }
        }
    }
}
