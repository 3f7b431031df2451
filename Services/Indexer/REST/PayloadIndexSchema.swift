import WireProtocol

/// A declared field: its type and the options of its index. Source: `PayloadSchemaParams` of `qdrant-openapi.json`.
enum PayloadIndexSchema {
    /// `field_schema` is a type's name, or `{"type": name, options}`. As it is kept and shown: `{"data_type", "params"}`.
    static func info(_ body: RequestBody) throws -> JSONValue {
        let name = body.value("field_schema") == nil ? "field_type" : "field_schema"  // its name in old clients
        guard let value = body.value(name) else { throw body.missing("field_schema") }
        if let type = value.string {
            guard options[type] != nil else { throw unknown(type, body.place(name)) }
            return ["data_type": .string(type)]
        }
        guard let schema = try body.inner(name) else { throw body.missing("field_schema") }
        let type = try schema.requiredText("type")
        guard let known = options[type] else { throw unknown(type, schema.place("type")) }
        var parameters: JSONObject = ["type": .string(type)]
        for (option, kind) in known {
            guard let value = schema.value(option) else { continue }
            try check(value, is: kind, schema, option)
            parameters[option] = value
        }
        if parameters["lookup"] == false, parameters["range"] == false {
            throw RequestError.validation(
                schema.path, "the `lookup` and `range` capabilities can't be both disabled for an integer index")
        }
        return ["data_type": .string(type), "params": .object(parameters)]
    }

    private enum Kind { case flag, unsigned, choice([String]), stopwords, stemmer }

    private static let common: [(String, Kind)] = [
        ("on_disk", .flag), ("memory", .choice(["cold", "cached", "pinned"])), ("enable_hnsw", .flag),
    ]
    private static let options: [String: [(String, Kind)]] = [
        "keyword": common + [("is_tenant", .flag), ("prefix", .flag)],
        "integer": common + [("lookup", .flag), ("range", .flag), ("is_principal", .flag)],
        "float": common + [("is_principal", .flag)], "geo": common, "bool": common,
        "datetime": common + [("is_principal", .flag)], "uuid": common + [("is_tenant", .flag)],
        "text": common + [
            ("tokenizer", .choice(["prefix", "whitespace", "word", "multilingual"])), ("min_token_len", .unsigned),
            ("max_token_len", .unsigned), ("lowercase", .flag), ("ascii_folding", .flag), ("phrase_matching", .flag),
            ("stopwords", .stopwords), ("stemmer", .stemmer),
        ],
    ]

    private static func unknown(_ type: String, _ place: String) -> RequestError {
        .format(
            place, "unknown variant `\(type)`, expected one of \(options.keys.sorted().joined(separator: ", "))")
    }

    private static func check(_ value: JSONValue, is kind: Kind, _ schema: RequestBody, _ option: String) throws {
        let place = schema.place(option)
        switch kind {
        case .flag: _ = try schema.flag(option)
        case .unsigned: _ = try schema.count(option, from: 0)
        case .choice(let choices):
            guard let text = value.string, choices.contains(text) else {
                throw RequestError.format(place, "must be one of \(choices.joined(separator: ", "))")
            }
        case .stopwords:
            if value.string != nil { return }
            guard let set = value.object,
                ["languages", "custom"].allSatisfy({ name in
                    set[name].map { $0.isNull || $0.array?.allSatisfy { $0.string != nil } == true } ?? true
                })
            else { throw RequestError.format(place, "must be a language, or an object with languages and custom") }
        case .stemmer:
            guard let type = value["type"]?.string,
                type == "none" || type == "snowball" && value["language"]?.string != nil
            else { throw RequestError.format(place, "must have the type none, or snowball with a language") }
        }
    }
}
