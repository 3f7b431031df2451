extension Snapshot {
    /// The first of `mask` by a payload value. Throws: `wrongInput`.
    func ordered(by order: OrderBy, in mask: Bitmap, limit: Int) throws -> [PayloadColumn.Ordered] {
        let start = try order.startFrom.map { value in
            guard let start = OrderValue(value) else {
                throw StoreError.wrongInput("order_by.start_from: must be a number or a date (RFC 3339)")
            }
            return start
        }
        return try columns.column(order.key).ordered(
            mask, descending: order.descending, from: start, limit: limit, kind: schema.index(order.key)?.kind, in: self
        )
    }

    /// The values of `mask` at a path, the most frequent first.
    func facets(_ key: PayloadPath, in mask: Bitmap, limit: Int) throws -> [FacetHit] {
        try columns.column(key).facets(in: mask, limit: limit, kind: schema.index(key)?.kind, in: self)
    }
}
