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

    /// What no point of the area lies outside of. Cheap to ask, and most points of the Earth are outside.
    var bounds: GeoBounds {
        switch self {
        case .box(let topLeft, let bottomRight):
            let goesAcross = topLeft.longitude > bottomRight.longitude
            return GeoBounds(
                south: bottomRight.latitude, north: topLeft.latitude, west: goesAcross ? -.infinity : topLeft.longitude,
                east: goesAcross ? .infinity : bottomRight.longitude)
        case .circle(let center, let radius):
            let reach = max(0, radius) / Self.earthRadius
            var bounds = GeoBounds(around: center, latitudes: reach * 180 / .pi)
            if abs(center.latitude) * .pi / 180 + reach < .pi / 2 {  // no pole inside
                let widest = asin(min(1, sin(reach) / cos(center.latitude * .pi / 180)))
                bounds.limitLongitudes(to: widest * 180 / .pi)
            }
            return bounds
        case .polygon(let exterior, _):
            let (latitudes, longitudes) = (exterior.map(\.latitude), exterior.map(\.longitude))
            return GeoBounds(
                south: latitudes.min() ?? 0, north: latitudes.max() ?? 0, west: longitudes.min() ?? 0,
                east: longitudes.max() ?? 0)
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
    static func distance(_ one: GeoPoint, _ other: GeoPoint) -> Double {
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
                && min(from.latitude, to.latitude) <= point.latitude
                && point.latitude <= max(from.latitude, to.latitude)
            if dx * py == dy * px, isBeside { return .border }
            let crosses = (from.latitude > point.latitude) != (to.latitude > point.latitude)
            if crosses, point.longitude < dx * py / dy + from.longitude { isInside.toggle() }
        }
        return isInside ? .inside : .outside
    }
}

/// Latitudes from south to north, and longitudes within `reach` of `middle`. Units: degrees. A little wider than asked for, so that
/// rounding puts nothing outside.
struct GeoBounds {
    private let south: Double
    private let north: Double
    private let middle: Double
    private var reach: Double
    /// Longitudes are angles: 190 is as near to 170 as -170 is.
    private let isRound: Bool
    private static let slack = 1e-6

    init(south: Double, north: Double, west: Double, east: Double) {
        self.south = south
        self.north = north
        middle = west.isFinite ? (west + east) / 2 : 0
        reach = (east - west) / 2 + Self.slack
        isRound = false
    }
    init(around center: GeoPoint, latitudes: Double) {
        south = center.latitude - latitudes - Self.slack
        north = center.latitude + latitudes + Self.slack
        middle = center.longitude
        reach = .infinity
        isRound = true
    }
    mutating func limitLongitudes(to degrees: Double) { reach = degrees + Self.slack }

    func contain(_ point: GeoPoint) -> Bool {
        guard point.latitude >= south, point.latitude <= north else { return false }
        let away = point.longitude - middle
        return abs(isRound ? remainder(away, 360) : away) <= reach
    }
}
