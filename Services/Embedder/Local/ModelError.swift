/// Why a model folder cannot be used. Nothing of it is worth another try before the files change.
enum ModelError: Error, Equatable, CustomStringConvertible {
    case missing(file: String)
    case unreadable(file: String, reason: String)
    case unsupported(String)

    var description: String {
        switch self {
        case .missing(let file): "the embedding model's file \(file) is missing"
        case .unreadable(let file, let reason): "the embedding model's file \(file) is unreadable: \(reason)"
        case .unsupported(let what): "the embedding model is not supported: \(what)"
        }
    }
}
