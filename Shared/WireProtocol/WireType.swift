/// A value with one documented JSON form. `WireNamingTests` checks every key of `example` against `naming`.
package protocol WireType: Codable, Sendable {
    static var naming: WireNaming { get }
    static var example: Self { get }
}

/// How a surface spells its keys.
package enum WireNaming: Sendable {
    case camelCase
    case snakeCase
}
