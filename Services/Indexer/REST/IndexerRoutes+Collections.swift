import HTTPServer
import ServiceRuntime
import WireProtocol

extension IndexerRoutes {
    @Sendable func listCollections(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let names = try await store.collectionNames().map {
            JSONValue.object(JSONObject(unique: [("name", .string($0))]))
        }
        return QdrantAnswer.ok(["collections": .array(names)], since: started)
    }

    @Sendable func getCollection(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let description = try await store.collection(request.collection)
        var schema = JSONObject()
        for (field, info) in description.payloadSchema.members {
            guard case .object(var info) = info, let path = PayloadPath(field) else { continue }
            let kind = info["data_type"]?.string.flatMap(PayloadSchema.Index.Kind.init)
            let indexed = kind.map { Filter(must: [.field(path, $0.values)]) } ?? Filter(mustNot: [.isEmpty(path)])
            info["points"] = JSONValue(try await store.count(indexed, in: description.name))
            schema[field] = .object(info)
        }
        return QdrantAnswer.ok(CollectionInfo.json(description, schema: schema), since: started)
    }

    @Sendable func createCollection(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try RequestBody(try request.json())
        try body.refuse("init_from")
        var settings = try CollectionSettings.checked(creation: body.object)
        settings["created_at"] = .string(Timestamp.now.text)
        if settings["sharding_method"] == "custom" {
            throw RequestError.unsupported("sharding_method", "custom sharding")
        }
        if let fault = Self.fault(inName: request.collection) {
            throw RequestError(status: 422, description: "Validation error in path parameters: [name: \(fault)]")
        }
        try await store.createCollection(request.collection, try CollectionConfiguration(request: settings))
        return QdrantAnswer.ok(true, since: started)
    }

    private static func fault(inName name: String) -> String? {
        let forbidden = name.unicodeScalars.first { $0.value < 0x20 || "<>:\"/\\|?*".unicodeScalars.contains($0) }
        return forbidden.map { "collection name cannot contain \"\($0)\" char" }
    }

    @Sendable func updateCollection(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let changes = try RequestBody(try request.json()).object
        try await store.updateCollection(request.collection, changes)
        if changes["strict_mode_config"] != nil { limits.forget(request.collection) }
        return QdrantAnswer.ok(true, since: started)
    }

    @Sendable func deleteCollection(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        try await guardian.check(request, writesTo: request.collection, in: store, removal: true)
        let isDeleted = try await store.deleteCollection(request.collection)
        limits.forget(request.collection)
        return QdrantAnswer.ok(.bool(isDeleted), since: started)
    }

    @Sendable func collectionExists(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        do {
            _ = try await store.collection(request.collection)
            return QdrantAnswer.ok(["exists": true], since: started)
        } catch StoreError.collectionNotFound {
            return QdrantAnswer.ok(["exists": false], since: started)
        }
    }

    @Sendable func changeAliases(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        try await store.changeAliases(try AliasChange.list(try RequestBody(try request.json())))
        return QdrantAnswer.ok(true, since: started)
    }

    /// Of one collection or of all.
    @Sendable func listAliases(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        var aliases = try await store.aliases()
        if request.parameters["collection"] != nil {
            let name = try await store.collection(request.collection).name
            aliases = aliases.filter { $0.collection == name }
        }
        let list = aliases.map { alias in
            JSONValue.object(
                JSONObject(unique: [
                    ("alias_name", .string(alias.alias)), ("collection_name", .string(alias.collection)),
                ]))
        }
        return QdrantAnswer.ok(["aliases": .array(list)], since: started)
    }

    /// Filters need no index here: the field's type is recorded and shown.
    @Sendable func createIndex(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let body = try RequestBody(try request.json())
        guard let field = try body.payloadPath("field_name") else { throw body.missing("field_name") }
        let schema = try PayloadIndexSchema.info(body)
        try await checkStrictlyIndexing(request)
        let sequence = try await store.setPayloadSchema(
            field.text, schema, in: request.collection)
        return QdrantAnswer.ok(Self.updated(sequence, wait: true), since: started)
    }

    @Sendable func deleteIndex(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let sequence = try await store.setPayloadSchema(request.parameters["field"] ?? "", nil, in: request.collection)
        return QdrantAnswer.ok(Self.updated(sequence, wait: true), since: started)
    }

    @Sendable func addVector(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        let addition = try CollectionSettings.checked(addition: try RequestBody(try request.json()).object)
        try await guardian.check(request, writesTo: request.collection, in: store)
        let sequence = try await store.addVector(
            request.parameters["vector"] ?? "", addition, to: request.collection)
        return QdrantAnswer.ok(Self.updated(sequence, wait: true), since: started)
    }

    @Sendable func removeVector(_ request: HTTPRequest) async throws -> HTTPResponse {
        let started = ContinuousClock.now
        try await guardian.check(request, writesTo: request.collection, in: store, removal: true)
        let sequence = try await store.removeVector(request.parameters["vector"] ?? "", from: request.collection)
        return QdrantAnswer.ok(Self.updated(sequence, wait: true), since: started)
    }

    static func updated(_ sequence: UInt64, wait: Bool) -> JSONValue {
        ["operation_id": .integer(Int64(sequence)), "status": wait ? "completed" : "acknowledged"]
    }
}

extension HTTPRequest {
    var collection: String { parameters["collection"] ?? "" }
}
