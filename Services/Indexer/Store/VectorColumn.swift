/// What is kept of one vector of a collection's points, by the position that it has in files and log records.
struct VectorColumn: Sendable, Equatable {
    enum Kind: Sendable, Equatable {
        case dense(size: Int)
        case sparse
    }
    var position: Int
    var kind: Kind

    /// How its file is called behind the segment's name.
    var suffix: String {
        switch kind {
        case .dense: "\(position).vec"
        case .sparse: "\(position).sparse"
        }
    }
}
