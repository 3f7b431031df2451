/// What happens to one point. A log record is a list of these: everything a request does, with nothing left to look up.
struct PointChange: Sendable, Equatable {
    enum Effect: Sendable, Equatable {
        /// The whole point, new or replaced.
        case upsert(vectors: [PlacedVector], payload: [UInt8])
        /// The payload is replaced, the vectors stay. Nothing where there is no such point.
        case payload([UInt8])
        /// These vectors are replaced, the rest stays. Nothing where there is no such point.
        case vectors([PlacedVector])
        /// Bit i: the i-th vector is taken away.
        case dropVectors(UInt64)
        case delete
    }
    var id: PointID
    var effect: Effect
}

/// Points by id, or all that a filter matches.
enum PointSelection: Sendable {
    case ids([PointID])
    case filter(Filter)
}
