import ServiceRuntime
import WireProtocol

/// A collection as users name it (`products`), with its physical collections in the store (`products@1`, `products@2`, ...): a new
/// embedding model fills a new one beside the active one until it is switched to. In the store the name is an alias of the active one.
package struct VectorCollection: Sendable, Equatable {
    package struct Version: Sendable, Equatable {
        /// `building -> active <-> retired`; a rollback makes the active one `building` again. Each but the active one may go to
        /// `removing`, from where there is no return; so do all of a collection that is deleted. At most one is building or retired.
        package enum State: String, Sendable { case active, building, retired, removing }
        package var physicalName: String
        package var number: Int
        package var vectorSize: Int
        /// `nil` for a collection that was made by hand and has taken no vector of ours yet.
        package var space: EmbeddingSpace?
        package var state: State
        /// Becomes active by itself as soon as it may.
        package var switchesWhenReady = false
        /// Embedding templates that differ from the datasources' own, by datasource id (`nil`: none), until it is active.
        package var templates: [String: String?] = [:]
        package var createdAt: Timestamp
    }
    package var id: String
    package var name: String
    /// `Cosine`, `Dot` or `Euclid`.
    package var distance: String
    /// The first datasource that fills it; others may too.
    package var datasourceID: String?
    package var totalPoints: Int64
    package var lastSyncedAt: Timestamp?
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    /// By number; never empty.
    package var versions: [Version]

    /// What a search reads.
    package var active: Version { versions.first { $0.state == .active } ?? versions[0] }
    package var building: Version? { versions.last { $0.state == .building } }
    /// What `rollback` goes back to.
    package var previous: Version? { versions.last { $0.state == .retired } }
    /// What is kept in step with the datasources beside the active version.
    package var beside: Version? { building ?? previous }

    /// `products@2`: no name of a collection holds an `@`.
    package static func physicalName(of name: String, number: Int) -> String { "\(name)@\(number)" }

    /// The collection and version of a physical name. Collections of the first release have the bare name as their version 1.
    package static func parts(ofPhysical physicalName: String) -> (name: String, number: Int) {
        guard let mark = physicalName.lastIndex(of: "@"),
            let number = Int(physicalName[physicalName.index(after: mark)...])
        else { return (physicalName, 1) }
        return (String(physicalName[..<mark]), number)
    }

    /// Why records of a datasource with these settings do not belong in the active version; `nil` where they do. What the
    /// datasource does not set it takes from the collection.
    package func conflict(with embedding: Datasource.Embedding) -> String? {
        guard let space = active.space else {
            return embedding.dimensions.flatMap { dimensions in
                dimensions == active.vectorSize
                    ? nil : "the collection \(name) takes \(active.vectorSize) dimensions, not \(dimensions)"
            }
        }
        let fits =
            embedding.provider ?? space.provider == space.provider && embedding.model ?? space.model == space.model
            && embedding.dimensions ?? space.dimensions == space.dimensions
        if fits { return nil }
        let wanted = [embedding.provider, embedding.model, embedding.dimensions.map(String.init)].compactMap { $0 }
        return """
            the collection \(name) holds vectors of \(space.identifier), the datasource asks for \(wanted.joined(separator: ", ")): \
            rebuild the collection with the new model (POST /api/collections/\(name)/rebuild), or give the datasource another one
            """
    }
}

/// What a dry run counts against.
extension VectorCollection {
    /// One that is not there, as its first sync would make it.
    package init(planned name: String, _ space: EmbeddingSpace) {
        let version = Version(
            physicalName: Self.physicalName(of: name, number: 1), number: 1, vectorSize: space.dimensions, space: space,
            state: .active, createdAt: .now)
        self.init(
            id: "", name: name, distance: "Cosine", totalPoints: 0, createdAt: .now, updatedAt: .now,
            versions: [version])
    }

    /// One that was made by hand, as its first sync would leave it.
    package func filled(with space: EmbeddingSpace) -> VectorCollection {
        var collection = self
        for index in versions.indices where versions[index].state == .active {
            collection.versions[index].space = space
        }
        return collection
    }
}
