import WireProtocol

extension TextRule {
    /// Reads the parameters of a text index. Throws: `invalid` for what this store cannot do.
    init(_ parameters: JSONValue, path: String) throws(StoreError) {
        func member(_ name: String) -> JSONValue? { parameters[name]?.nonNull }
        if let name = member("tokenizer") {
            guard let tokenizer = name.string.flatMap(Tokenizer.init) else {
                throw .invalid(
                    field: "\(path).tokenizer",
                    "must be one of \(Tokenizer.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            self.tokenizer = tokenizer
        }
        lowercase = member("lowercase")?.bool ?? true
        foldsAccents = member("ascii_folding")?.bool ?? false
        let least = member("min_token_len")?.integer ?? 1
        let most = member("max_token_len")?.integer ?? .max
        lengths = Int(max(1, least))...Int(max(1, least, most))
        if let words = member("stopwords") { stopWords = try Self.stopWords(words, path: "\(path).stopwords") }
        if let stemmer = member("stemmer") { self.stemmer = try Self.stemmer(stemmer, path: "\(path).stemmer") }
    }

    /// `{"type": "snowball", "language"}`, or `{"type": "none"}`.
    private static func stemmer(_ value: JSONValue, path: String) throws(StoreError) -> String? {
        if value["type"] == "none" { return nil }
        guard let language = value["language"]?.string?.lowercased(), SnowballStemmer(language) != nil else {
            throw .invalid(field: "\(path).language", "must be a language that Snowball knows")
        }
        return language
    }

    /// A language, or `{"languages": [...], "custom": [...]}`.
    private static func stopWords(_ value: JSONValue, path: String) throws(StoreError) -> Set<String> {
        var words = Set((value["custom"]?.array ?? []).compactMap(\.string))
        let languages = value.string.map { [$0] } ?? (value["languages"]?.array ?? []).compactMap(\.string)
        for language in languages {
            guard let list = StopWordLists.of(language) else {
                throw .invalid(
                    field: path,
                    "this store has lists for \(StopWordLists.languages.joined(separator: ", ")), not `\(language)`")
            }
            words.formUnion(list)
        }
        return words
    }
}
