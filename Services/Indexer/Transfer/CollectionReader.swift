import FastJSON
import HTTPServer
import WireProtocol

/// Reads all points of a collection over HTTP, page by page in the order of their ids.
///
/// A point that is there from the first page to the last comes exactly once, as it was when its page was read. One that is written or
/// deleted meanwhile may come or not.
struct CollectionReader: Sendable {
    let qdrant: QdrantConnection
    /// The collection's own name or an alias.
    let name: String

    /// Points as JSON bytes.
    struct Page: Sendable {
        let bytes: [UInt8]
        let points: [Range<Int>]
        /// Where the next page starts; `nil` on the last.
        let next: PointID?

        subscript(index: Int) -> ArraySlice<UInt8> { bytes[points[index]] }
    }

    func information() async throws -> QdrantCollection {
        QdrantCollection(try await qdrant.result("GET", QdrantConnection.path(name), collection: name))
    }

    /// The collection's own name, and its aliases.
    func names() async throws -> (physical: String, aliases: [String]) {
        let aliases = try await QdrantStore(qdrant: qdrant).aliases()
        let physical = aliases.first { $0.alias == name }?.collection ?? name
        return (physical, aliases.filter { $0.collection == physical }.map(\.alias))
    }

    func count() async throws -> Int { try await QdrantStore(qdrant: qdrant).count(nil, in: name) }

    /// Where a reading stands.
    struct Cursor: Sendable {
        fileprivate var start: PointID?
        fileprivate var isAtEnd = false
        // How long a point is shows on the first page.
        fileprivate var limit = 64
    }

    /// Units: bytes of a page, about.
    static let pageBytes = 4 << 20

    /// The next page and the cursor behind it; `nil` behind the last page.
    func page(at cursor: Cursor) async throws -> (page: Page, cursor: Cursor)? {
        if cursor.isAtEnd { return nil }
        let page = try await page(from: cursor.start, limit: cursor.limit)
        var cursor = cursor
        cursor.start = page.next
        cursor.isAtEnd = page.next == nil
        let bytesAPoint = max(1, page.bytes.count / max(1, page.points.count))
        cursor.limit = min(max(1, Self.pageBytes / bytesAPoint), cursor.limit * 4, 4096)
        return (page, cursor)
    }

    private func page(from start: PointID?, limit: Int) async throws -> Page {
        var body: JSONObject = ["limit": JSONValue(limit), "with_payload": true, "with_vector": true]
        if let start { body["offset"] = start.json }
        let answer = try await qdrant.send(
            "POST", QdrantConnection.path(name, "/points/scroll"), JSONValue.object(body).serializedBytes,
            collection: name)
        return try await BlockingPool.run { try Page(answer: answer) }
    }
}

extension CollectionReader.Page {
    init(answer: [UInt8]) throws {
        do {
            (points, next) = try answer.withUnsafeBufferPointer { buffer in
                let scanner = JSONScanner(buffer)
                guard let result = try scanner.members().first(where: { $0.name == "result" })?.value else {
                    throw JSONScanner.Broken()
                }
                let members = try scanner.members(at: result.lowerBound)
                guard let points = members.first(where: { $0.name == "points" })?.value else {
                    throw JSONScanner.Broken()
                }
                var next: PointID?
                if let range = members.first(where: { $0.name == "next_page_offset" })?.value {
                    next = PointID(try JSONReader.parse(Array(buffer[range])))
                }
                return (try scanner.elements(at: points.lowerBound), next)
            }
        } catch is JSONScanner.Broken {
            throw StoreError.unavailable("the store answered a page of points in an unknown form")
        }
        bytes = answer
    }
}
