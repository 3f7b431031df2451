/// Plain text out of HTML, in one pass over the bytes and in time linear in them, whatever they are. As in a browser, a run of
/// white space is one space, and so is the border of a block.
struct HTMLText {
    private let html: UnsafeBufferPointer<UInt8>
    private var position = 0
    private var output: [UInt8] = []
    /// A space is due before the next character.
    private var spaceIsDue = false
    /// No `>` stands after this place, so that a `<` behind it is a character like any other.
    private let lastClose: Int
    /// A quote in a tag was never closed: from there on quotes in tags mean nothing.
    private var ignoresQuotes = false

    static func plain(_ text: String) -> String {
        var text = text
        return text.withUTF8 { utf8 in
            var reader = HTMLText(utf8)
            reader.read()
            return String(decoding: reader.output, as: UTF8.self)
        }
    }

    private init(_ html: UnsafeBufferPointer<UInt8>) {
        self.html = html
        lastClose = html.lastIndex(of: UInt8(ascii: ">")) ?? -1
        output.reserveCapacity(html.count)
    }

    private mutating func read() {
        while position < html.count {
            switch html[position] {
            case UInt8(ascii: "<"): readMarkup()
            case UInt8(ascii: "&"): readReference()
            case 0x09, 0x0A, 0x0C, 0x0D, 0x20:
                spaceIsDue = true
                position += 1
            default: readText()
            }
        }
    }

    private mutating func readText() {
        let start = position
        while position < html.count, html[position] > 0x20, html[position] != UInt8(ascii: "<"),
            html[position] != UInt8(ascii: "&")
        {
            position += 1
        }
        if position == start { position += 1 }  // a control character
        write(html[start..<position])
    }

    private mutating func write(_ bytes: some Collection<UInt8>) {
        if spaceIsDue, !output.isEmpty { output.append(0x20) }
        spaceIsDue = false
        output.append(contentsOf: bytes)
    }

    // MARK: - Markup

    private mutating func readMarkup() {
        let next = byte(at: position + 1)
        if starts(with: "<!--") {
            position = end(of: "-->", from: position + 4) ?? html.count
        } else if next == UInt8(ascii: "!") || next == UInt8(ascii: "?"), position < lastClose {
            position = end(of: ">", from: position + 2) ?? html.count
        } else if Self.isLetter(next) || next == UInt8(ascii: "/") && Self.isLetter(byte(at: position + 2)),
            position < lastClose
        {
            readTag(isClosing: next == UInt8(ascii: "/"))
        } else {
            write(CollectionOfOne(UInt8(ascii: "<")))
            position += 1
        }
    }

    private mutating func readTag(isClosing: Bool) {
        let start = position + (isClosing ? 2 : 1)
        var nameEnd = start
        while let byte = byte(at: nameEnd), Self.isLetter(byte) || (48...57).contains(byte) { nameEnd += 1 }
        let name = String(decoding: html[start..<nameEnd], as: UTF8.self).lowercased()
        position = endOfTag(from: nameEnd)
        if !Self.inline.contains(name) { spaceIsDue = true }
        if !isClosing, Self.dropped.contains(name) { skipContent(of: name) }
    }

