import CVectorKernel
import FastJSON
import WireProtocol

enum Distance: String, Sendable, CaseIterable {
    case cosine = "Cosine"
    case dot = "Dot"
    case euclid = "Euclid"
    case manhattan = "Manhattan"

    var metric: vector_metric {
        switch self {
        case .cosine, .dot: VECTOR_DOT
        case .euclid: VECTOR_EUCLID
        case .manhattan: VECTOR_MANHATTAN
        }
    }
    var largerIsBetter: Bool { self == .cosine || self == .dot }

    /// The kernel's score (larger is better) as callers know it.
    func presented(_ score: Float) -> Float {
        switch self {
        case .cosine, .dot: score
        case .euclid: (-score).squareRoot()
        case .manhattan: -score
        }
    }
}

/// What a collection is made of. `request` is the creation request as it was accepted: it is echoed, and holds what means nothing
/// to this store (HNSW, quantisation, optimizers).
struct CollectionConfiguration: Sendable, Equatable {
    struct Vector: Sendable, Equatable {
        /// "" for the one vector of a collection without names.
        var name: String
        var size: Int
        var distance: Distance
    }
    struct SparseVectorParameters: Sendable, Equatable {
        var name: String
        /// Terms count by how rare they are: the store multiplies the query's weights by their inverse document frequency.
        var idf: Bool
    }
    /// Invariant: a vector's position never changes: it is its number in files and log records. Dense ones come first, then sparse
    /// ones; together at most 64.
    private(set) var vectors: [Vector]
    private(set) var sparseVectors: [SparseVectorParameters] = []
    var request: JSONObject

    static let maximumVectors = 64
    static let maximumSize = 65_536

    init(vectors: [Vector], request: JSONObject? = nil) {
        self.vectors = vectors
        self.request = request ?? Self.request(for: vectors)
    }

    /// Over dense and sparse vectors.
    func position(of name: String) -> Int? {
        vectors.firstIndex { $0.name == name }
            ?? sparseVectors.firstIndex { $0.name == name }.map { vectors.count + $0 }
    }
    var isUnnamed: Bool { vectors.count == 1 && vectors[0].name == "" }

    private static func request(for vectors: [Vector]) -> JSONObject {
        func parameters(_ vector: Vector) -> JSONValue {
            ["size": JSONValue(vector.size), "distance": .string(vector.distance.rawValue)]
        }
        var request = JSONObject()
        if vectors.count == 1, vectors[0].name == "" {
            request["vectors"] = parameters(vectors[0])
        } else {
            request["vectors"] = .object(JSONObject(vectors.map { ($0.name, parameters($0)) }))
        }
        return request
    }

    /// Reads a creation request. Throws: `wrongInput` with the field at fault.
    init(request: JSONObject) throws {
        var vectors: [Vector] = []
        switch request["vectors"] {
        case nil, .null?: break
        case .object(let object)? where object["size"] != nil || object["distance"] != nil:
            vectors = [try Self.vector("", object, path: "vectors")]
        case .object(let object)?:
            for (name, value) in object.members.sorted(by: { $0.name < $1.name }) {
                guard let parameters = value.object else {
                    throw StoreError.invalid(field: "vectors.\(name)", "must be an object")
                }
                vectors.append(try Self.vector(name, parameters, path: "vectors.\(name)"))
            }
        default: throw StoreError.invalid(field: "vectors", "must be an object")
        }
        if let sparse = request["sparse_vectors"], !sparse.isNull, sparse.object?.isEmpty != true {
            throw StoreError.wrongInput("sparse_vectors: sparse vectors are not supported by the embedded store yet")
        }
        guard vectors.count <= Self.maximumVectors else {
            throw StoreError.wrongInput("vectors: at most \(Self.maximumVectors) named vectors, not \(vectors.count)")
        }
        self.vectors = vectors
        self.request = request
    }

    private static func vector(_ name: String, _ parameters: JSONObject, path: String) throws -> Vector {
        guard let size = parameters["size"]?.integer, size >= 1, size <= maximumSize else {
            let given = parameters["size"].map { "value \($0.text) invalid, " } ?? ""
            throw StoreError.invalid(field: "\(path).size", "\(given)must be from 1 to \(maximumSize)")
        }
        guard let distance = parameters["distance"]?.string.flatMap(Distance.init) else {
            throw StoreError.invalid(
                field: "\(path).distance", "must be one of \(Distance.allCases.map(\.rawValue).joined(separator: ", "))"
            )
        }
        if let multivector = parameters["multivector_config"], !multivector.isNull {
            throw StoreError.wrongInput(
                "\(path).multivector_config: multivectors are not supported by the embedded store")
        }
        return Vector(name: name, size: Int(size), distance: distance)
    }
}
