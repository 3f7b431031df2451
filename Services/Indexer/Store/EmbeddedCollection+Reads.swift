import FastJSON
import WireProtocol

/// Each read is of one moment of the collection, on the threads for searches.
extension EmbeddedCollection {
    func retrieve(_ ids: [PointID], fields: PointFields) async throws -> [StoredPoint] {
        try await pool.run { [self] in
            let (snapshot, slots) = index.snapshot(locating: ids)
            var seen = Set<PointID>()
            return try ids.filter { seen.insert($0).inserted }.compactMap { id in
                try slots[id].map { try point($0, of: snapshot, fields) }
            }
        }
    }

    func count(_ filter: Filter?) async throws -> Int {
        guard let filter else { return index.pointCount }
        return try await pool.run { [self] in
            let (snapshot, located) = index.snapshot(locating: filter.ids)
            return try matches(filter, snapshot, located).population
        }
    }

    func scroll(_ request: ScrollRequest) async throws -> ScrollPage {
        if let order = request.orderBy { return try await scroll(request, by: order) }
        return try await pool.run { [self] in
            let (snapshot, located) = index.snapshot(locating: request.filter?.ids ?? [])
            let mask = try matches(request.filter, snapshot, located)
            let limit = min(request.limit, snapshot.liveCount)
            let slots = snapshot.smallestIDs(in: mask, from: request.offset ?? PointID(number: 0), limit: limit + 1)
            let points = try slots.prefix(limit).map { try point(Int($0), of: snapshot, request.fields) }
            let next = slots.count > limit ? PointID(snapshot.view.slot(Int(slots[limit]))) : nil
            return ScrollPage(points: points, next: next)
        }
    }

    private func scroll(_ request: ScrollRequest, by order: OrderBy) async throws -> ScrollPage {
        guard request.offset == nil else {
            throw StoreError.wrongInput(
                "Cannot use an `offset` when using `order_by`. The alternative for paging is to use `order_by.start_from` and a filter to exclude the IDs that you've already seen for the `order_by.start_from` value"
            )
        }
        return try await pool.run { [self] in
            let (snapshot, located) = index.snapshot(locating: request.filter?.ids ?? [])
            let mask = try matches(request.filter, snapshot, located)
            let points = try snapshot.ordered(by: order, in: mask, limit: request.limit).map { entry in
                var point = try point(entry.slot, of: snapshot, request.fields)
                point.orderValue = entry.value.json
                return point
            }
            return ScrollPage(points: points, next: nil)
        }
    }

    func buildColumn(_ field: String) async throws {
        guard let path = PayloadPath(field) else { return }
        try await pool.run { [self] in
            let snapshot = index.snapshot
            try snapshot.columns.column(path).with(snapshot) { _ in }
        }
    }

    func facet(_ request: FacetRequest) async throws -> [FacetHit] {
        try await pool.run { [self] in
            let (snapshot, located) = index.snapshot(locating: request.filter?.ids ?? [])
            return try snapshot.facets(
                request.key, in: try matches(request.filter, snapshot, located), limit: request.limit)
        }
    }

    /// Best first.
    func query(_ request: QueryRequest) async throws -> [StoredPoint] {
        try await pool.run { [self] in
            let query = moment(for: request)
            return try points(try await query.hits(of: request), of: query.snapshot, request.fields)
        }
    }

    func groups(_ request: GroupsRequest) async throws -> [PointGroup] {
        try await pool.run { [self] in
            let query = moment(for: request.query)
            return try await GroupSearch(request, query).groups().map { group in
                PointGroup(id: group.id, points: try points(group.hits, of: query.snapshot, request.query.fields))
            }
        }
    }

    private func moment(for request: QueryRequest) -> CollectionQuery {
        let (snapshot, located) = index.snapshot(locating: request.ids)
        return CollectionQuery(snapshot: snapshot, located: located, configuration: configuration, pool: pool)
    }

    private func points(
        _ hits: [CollectionQuery.Hit], of snapshot: Snapshot, _ fields: PointFields
    ) throws -> [StoredPoint] {
        try hits.map { hit in
            var point = try point(hit.slot, of: snapshot, fields)
            point.score = hit.score
            point.orderValue = hit.orderValue
            return point
        }
    }

    private func matches(_ filter: Filter?, _ snapshot: Snapshot, _ located: [PointID: Int]) throws -> Bitmap {
        guard let filter else { return snapshot.live }
        return try FilterEvaluation(snapshot: snapshot, located: located, vectorNames: configuration.vectorNames)
            .matches(
                filter)
    }

    private func point(_ slot: Int, of snapshot: Snapshot, _ fields: PointFields) throws -> StoredPoint {
        let record = snapshot.view.slot(slot)
        var point = StoredPoint(id: PointID(record), version: record.version)
        switch fields.payload {
        case .none: break
        case .all: point.payload = Array(snapshot.view.payload(of: slot))
        case .including(let paths):
            point.payload =
                JSONValue.object(
                    Payload.including(paths, of: try Payload.parse(snapshot.view.payload(of: slot)))
                ).serializedBytes(keepingPoints: true)
        case .excluding(let paths):
            point.payload =
                JSONValue.object(
                    Payload.excluding(paths, from: try Payload.parse(snapshot.view.payload(of: slot)))
                ).serializedBytes(keepingPoints: true)
        }
        if point.payload?.isEmpty == true { point.payload = Array("{}".utf8) }
        let configuration = configuration
        let names: [String]?
        switch fields.vectors {
        case .none: return point
        case .all: names = nil
        case .named(let wanted):
            names = wanted
            if let unknown = wanted.first(where: { configuration.position(of: $0) == nil }) {
                throw StoreError.wrongInput("Not existing vector name error: \(unknown)")
            }
        }
        let vectorNames = configuration.vectorNames
        point.vectors = []
        for column in snapshot.view.columns where record.vectors >> UInt64(column.position) & 1 == 1 {
            guard let name = vectorNames[column.position], names?.contains(name) ?? true else { continue }
            point.vectors?.append((name, try snapshot.view.values(column, of: slot)))
        }
        return point
    }
}

extension Payload {
    static func parse(_ bytes: UnsafeRawBufferPointer) throws -> JSONObject {
        if bytes.isEmpty { return JSONObject() }
        guard case .object(let object) = try JSONReader.parse(bytes) else { return JSONObject() }
        return object
    }
}
