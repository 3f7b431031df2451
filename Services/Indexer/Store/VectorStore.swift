import WireProtocol

/// Where vectors are kept and searched: `EmbeddedStore` in this process, `QdrantStore` over HTTP. Collections are named by their own
/// name or an alias.
protocol VectorStore: Sendable {
    func collectionNames() async throws -> [String]
    func createCollection(_ name: String, _ configuration: CollectionConfiguration) async throws
    /// `changes` is a `PATCH /collections/{name}` body.
    func updateCollection(_ name: String, _ changes: JSONObject) async throws
    /// `parameters` is a `PUT /collections/{collection}/vectors/{name}` body: `{"dense": {...}}` or `{"sparse": {...}}`.
    /// Answers the number of the last request.
    func addVector(_ name: String, _ parameters: JSONObject, to collection: String) async throws -> UInt64
    func removeVector(_ name: String, from collection: String) async throws -> UInt64
    /// False where there was none.
    func deleteCollection(_ name: String) async throws -> Bool
    func collection(_ name: String) async throws -> CollectionDescription
    /// Of a description what costs nothing to know.
    func settings(of collection: String) async throws -> CollectionSettings.Current
    func setPayloadSchema(_ field: String, _ schema: JSONValue?, in collection: String) async throws -> UInt64

    /// Alias and collection, sorted by alias.
    func aliases() async throws -> [(alias: String, collection: String)]
    /// All of the changes or none.
    func changeAliases(_ changes: [AliasChange]) async throws

    /// One atomic request. With `wait` it is durable when this returns; without, it is validated, written, and durable within a second.
    func apply(_ update: PointsUpdate, to collection: String, wait: Bool) async throws -> WriteOutcome
    func retrieve(_ ids: [PointID], from collection: String, fields: PointFields) async throws -> [StoredPoint]
    /// Best first; without a query by id, without scores' meaning (all 0).
    func query(_ request: QueryRequest, in collection: String) async throws -> [StoredPoint]
    func queryGroups(_ request: GroupsRequest, in collection: String) async throws -> [PointGroup]
    func facet(_ request: FacetRequest, in collection: String) async throws -> [FacetHit]
    func scroll(_ request: ScrollRequest, in collection: String) async throws -> ScrollPage
    func count(_ filter: Filter?, in collection: String) async throws -> Int
}

struct CollectionDescription: Sendable {
    var name: String
    var configuration: CollectionConfiguration
    /// Random, new with each creation: tells a collection from another that had its name.
    var incarnation: String
    /// Number of the last write, never smaller than before; `nil` where the store does not tell.
    var sequence: UInt64?
    var points: Int
    var payloadSchema: JSONObject
    /// Units: bytes on disk and in memory, estimated.
    var diskBytes: Int
    var memoryBytes: Int
    /// As Qdrant counts a payload storage: in blocks of 128 bytes, with what was replaced and not yet compacted.
    var payloadBytes: Int
    /// Of the dense vectors, as if every point had all of them.
    var vectorBytes: Int { points * configuration.vectors.reduce(0) { $0 + $1.size * 4 } }
}

enum AliasChange: Sendable, Equatable {
    case create(alias: String, collection: String)
    case delete(alias: String)
    case rename(from: String, to: String)
}

enum PointsUpdate: Sendable {
    /// Changes of single points, by id, applied in order. Points that exist and do not match `onlyIf` stay as they are.
    case changes([PointChange], onlyIf: Filter? = nil, mode: UpsertMode = .upsert)
    /// One change of all that is selected.
    case selected(PointSelection, SelectedChange)
    /// In order, each seeing what those before it did; all of it or nothing.
    case batch([PointsUpdate])
}

/// Which points of an upsert are written.
enum UpsertMode: Sendable { case upsert, insertOnly, updateOnly }

enum SelectedChange: Sendable {
    case delete
    /// Members are added or replaced, of the payload or of the object at `key`.
    case setPayload(JSONObject, key: PayloadPath? = nil)
    case overwritePayload(JSONObject, key: PayloadPath? = nil)
    case deletePayloadKeys([PayloadPath])
    case clearPayload
    /// By name.
    case deleteVectors([String])
}

struct WriteOutcome: Sendable {
    /// Number of the request in the collection's log.
    var sequence: UInt64
    /// Positions of the changes whose point does not exist although they need one.
    var missing: [Int] = []
}

/// Which parts of a point are wanted.
struct PointFields: Sendable {
    enum Payload: Sendable {
        case none, all
        case including([PayloadPath])
        case excluding([PayloadPath])
    }
    enum Vectors: Sendable {
        case none, all
        case named([String])
    }
    var payload: Payload = .all
    var vectors: Vectors = .none
}

struct StoredPoint: Sendable {
    var id: PointID
    var version: UInt64
    /// Of a query: as the vector's distance or the fusion has it.
    var score: Float?
    /// A JSON object; `nil` when it was not asked for.
    var payload: [UInt8]?
    /// `nil` when they were not asked for.
    var vectors: [(name: String, values: VectorValues)]?
    /// The value that it was ordered by, where that was asked for.
    var orderValue: JSONValue?
}

struct ScrollRequest: Sendable {
    var filter: Filter?
    /// The first id of the page.
    var offset: PointID?
    var limit = 10
    /// By a payload value instead of by id; then there is no next page.
    var orderBy: OrderBy?
    var fields = PointFields()
}

struct ScrollPage: Sendable {
    var points: [StoredPoint]
    /// Where the next page starts; `nil` on the last.
    var next: PointID?
}
