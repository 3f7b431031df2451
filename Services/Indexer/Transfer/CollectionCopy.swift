import FastJSON
import WireProtocol

/// A collection into another Qdrant: read page by page, written whole, counted and compared at the end.
///
/// Copying again brings what has changed since, but not what was deleted: then the count at the end differs and says so.
struct CollectionCopy: Sendable {
    let source: CollectionReader
    let target: QdrantConnection
    /// `nil`: the collection's own name, and its aliases with it. An alias of the target means the collection behind it.
    let name: String?
    var replaces = false
    /// Points that are read from both sides at the end.
    var samples = 200

    struct Outcome: Sendable {
        var collection: String
        var points: Int
        var aliases: [String]
    }

    func run(progress: TransferProgress) async throws -> Outcome {
        let information = try await source.information()
        let (physical, aliases) = try await source.names()
        let wanted = CollectionReader(qdrant: target, name: name ?? physical)
        let upload = PointsUpload(
            qdrant: target, collection: try await wanted.names().physical, replaces: replaces)
        if replaces { try await refuseItself(information, physical, as: upload.collection) }
        try await upload.prepare(information.request, payloadSchema: information.payloadSchema)
        progress.begin(try await source.count())
        var sample = Sample(size: samples)
        var cursor = CollectionReader.Cursor()
        var waiting: [PointsUpload.Part] = []
        try await upload.send {
            while waiting.isEmpty {
                guard let read = try await source.page(at: cursor) else { return nil }
                cursor = read.cursor
                waiting = Self.parts(of: read.page, at: upload.bodyBytes * 2)
                for index in read.page.points.indices.shuffled().prefix(8) {
                    if let id = try Self.id(of: read.page[index]) { sample.offer(id) }
                }
            }
            return waiting.removeFirst()
        } stored: { part in
            progress.advance(by: part.count)
        }
        let count = try await check(sample.ids, in: upload.collection)
        let moved = name == nil ? try await upload.setAliases(aliases, moving: true) : []
        return Outcome(collection: upload.collection, points: count, aliases: moved)
    }

    /// To be replaced the copy would be deleted first: two addresses may be one place.
    private func refuseItself(_ original: QdrantCollection, _ physical: String, as copy: String) async throws {
        var isItself = source.qdrant.url == target.url && physical == copy
        do {
            let existing = try await CollectionReader(qdrant: target, name: copy).information()
            isItself = isItself || original.isSame(as: existing)
        } catch StoreError.collectionNotFound {}
        if isItself {
            throw TransferError(
                "\(target.url) has \(copy) from where it is to be read: a collection is not replaced by itself. Say with --url where the original is"
            )
        }
    }

    /// One, unless the points of a page are much longer than those before.
    private static func parts(of page: CollectionReader.Page, at bytes: Int) -> [PointsUpload.Part] {
        var parts = [PointsUpload.Part()]
        for index in page.points.indices {
            if parts[parts.count - 1].bytes.count >= bytes { parts.append(PointsUpload.Part()) }
            parts[parts.count - 1].add(page[index])
        }
        return parts.filter { $0.count > 0 }
    }

    private static func id(of point: ArraySlice<UInt8>) throws -> PointID? {
        try JSONReader.parse(Array(point), maximumDepth: 80)["id"].flatMap { PointID($0) }
    }

    /// Answers how many points there are. Throws: where the two sides differ.
    private func check(_ ids: [PointID], in collection: String) async throws -> Int {
        let copy = CollectionReader(qdrant: target, name: collection)
        let (here, there) = (try await source.count(), try await copy.count())
        guard here == there else {
            throw TransferError(
                "the source has \(here) points, the copy \(there): points were written or deleted meanwhile, or the copy had others. Copy again for what is new; delete the copy first to lose what is gone"
            )
        }
        let fields = PointFields(payload: .all, vectors: .all)
        let originals = try await QdrantStore(qdrant: source.qdrant).retrieve(ids, from: source.name, fields: fields)
        let copies = try await QdrantStore(qdrant: target).retrieve(ids, from: collection, fields: fields)
        let found = Dictionary(uniqueKeysWithValues: copies.map { ($0.id, $0) })
        let different = originals.filter { original in !(found[original.id].map { original.isLike($0) } ?? false) }
        guard different.isEmpty else {
            let some = different.prefix(5).map(\.id.text).joined(separator: ", ")
            throw TransferError(
                "\(different.count) of \(originals.count) compared points differ (\(some)): if they were written meanwhile, copy again"
            )
        }
        return there
    }
}

extension StoredPoint {
    /// The same payload, and the same vectors but for the last bits, which normalising again may change.
    fileprivate func isLike(_ other: StoredPoint) -> Bool {
        guard let left = try? JSONReader.parse(payload ?? Array("{}".utf8), maximumDepth: 80),
            let right = try? JSONReader.parse(other.payload ?? Array("{}".utf8), maximumDepth: 80), left == right
        else { return false }
        let (mine, others) = (vectors ?? [], other.vectors ?? [])
        return mine.count == others.count
            && zip(mine, others).allSatisfy { $0.name == $1.name && $0.values.isLike($1.values) }
    }
}

extension VectorValues {
    fileprivate func isLike(_ other: VectorValues) -> Bool {
        func near(_ left: [Float], _ right: [Float]) -> Bool {
            left.count == right.count
                && zip(left, right).allSatisfy { abs($0 - $1) <= 1e-5 * max(abs($0), abs($1), 1e-3) }
        }
        switch (self, other) {
        case (.dense(let left), .dense(let right)): return near(left, right)
        case (.sparse(let left), .sparse(let right)):
            return left.indices == right.indices && near(left.values, right.values)
        default: return false
        }
    }
}

/// Points at random from a stream of unknown length.
private struct Sample {
    let size: Int
    private(set) var ids: [PointID] = []
    private var seen = 0
    init(size: Int) { self.size = size }

    mutating func offer(_ id: PointID) {
        seen += 1
        if ids.count < size {
            ids.append(id)
        } else {
            let place = Int.random(in: 0..<seen)
            if place < size { ids[place] = id }
        }
    }
}
