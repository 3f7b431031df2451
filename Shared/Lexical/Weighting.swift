/// How terms of documents are weighed: BM25 over fields (BM25F), with the average lengths fixed, so that a record's weights depend on
/// the record alone. The inverse document frequency is the store's (`"modifier":"idf"`), a query's weights are 1.
///
/// tf' = sum over fields of boost * tf / (1 - b + b * length / averageLength);  weight = tf' * (k1 + 1) / (tf' + k1).
/// With one field of boost 1 that is BM25's tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / averageLength)).
///
/// Source: Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009), sections 3.4 and 3.5. The numbers
/// were chosen on the development judgments of `deploy/bench/relevance`. Stored weights are only comparable with others of the same
/// making: a change of anything here or in the tokenizer needs rebuilt collections.
package struct Weighting: Sendable, Equatable {
    package struct Field: Sendable, Equatable {
        package var boost: Float
        package var b: Float
        /// Units: words that are no stop words.
        package var averageLength: Float
        package init(boost: Float, b: Float, averageLength: Float) {
            self.boost = boost
            self.b = b
            self.averageLength = averageLength
        }
    }

    package var k1: Float
    /// The fields that name the product.
    package var name: Field
    /// The key, part numbers, barcodes.
    package var code: Field
    /// Everything else.
    package var text: Field

    package init(k1: Float, name: Field, code: Field, text: Field) {
        self.k1 = k1
        self.name = name
        self.code = code
        self.text = text
    }

    package static let standard = Weighting(
        k1: 1.2,
        name: Field(boost: 6, b: 0.5, averageLength: 10),
        code: Field(boost: 0.5, b: 0, averageLength: 1),
        text: Field(boost: 0.5, b: 0.75, averageLength: 30))

    subscript(kind: FieldKind) -> Field {
        switch kind {
        case .name: name
        case .code: code
        case .text: text
        }
    }
}

/// What a payload's field is to a search, told by its name.
enum FieldKind {
    case name, code, text

    private static let names: Set<String> = [
        "name", "title", "productname", "producttitle", "itemname", "label", "headline", "model", "nombre", "titulo",
        "denominacion", "designacion", "producto", "nombreproducto", "modelo",
    ]
    private static let codes: Set<String> = [
        "id", "key", "sku", "ean", "gtin", "upc", "isbn", "asin", "mpn", "code", "productcode", "itemcode",
        "partnumber",
        "partno", "part", "reference", "ref", "codigo", "referencia", "barcode", "oem", "oemcode", "articlenumber",
        "itemnumber", "number", "codigobarras",
    ]

    init(_ field: String) {
        let letters = String(field.unicodeScalars.flatMap { CharacterFolding.letters(of: $0) })
        self = Self.names.contains(letters) ? .name : Self.codes.contains(letters) ? .code : .text
    }
}