    /// The place after the tag's `>`. The caller has made sure that there is one.
    private mutating func endOfTag(from start: Int) -> Int {
        var index = start
        var quote: UInt8?
        while !ignoresQuotes, index < html.count {
            let byte = html[index]
            index += 1
            if let open = quote {
                if byte == open { quote = nil }
            } else if byte == UInt8(ascii: ">") {
                return index
            } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'"), html[index - 2] == UInt8(ascii: "=") {
                quote = byte
            }
        }
        ignoresQuotes = true
        return end(of: ">", from: start) ?? html.count
    }

    /// Up to its end tag; without one, all the rest is its content.
    private mutating func skipContent(of name: String) {
        while position < html.count {
            guard let tag = end(of: "</", from: position) else { break }
            position = tag
            let candidate = html[tag..<min(tag + name.utf8.count, html.count)]
            let following = byte(at: tag + name.utf8.count)
            if candidate.elementsEqual(name.utf8, by: { $0 | 0x20 == $1 }),
                following.map({ !Self.isLetter($0) }) ?? true
            {
                position = end(of: ">", from: tag) ?? html.count
                return
            }
        }
        position = html.count
    }

    // MARK: - Character references

    /// `&amp;`, `&#233;`, `&#xE9;`; anything else after `&` is text.
    private mutating func readReference() {
        let start = position + 1
        var end = start
        let limit = min(html.count, start + max(10, HTMLEntities.longestName))
        while end < limit,
            html[end] == UInt8(ascii: "#") && end == start || Self.isLetter(html[end]) || (48...57).contains(html[end])
        {
            end += 1
        }
        let name = Substring(String(decoding: html[start..<end], as: UTF8.self))
        let isClosed = byte(at: end) == UInt8(ascii: ";")
        guard
            let scalar = name.first == "#"
                ? Self.numbered(name.dropFirst()) : isClosed ? HTMLEntities.scalar(named: name.utf8) : nil
        else {
            write(CollectionOfOne(UInt8(ascii: "&")))
            position = start
            return
        }
        position = isClosed ? end + 1 : end
        if scalar.properties.isWhitespace {
            spaceIsDue = true
        } else if scalar != "\u{AD}" {  // a soft hyphen is no character of the word
            write(String(scalar).utf8)
        }
    }

    private static func numbered(_ digits: Substring) -> Unicode.Scalar? {
        let isHexadecimal = digits.first == "x" || digits.first == "X"
        let text = isHexadecimal ? digits.dropFirst() : digits
        guard !text.isEmpty, text.allSatisfy({ isHexadecimal ? $0.isHexDigit : $0.isASCII && $0.isNumber }) else {
            return nil
        }
        guard let number = UInt32(text, radix: isHexadecimal ? 16 : 10), number != 0 else { return "\u{FFFD}" }
        if (0x80...0x9F).contains(number) { return windows1252[Int(number - 0x80)] }
        return number < 0x20 && number != 9 && number != 10 && number != 13
            ? "\u{FFFD}" : Unicode.Scalar(number) ?? "\u{FFFD}"
    }

    /// Source: HTML Standard, "Numeric character reference end state".
    private static let windows1252: [Unicode.Scalar] = Array(
        "\u{20AC}\u{81}\u{201A}\u{192}\u{201E}\u{2026}\u{2020}\u{2021}\u{2C6}\u{2030}\u{160}\u{2039}\u{152}\u{8D}\u{17D}\u{8F}\u{90}\u{2018}\u{2019}\u{201C}\u{201D}\u{2022}\u{2013}\u{2014}\u{2DC}\u{2122}\u{161}\u{203A}\u{153}\u{9D}\u{17E}\u{178}"
            .unicodeScalars)

    // MARK: - Bytes

    private static let dropped: Set = ["script", "style", "template", "iframe"]
    private static let inline: Set = [
        "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd",
        "mark",
        "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
    ]

    private func byte(at index: Int) -> UInt8? { index < html.count ? html[index] : nil }
    private static func isLetter(_ byte: UInt8?) -> Bool {
        guard let byte else { return false }
        return (97...122).contains(byte | 0x20)
    }
    private func starts(with text: StaticString) -> Bool {
        text.withUTF8Buffer { html[position...].starts(with: $0) }
    }
    /// The place after the next `text`.
    private func end(of text: StaticString, from start: Int) -> Int? {
        text.withUTF8Buffer { text in
            var index = start
            while index + text.count <= html.count {
                guard let found = html[index...].firstIndex(of: text[0]) else { return nil }
                if html[found...].starts(with: text) { return found + text.count }
                index = found + 1
            }
            return nil
        }
    }
}
