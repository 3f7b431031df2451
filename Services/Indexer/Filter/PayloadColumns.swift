import Synchronization

/// The columns of one segment, made when a filter first asks for a path.
final class PayloadColumns: Sendable {
    private struct Place: Hashable {
        var arrays: [PayloadPath]
        var path: PayloadPath?
    }
    private let columns = Mutex<[(place: Place, column: PayloadColumn)]>([])
    /// Units: bytes. Above it the column goes that was not used for longest.
    static let memoryLimit = 128 << 20
    /// What a column counts besides its values. Units: bytes. An empty one has its state, and makes others harder to find.
    private static let columnBytes = 32 << 10

    /// `arrays`: the path is one inside the objects of these arrays, outermost first; no path: the objects themselves.
    func column(_ path: PayloadPath?, in arrays: [PayloadPath] = []) -> PayloadColumn {
        let place = Place(arrays: arrays, path: path)
        return columns.withLock { columns in
            let entry =
                if let found = columns.firstIndex(where: { $0.place == place }) {
                    columns.remove(at: found)
                } else {
                    (place: place, column: PayloadColumn(PayloadExtractor(arrays: arrays, path: path)))
                }
            func bytes(_ column: PayloadColumn) -> Int { column.memory + Self.columnBytes }
            var memory = columns.reduce(bytes(entry.column)) { $0 + bytes($1.column) }
            var old = 0
            while memory > Self.memoryLimit, old < columns.count {
                memory -= bytes(columns[old].column)
                old += 1
            }
            columns.removeFirst(old)
            columns.append(entry)
            return entry.column
        }
    }
}
