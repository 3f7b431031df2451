import CSimdjson
import FastJSON
import Synchronization

/// A body of points read by simdjson: vectors straight into floats, payloads as JSON bytes.
struct PointsBody {
    struct Vector {
        var name: String
        var values: VectorValues
    }
    struct Point {
        var id: PointID
        var vectors: [Vector]
        var payload: [UInt8]
    }
    private(set) var points: [Point] = []
    /// The members beside the points: `update_filter`, `update_mode`.
    let rest: RequestBody

    /// `path`: where the body stands in a greater one, "" for a whole one. Throws: `RequestError` with the place of the first fault.
    init(_ body: [UInt8], path: String = "") throws {
        if body.isEmpty { throw RequestError.format("body", "is empty") }
        let parser = try PointsParser.take()
        defer { parser.giveBack(afterReading: body.count) }
        var read = json_points()
        let code = body.withUnsafeBufferPointer { json_read_points(parser.handle, $0.baseAddress, $0.count, &read) }
        guard code == 0 else {
            if let fault = JSONFault(in: body) { throw RequestError.format(fault.path, fault.reason) }
            throw RequestError.format("body", String(cString: json_error_message(code)))
        }
        let problem = String(cString: read.problem)
        guard problem.isEmpty else {
            let place = path.isEmpty ? problem : "\(path).\(problem)"
            throw read.is_invalid == 0 ? RequestError.format(place) : .validation(place)
        }
        rest = try RequestBody(
            JSONReader.parse(UnsafeRawBufferPointer(start: read.rest, count: read.rest_bytes)), at: path)
        points.reserveCapacity(read.point_count)
        // An array without elements may have no address.
        let given = UnsafeBufferPointer(start: read.vectors, count: read.vector_count)
        let floats = UnsafeBufferPointer(start: read.floats, count: read.float_count)
        let indices = UnsafeBufferPointer(start: read.indices, count: read.index_count)
        let payloads = UnsafeBufferPointer(start: read.payloads, count: read.payload_bytes)
        var lastName = ""
        for point in UnsafeBufferPointer(start: read.points, count: read.point_count) {
            let vectors = (0..<Int(point.vector_count)).map { index in
                let vector = given[point.first_vector + index]
                // Names repeat from point to point: the same text needs no new string.
                let name = UnsafeRawBufferPointer(start: vector.name, count: vector.name_length)
                if !name.elementsEqual(lastName.utf8) { lastName = String(decoding: name, as: UTF8.self) }
                let values = Array(floats[vector.first..<(vector.first + vector.count)])
                if vector.is_sparse == 0 { return Vector(name: lastName, values: .dense(values)) }
                let dimensions = Array(indices[vector.first_index..<(vector.first_index + vector.count)])
                return Vector(name: lastName, values: .sparse(SparseVector(indices: dimensions, values: values)))
            }
            let payload = payloads[point.payload_offset..<(point.payload_offset + point.payload_length)]
            points.append(
                Point(
                    id: PointID(kind: point.id_kind, high: point.id_high, low: point.id_low), vectors: vectors,
                    payload: Array(payload)))
        }
    }

    /// As whole points of a collection. Throws: `wrongInput` for a name that it does not have.
    func upserts(into configuration: CollectionConfiguration) throws -> [PointChange] {
        try changes(of: configuration) { point, vectors in
            .upsert(vectors: vectors, payload: point.payload.isEmpty ? Array("{}".utf8) : point.payload)
        }
    }

    /// As new vectors of points that are there. Throws: `RequestError` for a point without any, `wrongInput` as above.
    func vectorUpdates(in configuration: CollectionConfiguration) throws -> [PointChange] {
        if points.isEmpty {
            throw RequestError.validation(rest.place("points"), "value [] invalid, must be at least 1 characters")
        }
        for (index, point) in points.enumerated() where point.vectors.isEmpty {
            throw RequestError.validation(
                rest.place("points[\(index)].vector"), "must specify vectors to update for point")
        }
        return try changes(of: configuration) { _, vectors in .vectors(vectors) }
    }

    private func changes(
        of configuration: CollectionConfiguration, _ effect: (Point, [PlacedVector]) -> PointChange.Effect
    ) throws -> [PointChange] {
        var positions: [String: Int] = [:]
        for name in configuration.vectors.map(\.name) + configuration.sparseVectors.map(\.name) {
            positions[name] = configuration.position(of: name)
        }
        return try points.enumerated().map { index, point in
            var placed: [PlacedVector] = []
            placed.reserveCapacity(point.vectors.count)
            for vector in point.vectors {
                guard let position = positions[vector.name] else {
                    throw StoreError.wrongInput(
                        "Not existing vector name error: \(vector.name) (points[\(index)].vector, id \(point.id))")
                }
                placed.removeAll { $0.position == position }  // of members with one name the last counts
                placed.append(PlacedVector(position: position, values: vector.values))
            }
            return PointChange(id: point.id, effect: effect(point, placed))
        }
    }
}

/// Parsers kept for the next body; one that has read a big one is let go with its memory.
// Used by one caller at a time: the pool hands a parser out once.
private final class PointsParser: @unchecked Sendable {
    let handle: OpaquePointer
    private init(_ handle: OpaquePointer) { self.handle = handle }
    deinit { json_parser_free(handle) }

    private static let idle = Mutex<[PointsParser]>([])
    private static let kept = 4
    private static let keptBytes = 4 << 20

    static func take() throws -> PointsParser {
        if let parser = idle.withLock({ $0.popLast() }) { return parser }
        guard let handle = json_parser_create(JSONReader.defaultMaximumDepth) else {
            throw StoreError.inputOutput("out of memory")
        }
        return PointsParser(handle)
    }
    func giveBack(afterReading bytes: Int) {
        guard bytes <= Self.keptBytes else { return }
        Self.idle.withLock { if $0.count < Self.kept { $0.append(self) } }
    }
}
