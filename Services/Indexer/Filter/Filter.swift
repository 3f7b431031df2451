import WireProtocol

/// Qdrant's filter: all of `must`, none of `mustNot`, at least one of `should`, at least so many of `minShould`.
struct Filter: Sendable {
    indirect enum Condition: Sendable {
        case field(PayloadPath, Predicate)
        case isEmpty(PayloadPath)
        case isNull(PayloadPath)
        case hasID([PointID])
        case hasVector(String)
        /// The points whose id falls into one of `total` parts of equal size.
        case slice(index: UInt32, total: UInt32)
        /// One object in the array at the path matches all by itself.
        case nested(PayloadPath, Filter)
        case filter(Filter)
    }
    enum Predicate: Sendable {
        case equals(Scalar)
        case any([Scalar])
        /// A value that is none of these.
        case except([Scalar])
        case words(String, WordMatch)
        case prefix(String)
        case substring(String)
        case range(Bounds<Double>)
        /// Units: microseconds since 1970, UTC.
        case dates(Bounds<Int64>)
        case geo(GeoArea)
        case valuesCount(Bounds<Int64>)
    }
    /// All words, one of them, or all next to each other in their order.
    enum WordMatch: Sendable { case all, any, phrase }

    struct Bounds<Value: Comparable & Sendable>: Sendable {
        var above: Value?
        var atLeast: Value?
        var below: Value?
        var atMost: Value?
        func contains(_ value: Value) -> Bool {
            above.map { value > $0 } ?? true && atLeast.map { value >= $0 } ?? true && below.map { value < $0 } ?? true
                && atMost.map { value <= $0 } ?? true
        }
    }
    var must: [Condition] = []
    var mustNot: [Condition] = []
    var should: [Condition] = []
    var minShould: (conditions: [Condition], count: Int)?
    /// As it was written, for a store elsewhere; `nil` of a filter made in code.
    var json: JSONValue?

    init(must: [Condition] = [], mustNot: [Condition] = [], should: [Condition] = []) {
        self.must = must
        self.mustNot = mustNot
        self.should = should
    }

    /// The ids that `has_id` conditions name: the caller looks up where they are.
    var ids: Set<PointID> {
        var ids = Set<PointID>()
        for condition in must + mustNot + should + (minShould?.conditions ?? []) {
            switch condition {
            case .hasID(let wanted): ids.formUnion(wanted)
            case .filter(let filter): ids.formUnion(filter.ids)
            default: break
            }
        }
        return ids
    }
}

/// A value that `match` compares with: no number with a fraction equals anything, as in Qdrant.
enum Scalar: Sendable, Hashable {
    case string(String)
    case integer(Int64)
    case bool(Bool)
}
