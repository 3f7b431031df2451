import WireProtocol

/// All operations, and the member of a declaration that names one.
enum OperationCatalogue {
    static let discriminator = "operation"

    static let all: [any Operation.Type] = [
        SelectFields.self, RenameFields.self, DropFields.self, SetField.self, Cast.self, Trim.self, Lowercase.self,
        Uppercase.self, Replace.self, StripHTML.self, NormalizeUnicode.self, Split.self, Join.self, Concat.self,
        DefaultValue.self, MapValues.self, Filter.self, Deduplicate.self, Sort.self, Limit.self, Truncate.self,
        Chunk.self,
        Hash.self, Extract.self, ParseJSON.self, Flatten.self, Round.self, WinnerScoreOperation.self,
    ]
    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    /// One declared operation, or everything that is wrong with it.
    static func operation(declared value: JSONValue, failures: inout [ParameterFailure]) -> (any Operation)? {
        guard let object = value.object else {
            failures.append(ParameterFailure("", "must be an object"))
            return nil
        }
        guard let name = object[discriminator]?.string else {
            failures.append(ParameterFailure(discriminator, "is required and must be the name of an operation"))
            return nil
        }
        guard let type = byName[name] else {
            let known = all.map { $0.name }.joined(separator: ", ")
            failures.append(ParameterFailure(discriminator, "is no operation of this service; known are \(known)"))
            return nil
        }
        var rest = object
        rest[discriminator] = nil
        var found: [ParameterFailure] = []
        let checked = Parameter.check(rest, against: type.parameters, into: &found)
        failures += found
        guard found.isEmpty else { return nil }
        do {
            return try type.init(Parameters(checked: checked))
        } catch {
            failures.append(error)
            return nil
        }
    }

    /// What `GET /operations` answers.
    static var description: JSONValue {
        [
            "operations": .array(
                all.map { type in
                    [
                        "operation": .string(type.name), "description": .string(type.about),
                        "scope": .string(type is any RowOperation.Type ? "row" : "dataset"),
                        "parameters": schema(of: type),
                    ]
                })
        ]
    }

    /// JSON Schema of a whole declaration: its name and its parameters.
    static func schema(of type: any Operation.Type) -> JSONValue {
        var schema = Parameter.schema(of: type.parameters).object ?? JSONObject()
        let name: [(name: String, value: JSONValue)] = [(discriminator, ["const": .string(type.name)])]
        schema["properties"] = .object(JSONObject(name + (schema["properties"]?.object?.members ?? [])))
        schema["required"] = .array([.string(discriminator)] + (schema["required"]?.array ?? []))
        return .object(schema)
    }
}
