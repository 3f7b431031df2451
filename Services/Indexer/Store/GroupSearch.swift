import WireProtocol

/// Groups of a query's hits by the values at a path: the groups with the best first hits, each with its best hits. A point with
/// several values is in several groups; one with any value but texts and integers is in none, as in Qdrant.
///
/// Without prefetches the answer is exact: queries are repeated without the groups that are known until there are enough, then for
/// those alone that are not full. With prefetches there is one query, for what it fuses are ranks, which other filters would
/// change; groups that a vector scores anew are filled all the same, as in Qdrant.
struct GroupSearch {
    typealias Hit = CollectionQuery.Hit
    let request: GroupsRequest
    let query: CollectionQuery
    private let parser: PayloadExtractor.Parser

    init(_ request: GroupsRequest, _ query: CollectionQuery) throws {
        self.request = request
        self.query = query
        parser = try PayloadExtractor(arrays: [], path: request.groupBy).makeParser()
    }

    private enum Key: Hashable {
        case text(String)
        case integer(Int64)
        case unsigned(UInt64)
        var json: JSONValue {
            switch self {
            case .text(let text): .string(text)
            case .integer(let number): .integer(number)
            case .unsigned(let number): .unsigned(number)
            }
        }
        /// `nil`: `match` knows no such number.
        var scalar: Scalar? {
            switch self {
            case .text(let text): .string(text)
            case .integer(let number): .integer(number)
            case .unsigned: nil
            }
        }
        /// What matches it, and perhaps a few numbers beside it.
        var predicate: Filter.Predicate? {
            guard case .unsigned(let number) = self else { return nil }
            return .range(Filter.Bounds(atLeast: Double(number), atMost: Double(number)))
        }
    }

    /// Throws: as the query.
    func groups() async throws -> [(id: JSONValue, hits: [Hit])] {
        guard request.groups > 0, request.groupSize > 0 else { return [] }
        var groups: [(key: Key, hits: [Hit])] = []
        let isRepeatable = request.query.prefetch.isEmpty && !request.query.isRandom
        var limit = isRepeatable ? size(of: request.groups) : query.snapshot.liveCount
        while true {
            let known = isRepeatable ? groups.map(\.key) : []
            let hits = try await hits(limit, except: known)
            collect(hits, beside: Set(known), into: &groups)
            if !isRepeatable || hits.count < limit || groups.count == request.groups { break }
            if groups.count == known.count { limit = grown(limit) }
        }
        if isRepeatable || request.query.isRescored { try await fill(&groups) }
        return groups.map { (id: $0.key.json, hits: $0.hits) }
    }

    /// New groups, and what else they have among `hits`: of known ones only a part was asked for.
    private func collect(_ hits: [Hit], beside known: Set<Key>, into groups: inout [(key: Key, hits: [Hit])]) {
        var places: [Key: Int] = [:]
        for hit in hits {
            for key in keys(of: hit) where !known.contains(key) {
                if let place = places[key] {
                    if groups[place].hits.count < request.groupSize { groups[place].hits.append(hit) }
                } else if groups.count < request.groups {
                    places[key] = groups.count
                    groups.append((key, [hit]))
                }
            }
        }
    }

    /// Hits of groups that were found while others were looked for are not all their best: those that are not full are asked again.
    private func fill(_ groups: inout [(key: Key, hits: [Hit])]) async throws {
        var open = groups.indices.filter { groups[$0].hits.count < request.groupSize }
        var limit = size(of: open.count)
        while !open.isEmpty {
            let hits = try await hits(limit, only: open.map { groups[$0].key })
            var best: [Key: [Hit]] = [:]
            for hit in hits { for key in keys(of: hit) { best[key, default: []].append(hit) } }
            for place in open {
                groups[place].hits = Array((best[groups[place].key] ?? groups[place].hits).prefix(request.groupSize))
            }
            if hits.count < limit { return }
            let left = open.filter { groups[$0].hits.count < request.groupSize }
            limit = left.count == open.count ? grown(limit) : size(of: left.count)
            open = left
        }
    }

    private func size(of groups: Int) -> Int { limited(groups.multipliedReportingOverflow(by: request.groupSize)) }
    private func grown(_ limit: Int) -> Int { limited(limit.multipliedReportingOverflow(by: 8)) }
    /// More than all points is never wanted, and one more than all shows that there are no more.
    private func limited(_ product: (partialValue: Int, overflow: Bool)) -> Int {
        product.overflow ? query.snapshot.liveCount + 1 : min(product.partialValue, query.snapshot.liveCount + 1)
    }

    private func hits(_ limit: Int, except known: [Key] = [], only wanted: [Key]? = nil) async throws -> [Hit] {
        var search = request.query
        search.limit = limit
        search.offset = 0
        search.prefetch = search.prefetch.map { $0.widened(by: request.groups) }
        var filter = search.filter ?? Filter()
        filter.mustNot.append(.isEmpty(request.groupBy))
        // A point of a known group and another one is wanted: `except` asks for a value that is none of these.
        if !known.isEmpty { filter.must.append(.field(request.groupBy, .except(known.compactMap(\.scalar)))) }
        if let wanted {
            let predicates = [.any(wanted.compactMap(\.scalar))] + wanted.compactMap(\.predicate)
            filter.must.append(.filter(Filter(should: predicates.map { .field(request.groupBy, $0) })))
        }
        search.filter = filter
        return try await query.hits(of: search)
    }

    /// The groups of a hit.
    private func keys(of hit: Hit) -> [Key] {
        var keys: [Key] = []
        var seen = Set<Key>()
        var isUngrouped = false
        parser.read(query.snapshot.view.payload(of: hit.slot)) { node in
            let key: Key
            switch node {
            case .array: return
            case .text(let text): key = .text(String(decoding: text, as: UTF8.self))
            case .integer(let number): key = .integer(number)
            case .unsigned(let number): key = .unsigned(number)
            case .null, .bool, .number, .place, .other, .row:
                isUngrouped = true
                return
            }
            if seen.insert(key).inserted { keys.append(key) }
        }
        return isUngrouped ? [] : keys
    }
}

extension QueryRequest {
    /// Prefetches only choose the points that a vector scores.
    fileprivate var isRescored: Bool { if case .nearest? = query { !prefetch.isEmpty } else { false } }
    fileprivate var isRandom: Bool { if case .sample? = query { true } else { false } }
}

extension Prefetch {
    /// Enough candidates for so many groups: Qdrant's rule.
    fileprivate func widened(by groups: Int) -> Prefetch {
        var prefetch = self
        let (limit, overflow) = limit.multipliedReportingOverflow(by: groups)
        prefetch.limit = overflow ? .max : limit
        prefetch.prefetch = self.prefetch.map { $0.widened(by: groups) }
        return prefetch
    }
}
