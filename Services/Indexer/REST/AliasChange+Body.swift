extension AliasChange {
    /// `POST collections/aliases`: `{"actions": [{"create_alias": {...}}, ...]}`
    static func list(_ body: RequestBody) throws -> [AliasChange] {
        guard let actions = try body.list("actions") else { throw body.missing("actions") }
        return try actions.map { action in
            if let create = try action.inner("create_alias") {
                return .create(
                    alias: try create.requiredText("alias_name"),
                    collection: try create.requiredText("collection_name"))
            }
            if let delete = try action.inner("delete_alias") {
                return .delete(alias: try delete.requiredText("alias_name"))
            }
            if let rename = try action.inner("rename_alias") {
                return .rename(
                    from: try rename.requiredText("old_alias_name"), to: try rename.requiredText("new_alias_name"))
            }
            throw RequestError.format(action.path, "must be create_alias, delete_alias or rename_alias")
        }
    }
}
