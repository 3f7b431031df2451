import WireProtocol

/// Which column of the source each field of the payload comes from. Three names are reserved and make no payload field: `id` (the
/// record's key, required), `updatedAt` (what an incremental sync compares) and `deletedAt` (soft delete).
package struct FieldMapping: Sendable, Equatable {
    package struct Field: Sendable, Equatable {
        /// The payload's name for it.
        package var name: String
        /// The source's name for it.
        package var column: String
        package init(name: String, column: String) {
            self.name = name
            self.column = column
        }
    }
    package var key: String
    package var updatedAt: String?
    package var deletedAt: String?
    package var fields: [Field]

    package static let reserved = ["id", "updatedAt", "deletedAt"]

    package init(key: String, updatedAt: String? = nil, deletedAt: String? = nil, fields: [Field]) {
        self.key = key
        self.updatedAt = updatedAt
        self.deletedAt = deletedAt
        self.fields = fields
    }

    /// `nil` where `object` is no mapping; `DatasourceDraft` says why.
    package init?(_ object: JSONObject) {
        guard let key = object["id"]?.string else { return nil }
        self.init(
            key: key, updatedAt: object["updatedAt"]?.string, deletedAt: object["deletedAt"]?.string,
            fields: object.members.compactMap { name, value in
                guard !Self.reserved.contains(name), let column = value.string else { return nil }
                return Field(name: name, column: column)
            })
    }

    package var json: JSONObject {
        var object = JSONObject([("id", .string(key))])
        if let updatedAt { object["updatedAt"] = .string(updatedAt) }
        if let deletedAt { object["deletedAt"] = .string(deletedAt) }
        for field in fields { object[field.name] = .string(field.column) }
        return object
    }

    /// The source columns that mapping needs, each once, in order.
    package var columns: [String] {
        var seen = Set<String>()
        return ([key] + [updatedAt, deletedAt].compactMap { $0 } + fields.map(\.column)).filter {
            seen.insert($0).inserted
        }
    }
}
