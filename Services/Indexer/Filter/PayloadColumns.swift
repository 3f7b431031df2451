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
            var memory = columns.reduce(entry.column.memory) { $0 + $1.column.memory }
            while memory > Self.memoryLimit, !columns.isEmpty { memory -= columns.removeFirst().column.memory }
            columns.append(entry)
            return entry.column
        }
    }
}
