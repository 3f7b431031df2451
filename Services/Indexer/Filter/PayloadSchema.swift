import Synchronization
import WireProtocol

/// The payload indexes of a collection. Columns are built without them; an index says how a path's texts are cut into words, and
/// which of its values are counted and ordered.
final class PayloadSchema: Sendable {
    struct Index: Sendable {
        enum Kind: String, Sendable, CaseIterable { case keyword, integer, float, geo, text, bool, datetime, uuid }
        var kind: Kind
        var rule = TextRule.standard
    }
    private let indexes = Mutex<[PayloadPath: Index]>([:])

    func index(_ path: PayloadPath) -> Index? { indexes.withLock { $0[path] } }

    /// `schema` as collections save it: field and `{"data_type", "params"}`.
    func replace(_ schema: JSONObject) {
        var parsed: [PayloadPath: Index] = [:]
        for (field, info) in schema.members {
            guard let path = PayloadPath(field), let kind = info["data_type"]?.string.flatMap(Index.Kind.init) else {
                continue  // saved by a version that knew more
            }
            var index = Index(kind: kind)
            do {
                if kind == .text { index.rule = try TextRule(info["params"] ?? [:], path: "params") }
            } catch {  // saved by a version that did not check them: as without an index
            }
            parsed[path] = index
        }
        indexes.withLock { $0 = parsed }
    }
}

extension PayloadSchema.Index.Kind {
    /// Holds for all that an index of this kind would hold.
    var values: Filter.Predicate {
        switch self {
        case .keyword, .text, .uuid: .prefix("")
        case .integer, .float: .range(Filter.Bounds())
        case .bool: .any([.bool(true), .bool(false)])
        case .datetime: .dates(Filter.Bounds())
        case .geo: .geo(.circle(center: GeoPoint(latitude: 0, longitude: 0), radius: .infinity))
        }
    }
}
