import Foundation

/// Units: degrees.
struct GeoPoint: Sendable, Equatable {
    var latitude: Double
    var longitude: Double
}

/// Where a point has to lie. Borders belong to no area.
enum GeoArea: Sendable {
    /// One whose left side is east of its right side goes across the date line.
    case box(topLeft: GeoPoint, bottomRight: GeoPoint)
    /// Units: metres.
    case circle(center: GeoPoint, radius: Double)
    /// Closed lines: the last point is the first. On the plane of latitude and longitude: the date line is a border.
    case polygon(exterior: [GeoPoint], interiors: [[GeoPoint]])

    /// Units: metres; the mean radius of the Earth. Source: IUGG.
    private static let earthRadius = 6_371_008.8

    /// No point of the area lies outside them.
    var latitudes: ClosedRange<Double> {
        switch self {
        case .box(let topLeft, let bottomRight):
            return bottomRight.latitude...max(bottomRight.latitude, topLeft.latitude)
        case .circle(let center, let radius):
            // The way along a meridian is never longer than the whole way. Some millimetres for the rounding.
            let reach = max(0, radius) / Self.earthRadius * 180 / .pi + 1e-7
            return (center.latitude - reach)...(center.latitude + reach)
        case .polygon(let exterior, _):
            let latitudes = exterior.map(\.latitude)
            return (latitudes.min() ?? 0)...(latitudes.max() ?? 0)
        }
    }

    func contains(_ point: GeoPoint) -> Bool {
        switch self {
        case .box(let topLeft, let bottomRight):
            guard bottomRight.latitude < point.latitude, point.latitude < topLeft.latitude else { return false }
            if topLeft.longitude > bottomRight.longitude {
                return point.longitude > topLeft.longitude || point.longitude < bottomRight.longitude
            }
            return topLeft.longitude < point.longitude && point.longitude < bottomRight.longitude
        case .circle(let center, let radius):
            return Self.distance(center, point) < radius
        case .polygon(let exterior, let interiors):
            guard Self.side(of: point, exterior) == .inside else { return false }
            return interiors.allSatisfy { Self.side(of: point, $0) == .outside }
        }
    }

    /// Haversine. Units: metres.
    private static func distance(_ one: GeoPoint, _ other: GeoPoint) -> Double {
        let (latitude1, latitude2) = (one.latitude * .pi / 180, other.latitude * .pi / 180)
        let north = sin((latitude2 - latitude1) / 2)
        let east = sin((other.longitude - one.longitude) * .pi / 360)
        let half = north * north + cos(latitude1) * cos(latitude2) * east * east
        return 2 * earthRadius * asin(min(1, half.squareRoot()))
    }

    private enum Side { case inside, outside, border }

    private static func side(of point: GeoPoint, _ line: [GeoPoint]) -> Side {
        var isInside = false
        for (from, to) in zip(line, line.dropFirst()) {
            let (dx, dy) = (to.longitude - from.longitude, to.latitude - from.latitude)
            let (px, py) = (point.longitude - from.longitude, point.latitude - from.latitude)
            let isBeside =
                min(from.longitude, to.longitude) <= point.longitude
                && point.longitude <= max(from.longitude, to.longitude)
                && min(from.latitude, to.latitude) <= point.latitude && point.latitude <= max(from.latitude, to.latitude)
            if dx * py == dy * px, isBeside { return .border }
            let crosses = (from.latitude > point.latitude) != (to.latitude > point.latitude)
            if crosses, point.longitude < dx * py / dy + from.longitude { isInside.toggle() }
        }
        return isInside ? .inside : .outside
    }
}
