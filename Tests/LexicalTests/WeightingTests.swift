import FastJSON
import Testing
import WireProtocol

@testable import Lexical

struct WeightingTests {
    private static let plain = Weighting(
        k1: 1.2, name: .init(boost: 1, b: 0.75, averageLength: 4), code: .init(boost: 1, b: 0, averageLength: 1),
        text: .init(boost: 1, b: 0.75, averageLength: 4))

    /// The weights of a text's words, by their English stems.
    private static func weights(_ text: String, _ words: [String]) -> [Float] {
        let analyzer = LexicalAnalyzer(weighting: plain)
        let terms = analyzer.terms(of: text)
        return words.map { word in
            let wanted = analyzer.query(word).terms.indices
            return zip(terms.indices, terms.values).first { wanted.contains($0.0) }?.1 ?? 0
        }
    }

    @Test func aWeightIsBM25ByHand() {
        // Four words, the average length: the norm is 1, so tf * 2.2 / (tf + 1.2).
        let even = Self.weights("lamp lamp shade green", ["lamp", "shade", "green", "desk"])
        #expect(abs(even[0] - 4.4 / 3.2) < 1e-6)
        #expect(even[1] == 1 && even[2] == 1 && even[3] == 0)
        // Eight words: the norm is 0.25 + 0.75 * 2 = 1.75, so 2.2 / (1 + 1.2 * 1.75).
        let long = Self.weights("lamp shade green desk chair sofa table shelf", ["lamp"])
        #expect(abs(long[0] - 2.2 / 3.1) < 1e-6)
    }

