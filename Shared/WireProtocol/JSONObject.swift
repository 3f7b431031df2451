/// The members of a JSON object in their order. Small objects (a row, a payload) are searched, not hashed: that is
/// faster below some thirty members and keeps a hostile body from colliding hashes.
package struct JSONObject: Sendable, Equatable {
    package private(set) var members: [(name: String, value: JSONValue)]
    /// Built only for wide objects.
    private var positions: [String: Int]?
    private static let searchLimit = 32

    package init() { members = [] }
    package init(_ members: [(name: String, value: JSONValue)]) {
        self.init()
        self.members.reserveCapacity(members.count)
        for (name, value) in members { self[name] = value }
    }

    /// For a reader that has already refused or merged repeated names.
    package init(unique members: [(name: String, value: JSONValue)]) {
        self.members = members
        if members.count > Self.searchLimit { index() }
    }

    package var count: Int { members.count }
    package var isEmpty: Bool { members.isEmpty }
    package var names: [String] { members.map(\.name) }

    package subscript(name: String) -> JSONValue? {
        get { position(of: name).map { members[$0].value } }
        set {
            switch (position(of: name), newValue) {
            case (let position?, let value?): members[position].value = value
            case (let position?, nil):
                members.remove(at: position)
                positions = nil
                if members.count > Self.searchLimit { index() }
            case (nil, let value?):
                members.append((name, value))
                if positions != nil {
                    positions?[name] = members.count - 1
                } else if members.count > Self.searchLimit {
                    index()
                }
            case (nil, nil): break
            }
        }
    }

    /// Takes all of them away in one pass.
    package mutating func remove(_ names: Set<String>) {
        if names.isEmpty { return }
        self = JSONObject(unique: members.filter { !names.contains($0.name) })
    }

    private func position(of name: String) -> Int? {
        if let positions { return positions[name] }
        return members.firstIndex { $0.name == name }
    }

    private mutating func index() {
        positions = Dictionary(members.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { _, last in last })
    }

    /// Two objects are equal when they have the same members, in whatever order.
    package static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.count == right.count && left.members.allSatisfy { right[$0.name] == $0.value }
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (String, JSONValue)...) {
        self.init(elements.map { (name: $0.0, value: $0.1) })
    }
}
