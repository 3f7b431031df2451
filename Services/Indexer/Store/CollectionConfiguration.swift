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

/// What a collection is made of. `request` is the creation request as it was accepted and changed since: it is echoed, and holds
/// what means nothing to this store (HNSW, quantisation, optimizers).
struct CollectionConfiguration: Sendable, Equatable {
    struct Vector: Sendable, Equatable {
        /// "" for the one vector of a collection without names.
        var name: String
        var size: Int
        var distance: Distance
        /// Its number in files and log records. Invariant: never changes, and is never given to another vector.
        fileprivate(set) var position = 0
    }
    struct SparseVectorParameters: Sendable, Equatable {
        var name: String
        /// Terms count by how rare they are: the store multiplies the query's weights by their inverse document frequency.
        var idf: Bool
        /// As of `Vector`.
        fileprivate(set) var position = 0
    }
    private(set) var vectors: [Vector]
    private(set) var sparseVectors: [SparseVectorParameters]
    /// Positions given out so far: those of vectors that were deleted are not used again.
    private(set) var positions: Int
    var request: JSONObject

    /// Positions of one collection, over all its life: a point's vectors are the bits of one word.
    static let maximumVectors = 64
    static let maximumSize = 65_536

    init(vectors: [Vector], sparseVectors: [SparseVectorParameters] = [], request: JSONObject? = nil) {
        self.vectors = vectors
        self.sparseVectors = sparseVectors
        for index in self.vectors.indices { self.vectors[index].position = index }
        for index in self.sparseVectors.indices { self.sparseVectors[index].position = vectors.count + index }
        positions = vectors.count + sparseVectors.count
        self.request = request ?? Self.request(for: vectors, sparseVectors)
    }

    /// Over dense and sparse vectors.
    func position(of name: String) -> Int? {
        vectors.first { $0.name == name }?.position ?? sparseVectors.first { $0.name == name }?.position
    }
    func vector(at position: Int) -> Vector? { vectors.first { $0.position == position } }
    func sparseVector(at position: Int) -> SparseVectorParameters? { sparseVectors.first { $0.position == position } }
    /// By position; `nil` where a vector was deleted.
    var vectorNames: [String?] {
        var names = [String?](repeating: nil, count: positions)
        for vector in vectors { names[vector.position] = vector.name }
        for vector in sparseVectors { names[vector.position] = vector.name }
        return names
    }
    var columns: [VectorColumn] {
        vectors.map { VectorColumn(position: $0.position, kind: .dense(size: $0.size)) }
            + sparseVectors.map { VectorColumn(position: $0.position, kind: .sparse) }
    }
    var isUnnamed: Bool { vectors.count == 1 && vectors[0].name == "" }

    private static func request(for vectors: [Vector], _ sparseVectors: [SparseVectorParameters]) -> JSONObject {
        func parameters(_ vector: Vector) -> JSONValue {
            ["size": JSONValue(vector.size), "distance": .string(vector.distance.rawValue)]
        }
        var request = JSONObject()
        if vectors.count == 1, vectors[0].name == "" {
            request["vectors"] = parameters(vectors[0])
        } else {
            request["vectors"] = .object(JSONObject(vectors.map { ($0.name, parameters($0)) }))
        }
        if !sparseVectors.isEmpty {
            request["sparse_vectors"] = .object(
                JSONObject(sparseVectors.map { ($0.name, $0.idf ? ["modifier": "idf"] : [:]) }))
        }
        return request
    }

    // MARK: - From a request

    /// Reads a creation request. Throws: `wrongInput` or `invalid` with the field at fault.
    init(request: JSONObject) throws {
        var vectors: [Vector] = []
        switch request["vectors"] {
        case nil, .null?: break
        case .object(let object)? where object["size"] != nil || object["distance"] != nil:
            vectors = [try Self.vector("", object, path: "vectors")]
        case .object(let object)?:
            for (name, value) in object.members.sorted(by: { $0.name < $1.name }) {
                vectors.append(
                    try Self.vector(name, try Self.object(value, "vectors.\(name)"), path: "vectors.\(name)"))
            }
        default: throw StoreError.invalid(field: "vectors", "must be an object")
        }
        var sparseVectors: [SparseVectorParameters] = []
        switch request["sparse_vectors"] {
        case nil, .null?: break
        case .object(let object)?:
            for (name, value) in object.members.sorted(by: { $0.name < $1.name }) {
                let path = "sparse_vectors.\(name)"
                if name.isEmpty { throw StoreError.wrongInput("Sparse vector name cannot be empty") }
                if vectors.contains(where: { $0.name == name }) {
                    throw StoreError.wrongInput(
                        "Dense and sparse vector names must be unique - duplicate found with '\(name)'")
                }
                sparseVectors.append(try Self.sparseVector(name, try Self.object(value, path), path: path))
            }
        default: throw StoreError.invalid(field: "sparse_vectors", "must be an object")
        }
        guard vectors.count + sparseVectors.count <= Self.maximumVectors else {
            throw StoreError.wrongInput(
                "vectors: at most \(Self.maximumVectors) named vectors, not \(vectors.count + sparseVectors.count)")
        }
        self.init(vectors: vectors, sparseVectors: sparseVectors, request: request)
    }

