/// Why the store did not do what was asked. `unavailable` is worth another try, and `diskFull` once there is room.
enum StoreError: Error, Equatable, CustomStringConvertible {
    case collectionNotFound(String)
    case collectionExists(String)
    case pointNotFound(PointID)
    case aliasNotFound(String)
    /// The request does not fit the collection; the text is for the caller.
    case wrongInput(String)
    /// Values that no collection takes: `field: reason` each.
    case invalid(fields: [String])
    /// Settings of another form than documented, with the place.
    case malformed(String)
    case diskFull(path: String)
    case inputOutput(String)
    /// Damage inside what was acknowledged. The store does not start over it unless told to accept the loss.
    case damaged(file: String, offset: Int, reason: String)
    /// A sync to disk failed: what is in the page cache cannot be trusted, so nothing more is written until a restart.
    case unusable(collection: String, reason: String)
    case inUse(path: String)
    /// A store elsewhere does not answer, or cannot for the moment.
    case unavailable(String)

    /// Damage without which nothing of the collection can be read.
    static func unreadable(file: String, reason: String) -> StoreError {
        .inputOutput(
            "\(file) cannot be read: \(reason). Restore it, or move its folder away to go on without the collection")
    }
    static func invalid(field: String, _ reason: String) -> StoreError { .invalid(fields: ["\(field): \(reason)"]) }

    var description: String {
        switch self {
        case .collectionNotFound(let name): "Collection `\(name)` doesn't exist!"
        case .collectionExists(let name): "Collection `\(name)` already exists!"
        case .pointNotFound(let id): "No point with id \(id) found"
        case .aliasNotFound(let name): "Alias \(name) does not exists!"
        case .wrongInput(let text): text
        case .invalid(let fields): fields.joined(separator: "; ")
        case .malformed(let text): text
        case .diskFull(let path): "no space left on the device of \(path): nothing of this request was stored"
        case .inputOutput(let text): text
        case .damaged(let file, let offset, let reason):
            "\(file) is damaged at offset \(offset): \(reason). Restore it, or start with --accept-loss to go on without what is lost"
        case .unusable(let collection, let reason):
            "collection `\(collection)` takes no writes until a restart: \(reason)"
        case .inUse(let path): "\(path) is in use by another indexer"
        case .unavailable(let reason): reason
        }
    }
}
