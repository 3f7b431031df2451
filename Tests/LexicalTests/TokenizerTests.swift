import Testing

@testable import Lexical

/// What the tokenizer finds, as text: codes and numbers in brackets.
private struct Collector: Tokenizer.Sink {
    var found: [String] = []
    mutating func word(
        _ bytes: UnsafeBufferPointer<UInt8>, _ role: Tokenizer.Role, isSpanish: Bool, at place: Range<Int>
    ) {
        found.append(String(decoding: bytes, as: UTF8.self))
    }
    mutating func code(_ bytes: UnsafeBufferPointer<UInt8>, _ role: Tokenizer.Role, at place: Range<Int>) {
        found.append("[\(String(decoding: bytes, as: UTF8.self))]")
    }

    static func tokens(_ text: String) -> String {
        var collector = Collector()
        var tokenizer = Tokenizer()
        var text = text
        text.withUTF8 { tokenizer.scan($0, into: &collector) }
        return collector.found.joined(separator: " ")
    }
}

struct TokenizerTests {
    @Test(arguments: [
        ("Copper Kettle, 2-in-1", "copper kettle [2in1] [2] in [1]"),
        ("", ""), (" -- ...", ""),
        ("Batería de Niños AÑO", "bateria de ninos ano"),
        ("nin\u{303}o", "nino"), ("straße Œuvre", "strasse oeuvre"),
        ("Wi-Fi e-book", "wi fi wifi e book ebook"),
        ("men's dog’s don't", "men dog don"),
        ("black/white and.then", "black white and then"),
        ("red,2 blue", "red [2] blue"),
        ("Ελληνικά кабель", "ελληνικα кабель"),
    ])
    func wordsAreFoldedRunsOfLetters(_ text: String, _ tokens: String) {
        #expect(Collector.tokens(text) == tokens)
    }

    @Test(arguments: [
        ("8 gb", "[8] [8gb] gb"), ("8GB", "[8] [8gb]"), ("12mm 12-mm", "[12] [12mm] [12] [12mm]"),
        ("15.6\" 15,6 pulgadas", "[15.6] [15.6in] [15.6] [15.6in] pulgadas"),
        ("2.5-inch", "[2.5] [2.5in]"), ("23.8″", "[23.8] [23.8in]"),
        ("USB 3.0", "usb [3.0] [3]"), ("1,000 pages", "[1000] pages"), ("1,5 l", "[1.5] [1.5l] l"),
        ("2.4GHz/5GHz", "[24ghz5ghz] [2.4] [2.4ghz] [5] [5ghz]"),
        ("10/100", "[10/100] [10] [100]"), ("1920 x 1080", "[1920] x [1080]"),
        ("1920x1080", "[1920x1080] [1920] [1080]"), ("40×30", "[40x30] [40] [30]"),
    ])
    func numbersAndMeasuresAreOneTermHoweverWritten(_ text: String, _ tokens: String) {
        #expect(Collector.tokens(text) == tokens)
    }

    @Test(arguments: [
        ("AB-1234/X", "[ab1234x] [ab1234] ab [1234]"), ("AB1234X", "[ab1234x] [1234]"),
        ("C4872A", "[c4872a] [4872]"), ("M8x40", "[m8x40] [m8] [40]"), ("iPhone8", "[iphone8] iphone [8]"),
        ("HX424C15FB3K2/64", "[hx424c15fb3k264] [hx424c15fb3k2] [424] [64]"),
        ("0088698629123", "[88698629123]"), ("978-3-16-148410-0", "[9783161484100] [978] [3] [16] [148410] [0]"),
        ("0882780756328|0088698629123", "[882780756328] [88698629123]"),
        ("P2421DC.", "[p2421dc] [2421]"), ("WH-1000XM4", "[wh1000xm4] wh [1000xm4] [1000]"),
    ])
    func codesAreKeptWholeWithoutSeparatorsAndInParts(_ text: String, _ tokens: String) {
        #expect(Collector.tokens(text) == tokens)
    }

    @Test func whatIsMalformedEndsAWord() {
        let bytes: [UInt8] = [0x61, 0xFF, 0x62, 0xC3]
        var collector = Collector()
        var tokenizer = Tokenizer()
        bytes.withUnsafeBufferPointer { tokenizer.scan($0, into: &collector) }
        #expect(collector.found == ["a", "b"])
    }

    @Test func aWordWithoutEndIsKnownByItsBeginning() {
        #expect(Collector.tokens(String(repeating: "a", count: 1000)).count == Tokenizer.longestTerm)
        #expect(Collector.tokens(String(repeating: "a1-", count: 400)).contains("a1"))
    }

    @Test func aCodeWithoutEndIsReadOnASmallStack() async {
        // As deep as it is long it would be the end of an event loop's thread.
        let text = String(repeating: "1x", count: 200_000) + "7"
        let tokens = await Task.detached { Collector.tokens(text) }.value
        #expect(tokens.hasPrefix("[1] [1]"))
        #expect(tokens.hasSuffix("[1x1x7] [1] [1x7] [1] [7]"))
    }
}