    private static func object(_ value: JSONValue, _ path: String) throws -> JSONObject {
        guard let object = value.object else { throw StoreError.invalid(field: path, "must be an object") }
        return object
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

    private static func sparseVector(_ name: String, _ parameters: JSONObject, path: String) throws
        -> SparseVectorParameters
    {
        SparseVectorParameters(name: name, idf: try idf(parameters["modifier"] ?? .null, path: path))
    }
    private static func idf(_ modifier: JSONValue, path: String) throws -> Bool {
        switch modifier {
        case .null, "none": return false
        case "idf": return true
        default:
            throw StoreError.invalid(
                field: "\(path).modifier", "value \(modifier.text) invalid, must be none or idf")
        }
    }

    // MARK: - Changes

    /// A checked `PATCH` body. Vectors keep what they are made of, but whether terms count by how rare they are may change.
    mutating func merge(_ changes: JSONObject) throws {
        try CollectionSettings.apply(changes, to: &request)
        for index in sparseVectors.indices {
            let name = sparseVectors[index].name
            let modifier = request["sparse_vectors"]?[name]?["modifier"] ?? .null
            sparseVectors[index].idf = try Self.idf(modifier, path: "sparse_vectors.\(name)")
        }
    }

    /// Adds a vector from `{"dense": {...}}` or `{"sparse": {...}}`.
    mutating func addVector(_ name: String, _ parameters: JSONObject) throws {
        if position(of: name) != nil { throw StoreError.wrongInput("Vector with name \(name) already exists") }
        if isUnnamed, parameters["dense"] != nil {
            throw StoreError.wrongInput("a collection with one unnamed vector takes no other dense vector")
        }
        guard positions < Self.maximumVectors else {
            throw StoreError.wrongInput(
                "at most \(Self.maximumVectors) vectors over a collection's life, deleted ones included")
        }
        let list: String
        let kept: JSONObject
        if let dense = parameters["dense"]?.object {
            var vector = try Self.vector(name, dense, path: "dense")
            vector.position = positions
            vectors.append(vector)
            (list, kept) = ("vectors", dense)
        } else if let sparse = parameters["sparse"]?.object {
            var vector = try Self.sparseVector(name, sparse, path: "sparse")
            vector.position = positions
            sparseVectors.append(vector)
            (list, kept) = ("sparse_vectors", sparse)
        } else {
            throw StoreError.invalid(field: "body", "needs dense or sparse")
        }
        positions += 1
        var named = request[list]?.object ?? JSONObject()
        named[name] = .object(kept)
        request[list] = .object(named)
    }

    mutating func removeVector(_ name: String) throws {
        guard position(of: name) != nil else {
            throw StoreError.wrongInput("Not existing vector name error: \(name)")
        }
        let list = vectors.contains { $0.name == name } ? "vectors" : "sparse_vectors"
        vectors.removeAll { $0.name == name }
        sparseVectors.removeAll { $0.name == name }
        var named = name.isEmpty ? JSONObject() : request[list]?.object ?? JSONObject()
        named[name] = Optional.none
        request[list] = .object(named)
    }

    // MARK: - On disk

    /// Where positions are not the order of names: vectors came or went after the creation. Source: `collection.json`.
    var savedPositions: JSONObject {
        var saved = JSONObject()
        for (position, name) in vectorNames.enumerated() {
            if let name { saved[name] = JSONValue(position) }
        }
        return saved
    }
    /// Reads back what `request`, `savedPositions` and `positions` were. Collections of before there were sparse vectors have no
    /// `saved`: the order of names is the position.
    init(request: JSONObject, saved: JSONObject?, positions: Int?) throws {
        try self.init(request: request)
        guard let saved, let positions else { return }
        func place(_ name: String) throws -> Int {
            guard let position = saved[name]?.integer, (0..<Int64(positions)).contains(position) else {
                throw StoreError.inputOutput("collection.json: no position for vector `\(name)`")
            }
            return Int(position)
        }
        for index in vectors.indices { vectors[index].position = try place(vectors[index].name) }
        for index in sparseVectors.indices { sparseVectors[index].position = try place(sparseVectors[index].name) }
        self.positions = positions
    }
}
