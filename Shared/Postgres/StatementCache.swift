/// Which statements of a session are prepared: a statement is when it is used for the second time.
struct StatementCache {
    enum Plan { case once, prepare(String), prepared(String) }

    private struct Key: Hashable {
        var sql: String
        var types: [UInt32]
    }
    private var names: [Key: String] = [:]
    private var seen: Set<Key> = []
    private var nextNumber = 1
    private static let limit = 256

    mutating func use(_ sql: String, _ types: [UInt32]) -> Plan {
        let key = Key(sql: sql, types: types)
        if let name = names[key] { return .prepared(name) }
        guard names.count < Self.limit else { return .once }
        if seen.contains(key) { return .prepare("s\(nextNumber)") }
        if seen.count >= 4 * Self.limit { seen.removeAll() }
        seen.insert(key)
        return .once
    }

    mutating func remember(_ name: String, _ sql: String, _ types: [UInt32]) {
        let key = Key(sql: sql, types: types)
        seen.remove(key)
        names[key] = name
        nextNumber += 1
    }

    mutating func forget(_ sql: String, _ types: [UInt32]) { names[Key(sql: sql, types: types)] = nil }
}
