import FastJSON
import WireProtocol

extension LexicalAnalyzer {
    /// The sparse vector of a record: all texts of its payload and its key. Left out: members that begin with `_`, addresses of
    /// pages and pictures, times, and numbers that are no code (prices, sizes). A text that holds JSON is read as what it holds.
    /// Throws: `JSONError` where the payload is no JSON.
    package func terms(key: String, payload: [UInt8]) throws(JSONError) -> Terms {
        let members: JSONObject
        if payload.isEmpty {
            members = JSONObject()
        } else {
            guard let object = try JSONReader.parse(payload).object else {
                throw JSONError(message: "the payload is no JSON object")
            }
            members = object
        }
        return state.withLock { state in
            state.record.reset()
            state.add(key, .code)
            for (name, value) in members.members where !name.hasPrefix("_") {
                state.add(value, state.kind(of: name), depth: 0)
            }
            return state.record.terms(weighting)
        }
    }

    /// The sparse vector of one text, as a field of that kind.
    func terms(of text: String, as kind: FieldKind = .text) -> Terms {
        state.withLock { state in
            state.record.reset()
            state.add(text, kind)
            return state.record.terms(weighting)
        }
    }
}

extension LexicalAnalyzer.State {
    fileprivate mutating func add(_ value: JSONValue, _ kind: FieldKind, depth: Int) {
        switch value {
        case .null, .bool, .number: break
        case .integer(let number): if kind == .code { add(String(number), kind) }
        case .unsigned(let number): if kind == .code { add(String(number), kind) }
        case .string(let text):
            if let inner = SearchableText.json(text) {
                if depth < 4 { add(inner, kind == .code ? .code : .text, depth: depth + 1) }
            } else if SearchableText.isSearchable(text, kind) {
                add(text, kind)
            }
        case .array(let values): for value in values { add(value, kind, depth: depth) }
        case .object(let object):
            for (name, value) in object.members {
                add(value, self.kind(of: name) == .code ? .code : .text, depth: depth)
            }
        }
    }

    fileprivate mutating func add(_ text: String, _ kind: FieldKind) {
        record.begin(kind, lexicon)
        var text = text
        text.withUTF8 { tokenizer.scan($0, into: &record) }
    }
}

/// Which texts of a payload are words to be found.
enum SearchableText {
    static func isSearchable(_ text: String, _ kind: FieldKind) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            if bytes.isEmpty { return false }
            if isNumber(bytes) { return kind == .code || bytes.count(where: isDigit) >= 8 }
            return !isAddress(bytes) && !isTime(bytes)
        }
    }

    /// What a text holds that is a JSON object or array.
    static func json(_ text: String) -> JSONValue? {
        guard text.utf8.first == UInt8(ascii: "{") || text.utf8.first == UInt8(ascii: "["),
            text.utf8.last == UInt8(ascii: "}") || text.utf8.last == UInt8(ascii: "]")
        else { return nil }
        do {
            return try JSONReader.parse(Array(text.utf8))
        } catch {
            return nil  // a text in brackets
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }

    private static func isNumber(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        bytes.allSatisfy { isDigit($0) || "+-., ".utf8.contains($0) }
    }

    private static func isAddress(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        ["http://", "https://", "www.", "//", "data:", "ftp://"].contains { bytes.starts(with: $0.utf8) }
    }

    /// `2006-07-01`, with or without a time of day.
    private static func isTime(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard bytes.count >= 10, bytes[4] == 0x2D, bytes[7] == 0x2D, bytes[0..<4].allSatisfy(isDigit),
            isDigit(bytes[5]), isDigit(bytes[8])
        else { return false }
        return bytes.count == 10 || bytes[10] == UInt8(ascii: "T") || bytes[10] == 0x20
    }
}
