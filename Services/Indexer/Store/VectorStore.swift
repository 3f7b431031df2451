import WireProtocol

/// Where vectors are kept and searched: `EmbeddedStore` in this process, `QdrantStore` over HTTP. Collections are named by their own
/// name or an alias.
protocol VectorStore: Sendable {
    func collectionNames() async throws -> [String]
    func createCollection(_ name: String, _ configuration: CollectionConfiguration) async throws
    /// `changes` is a `PATCH /collections/{name}` body.
    func updateCollection(_ name: String, _ changes: JSONObject) async throws
    /// False where there was none.
    func deleteCollection(_ name: String) async throws -> Bool
    func collection(_ name: String) async throws -> CollectionDescription
    func setPayloadSchema(_ field: String, _ schema: JSONValue?, in collection: String) async throws -> UInt64

    /// Alias and collection, sorted by alias.
    func aliases() async throws -> [(alias: String, collection: String)]
    /// All of the changes or none.
    func changeAliases(_ changes: [AliasChange]) async throws

    /// One atomic request. With `wait` it is durable when this returns; without, it is validated, written, and durable within a second.
    func apply(_ update: PointsUpdate, to collection: String, wait: Bool) async throws -> WriteOutcome
    func retrieve(_ ids: [PointID], from collection: String, fields: PointFields) async throws -> [StoredPoint]
    func search(_ query: SearchQuery, in collection: String) async throws -> [StoredPoint]
    func scroll(_ request: ScrollRequest, in collection: String) async throws -> ScrollPage
    func count(_ filter: Filter?, in collection: String) async throws -> Int
}

struct CollectionDescription: Sendable {
    var name: String
    var configuration: CollectionConfiguration
    /// Random, new with each creation: tells a collection from another that had its name.
    var incarnation: String
    var points: Int
    var payloadSchema: JSONObject
    /// Units: bytes on disk and in memory, estimated.
    var diskBytes: Int
    var memoryBytes: Int
}

enum AliasChange: Sendable, Equatable {
    case create(alias: String, collection: String)
    case delete(alias: String)
    case rename(from: String, to: String)
}

enum PointsUpdate: Sendable {
    /// Changes of single points, by id, applied in order.
    case changes([PointChange])
    /// One change of all that is selected.
    case selected(PointSelection, SelectedChange)
}

enum SelectedChange: Sendable {
    case delete
    /// Members are added or replaced.
    case setPayload(JSONObject)
    case overwritePayload(JSONObject)
    case deletePayloadKeys([PayloadPath])
    case clearPayload
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
    /// Of a search: as the collection's distance has it.
    var score: Float?
    /// A JSON object; `nil` when it was not asked for.
    var payload: [UInt8]?
    /// `nil` when they were not asked for.
    var vectors: [(name: String, values: [Float])]?
}

struct SearchQuery: Sendable {
    enum Target: Sendable {
        case vector([Float])
        /// Points near this one, itself left out.
        case point(PointID)
    }
    var target: Target
    /// Name of the vector; "" where it has none.
    var using = ""
    var filter: Filter?
    var limit = 10
    var offset = 0
    var scoreThreshold: Float?
    /// No one-byte codes: a scan of the vectors themselves.
    var exact = false
    var fields = PointFields(payload: .none)
}

struct ScrollRequest: Sendable {
    var filter: Filter?
    /// The first id of the page.
    var offset: PointID?
    var limit = 10
    var fields = PointFields()
}

struct ScrollPage: Sendable {
    var points: [StoredPoint]
    /// Where the next page starts; `nil` on the last.
    var next: PointID?
}
