import HTTPClient
import ServiceRuntime
import WireProtocol

/// The vector store over Qdrant's REST API: our indexer, or a real Qdrant.
package struct IndexerClient: Sendable {
    private let caller: ServiceCaller

    /// `apiKey` goes out as Qdrant's `api-key`; by the `internalToken` our indexer knows the suite's own writes.
    package init(client: HTTPClient, url: String, apiKey: String?, internalToken: String? = nil) {
        let key = (apiKey ?? internalToken).map { [("api-key", $0)] } ?? []
        caller = ServiceCaller(
            service: "vector store", url: url, client: client, headers: key + ServiceCaller.bearer(internalToken))
    }

    /// Throws when the store does not answer.
    package func ping() async throws {
        _ = try await caller.json("GET", "/collections", timeout: .milliseconds(400), isIdempotent: false)
    }

    package func exists(collection: String) async throws -> Bool {
        try await result("GET", "\(path(collection))/exists")["exists"]?.bool ?? false
    }

    package func createCollection(_ name: String, body: JSONValue) async throws {
        do {
            _ = try await result("PUT", path(name), body)
        } catch let error as ServiceClientError where error.status == 409 {
            // Another replica made it meanwhile.
        }
    }

    /// One that is not there is deleted already.
    package func deleteCollection(_ name: String) async throws {
        do {
            _ = try await result("DELETE", path(name))
        } catch let error as ServiceClientError where error.status == 404 {
        }
    }

    package func info(collection: String) async throws -> JSONValue {
        try await result("GET", path(collection))
    }

    package func count(collection: String, filter: JSONValue? = nil) async throws -> Int64 {
        var body: JSONObject = ["exact": true]
        body["filter"] = filter
        return try await result("POST", "\(path(collection))/points/count", .object(body))["count"]?.integer ?? 0
    }

    /// What matches; a collection that is not there has nothing to delete.
    package func deletePoints(collection: String, filter: JSONValue) async throws {
        do {
            _ = try await result("POST", "\(path(collection))/points/delete?wait=true", ["filter": filter])
        } catch let error as ServiceClientError where error.status == 404 {
        }
    }

    /// The points that a query (`/points/query`) finds.
    package func query(collection: String, body: JSONValue, trace: TraceContext? = nil) async throws -> [JSONValue] {
        try await result("POST", "\(path(collection))/points/query", body, trace: trace)["points"]?.array ?? []
    }

    /// The most frequent values of a payload key, `{"value", "count"}`, and how many points have them, exactly.
    package func facet(collection: String, key: String, filter: JSONValue? = nil, limit: Int = 100) async throws
        -> [JSONValue]
    {
        var body: JSONObject = ["key": .string(key), "limit": JSONValue(limit), "exact": true]
        body["filter"] = filter
        return try await result("POST", "\(path(collection))/facet", .object(body))["hits"]?.array ?? []
    }

    package func scroll(collection: String, body: JSONValue) async throws -> (points: [JSONValue], next: JSONValue) {
        let page = try await result("POST", "\(path(collection))/points/scroll", body)
        return (page["points"]?.array ?? [], page["next_page_offset"] ?? .null)
    }

    /// `schema`: a type (`keyword`) or its parameters, as the collection's info has it.
    package func createPayloadIndex(collection: String, field: String, schema: JSONValue) async throws {
        let body: JSONValue = ["field_name": .string(field), "field_schema": schema]
        _ = try await result("PUT", "\(path(collection))/index", body)
    }

    /// The physical collection by alias.
    package func aliases() async throws -> [String: String] {
        let list = try await result("GET", "/aliases")["aliases"]?.array ?? []
        return Dictionary(
            list.compactMap { entry in
                entry["alias_name"]?.string.flatMap { alias in entry["collection_name"]?.string.map { (alias, $0) } }
            }, uniquingKeysWith: { $1 })
    }

    /// In one step, so that nobody finds the alias missing. `isNew`: there is none of that name yet.
    package func setAlias(_ alias: String, to collection: String, isNew: Bool) async throws {
        let create: JSONValue = [
            "create_alias": ["collection_name": .string(collection), "alias_name": .string(alias)]
        ]
        let delete: JSONValue = ["delete_alias": ["alias_name": .string(alias)]]
        _ = try await result(
            "POST", "/collections/aliases", ["actions": .array(isNew ? [create] : [delete, create])])
    }

    private func path(_ collection: String) -> String { "/collections/\(ClientRequest.segment(collection))" }

    private func result(
        _ method: String, _ path: String, _ body: JSONValue? = nil, trace: TraceContext? = nil
    ) async throws -> JSONValue {
        try await caller.json(method, path, body: body, trace: trace)["result"] ?? .null
    }
}
