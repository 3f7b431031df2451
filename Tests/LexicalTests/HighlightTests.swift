import Testing
import WireProtocol

@testable import Lexical

struct HighlightTests {
    private let analyzer = LexicalAnalyzer()

    private func marked(_ query: String, _ text: String) -> [String] {
        analyzer.highlights(analyzer.query(query), in: ["title": .string(text)]).flatMap(\.snippets)
    }

    @Test(arguments: [
        ("lamps", "Desk Lamp", "Desk <mark>Lamp</mark>"),
        ("ab1234x", "Fuse AB-1234/X, red", "Fuse <mark>AB-1234/X</mark>, red"),
        ("bateria", "Baterías AA", "<mark>Baterías</mark> AA"),
        ("8gb", "8 GB of memory", "<mark>8 GB</mark> of memory"),
        ("b", "<b>\"a & b's\"", "&lt;<mark>b</mark>&gt;&quot;a &amp; <mark>b</mark>&#39;s&quot;"),
        ("script", "<script>alert(1)</script>", "&lt;<mark>script</mark>&gt;alert(1)&lt;/<mark>script</mark>&gt;"),
    ])
    func wordsOfTheQueryAreMarkedAndTheRestIsSafe(_ query: String, _ text: String, _ html: String) {
        #expect(marked(query, text) == [html])
    }

    @Test func aLongTextGivesPiecesAroundItsMarks() throws {
        let filler = String(repeating: "other wörds stand here ", count: 30)
        let snippets = marked("lamp", filler + "a lamp " + filler + "two lamps " + filler)
        #expect(snippets.count == 2)
        for snippet in snippets {
            #expect(snippet.hasPrefix("…") && snippet.hasSuffix("…") && snippet.contains("<mark>lamp"))
            #expect(snippet.utf8.count < 220 && !snippet.contains("\u{FFFD}"))
        }
        #expect(marked("lamp", String(repeating: "lamp " + filler, count: 9)).count == 3)
    }

    @Test func fieldsAreNamedByTheirPath() {
        let payload: JSONObject = [
            "title": "Lamp", "tags": ["a lamp", "a chair", "lamps"], "more": ["colour": "lamp white"],
            "image": "http://lamp.example", "_key": "lamp", "price": 3,
        ]
        let found = analyzer.highlights(analyzer.query("lamp"), in: payload)
        #expect(found.map(\.field) == ["title", "tags", "more.colour"])
        #expect(found[1].snippets == ["a <mark>lamp</mark>", "<mark>lamps</mark>"])
        #expect(analyzer.highlights(analyzer.query("the"), in: payload).isEmpty)
    }

    @Test(arguments: [
        ("wireless mouse", false), ("case for tablet with stand", false), ("cable de red para portatil", false),
        ("keeps drinks hot on my commute", true), ("make hot water for tea quickly", true),
        ("shoes for muddy mountain paths", true), ("shoes for women", false),
        ("algo que mantenga caliente el cafe", true),
        ("AB-1234/X", false), ("15 inch laptop 16 gb ram 512 gb ssd windows", true),
    ])
    func sentencesAreToldFromKeyWords(_ query: String, _ isSentence: Bool) {
        #expect(analyzer.query(query).isSentence == isSentence)
    }
}