    @Test func stopWordsAreNoTermsAndDoNotCount() {
        #expect(
            Self.weights("the lamp with a shade and green", ["lamp", "the", "with"]) == [
                2.2 / (1 + 1.2 * 0.8125), 0, 0,
            ])
    }

    @Test func fieldsAddUpBeforeTheySaturate() throws {
        let weighting = Weighting(
            k1: 1.2, name: .init(boost: 3, b: 0, averageLength: 1), code: .init(boost: 1, b: 0, averageLength: 1),
            text: .init(boost: 1, b: 0, averageLength: 1))
        let analyzer = LexicalAnalyzer(weighting: weighting)
        let terms = try analyzer.terms(key: "k", payload: Array(#"{"title":"lamp","about":"lamp shade"}"#.utf8))
        func weight(_ word: String) -> Float? {
            let wanted = analyzer.query(word).terms.indices
            return zip(terms.indices, terms.values).first { wanted.contains($0.0) }?.1
        }
        #expect(abs((weight("lamp") ?? 0) - 4 * 2.2 / 5.2) < 1e-6)
        #expect(weight("shade") == 1)
    }

    @Test func termsAreAscendingAndUnique() throws {
        let terms = try LexicalAnalyzer().terms(
            key: "AB-1", payload: Array(#"{"name":"lamp lamps LAMP","tags":["a1","b2","a1"],"more":{"x":"lamp"}}"#.utf8)
        )
        #expect(terms.indices == Array(Set(terms.indices)).sorted())
        #expect(terms.values.allSatisfy { $0 > 0 && $0 < 2.2 })
    }
}

struct RecordTests {
    private let analyzer = LexicalAnalyzer()

    /// Whether a search for `query` shares a term with the record.
    private func finds(_ query: String, in payload: String, key: String = "K-7") throws -> Bool {
        let terms = Set(try analyzer.terms(key: key, payload: Array(payload.utf8)).indices)
        return analyzer.query(query).terms.indices.contains { terms.contains($0) }
    }

    @Test(arguments: [
        ("lamps", #"{"title":"Desk lamp"}"#), ("heating", #"{"title":"it heats"}"#),
        ("baterias", #"{"titulo":"Batería para el taladro"}"#), ("bateria", #"{"titulo":"Baterías de los taladros"}"#),
        ("instalacion", #"{"titulo":"Instalaciones de la casa"}"#), ("niño", #"{"titulo":"Ropa para ninos y ninas"}"#),
        ("taladros percutores", #"{"titulo":"Taladro percutor con maletín"}"#),
        ("wifi", #"{"title":"Wi-Fi router"}"#), ("wi-fi", #"{"title":"WiFi router"}"#),
        ("note book", #"{"title":"Notebook 15\""}"#), ("15.6 inch", #"{"title":"Notebook 15.6\""}"#),
        ("12 mm", #"{"title":"Tube, 12mm"}"#), ("12mm", #"{"title":"Tube, 12 mm"}"#),
        ("ab 1234 x", #"{"sku":"AB-1234/X"}"#), ("AB1234X", #"{"sku":"AB-1234/X"}"#),
        ("ab-1234", #"{"sku":"AB-1234/X"}"#),
        ("iphone 8", #"{"title":"iPhone8 case"}"#), ("iphone8", #"{"title":"case for iPhone 8"}"#),
        ("00812345", #"{"ean":"812345"}"#), ("0088698629123", #"{"ean":88698629123}"#), ("k-7", "{}"), ("K7", "{}"),
        ("cyan", #"{"attributes":"{\"colour\": \"Cyan\"}"}"#), ("cyan", #"{"attributes":{"colour":["Cyan"]}}"#),
        ("fundas portatiles", #"{"titulo":"Funda para portátil"}"#), ("impresora", #"{"titulo":"Impresoras láser"}"#),
        ("cargadores", #"{"titulo":"Cargador de pared"}"#), ("cafetera", #"{"titulo":"Cafeteras italianas de acero"}"#),
        ("luces", #"{"titulo":"Luces de jardín"}"#), ("cámara", #"{"titulo":"Camaras de seguridad"}"#),
        ("cafe", #"{"title":"Café"}"#), ("CAFÉ", #"{"title":"cafe"}"#),
    ])
    func aRecordIsFoundBy(_ query: String, _ payload: String) throws {
        #expect(try finds(query, in: payload))
    }

    @Test(arguments: [
        ("12595", #"{"price":"12595"}"#), ("12595", #"{"price":12595}"#),
        ("icecat", #"{"image":"http://icecat.biz/a.jpg"}"#),
        ("2006", #"{"released":"2006-07-01T00:00:00Z"}"#), ("secret", #"{"_datasource":"secret"}"#),
        ("case", #"{"title":"DDR3 CAS latency"}"#), ("the", #"{"title":"the lamp"}"#), ("true", #"{"new":true}"#),
    ])
    func aRecordIsNotFoundBy(_ query: String, _ payload: String) throws {
        #expect(try !finds(query, in: payload))
    }

    /// What is taken for Spanish by mistake has terms that no other record has, and stands before all others.
    @Test(arguments: [
        "label printer Thermal transfer 180 x 180 DPI A4 D1 A", "Back-UPS ES 400VA 230V Spain",
        "Full Size Headphone HA G101",
        "Stereo audio video photo camera media", "Laptop bag LA DC20 de luxe", "Chromebook 500e Wi-Fi EN LA",
        "Café table with a chair",
    ])
    func englishWithAForeignWordIsEnglish(_ title: String) {
        let english = analyzer.terms(of: "the " + title).indices
        #expect(analyzer.terms(of: title).indices == english)
    }

    @Test func aRecordsTitleIsInTheLanguageOfItsDescription() throws {
        let payload = #"{"titulo":"Zapato rojo","descripcion":"Para los días de lluvia y con suela de goma"}"#
        #expect(try finds("zapatos rojas", in: payload))
    }

    @Test func whatAQueryAsksForIsCounted() {
        for (text, count) in [
            ("laptop", 1), ("the lamp", 1), ("wi-fi adapter", 2), ("24 inch monitor", 2), ("8gb ram", 2),
            ("AB-1234/X", 1), ("?!", 0),
        ] {
            #expect(analyzer.query(text).count == count, "\(text)")
        }
    }

    @Test func aPayloadThatIsNoObjectIsRefused() {
        #expect(throws: JSONError.self) { try analyzer.terms(key: "k", payload: Array("[1]".utf8)) }
        #expect(throws: JSONError.self) { try analyzer.terms(key: "k", payload: Array("{".utf8)) }
    }

    @Test func wholeCodesAreToldApart() {
        // Whole, and the part that is one by itself.
        #expect(analyzer.query("canon AB-1234/X").codes.indices.count == 2)
        #expect(analyzer.query("0088698629123").codes.indices.count == 1)
        #expect(analyzer.query("8 lamp 12 mm").codes.indices.isEmpty)
        #expect(analyzer.query("3d printer").codes.indices.isEmpty && analyzer.query("a4").codes.indices.count == 1)
        #expect(analyzer.query("spoon B-4").codes.indices.count == 1)
        #expect(analyzer.query("the").isEmpty && analyzer.query("?!").isEmpty)
    }

    @Test func termsOfTheTwoLanguagesDoNotMeet() throws {
        #expect(analyzer.query("lamp").terms.indices.count == 2)
        #expect(analyzer.query("a4").terms.indices.count == 1)
    }

    @Test func termsAreTheSameForGood() {
        // What is stored holds them: a change here needs every collection rebuilt.
        #expect(analyzer.terms(of: "lamps").indices == analyzer.terms(of: "lamp").indices)
        #expect(analyzer.query("AB-1234/X lamp").terms.indices == Self.stored)
    }
    private static let stored: [UInt32] = [
        405_837_350, 820_720_047, 1_432_021_771, 1_758_447_367, 2_042_185_127, 3_814_059_498, 3_908_304_554,
        4_024_317_917,
    ]
}
