import FastJSON
import Foundation
import ServiceRuntime
import Synchronization
import WireProtocol

/// The vector store in this process: exact, durable, one folder.
///
/// `DATA_DIR/collections/<incarnation>/`: collection.json, manifest.json, wal-N.log, seg-G.*. `DATA_DIR/aliases.json`.
final class EmbeddedStore: VectorStore {
    struct Options: Sendable {
        var acceptLoss = false
        var checkpointBytes = 256 << 20
        var checkpointInterval = Duration.seconds(300)
        var scanThreads = ProcessInfo.processInfo.activeProcessorCount
        /// How long a write that nobody waits for may stay in memory only.
        var lazySync = Duration.seconds(1)
    }
    private struct Catalogue {
        var collections: [String: EmbeddedCollection] = [:]
        var aliases: [String: String] = [:]
    }
    private let catalogue = Mutex(Catalogue())
    private let folder: String
    private let options: Options
    private let log: Log
    private let metrics: Metrics?
    private let surroundings: Mutex<EmbeddedCollection.Surroundings>
    private let keeper: Keeper
    private let lock: Mutex<FolderLock>

    /// Opens everything. Throws: `damaged`, `inUse`.
    init(folder: String, options: Options = Options(), log: Log, metrics: Metrics? = nil) throws {
        self.folder = folder
        self.options = options
        self.log = log
        self.metrics = metrics
        try FileManager.default.createDirectory(atPath: "\(folder)/collections", withIntermediateDirectories: true)
        lock = Mutex(try FolderLock(folder))
        let writers = BlockingExecutor(label: "store-writer")
        keeper = Keeper(executor: writers)
        let surroundings = EmbeddedCollection.Surroundings(
            writers: writers, syncer: LogSyncer(delay: options.lazySync), pool: ScanPool(threads: options.scanThreads),
            log: log,
            acceptLoss: options.acceptLoss)
        self.surroundings = Mutex(surroundings)
        let opened = try Self.open(folder, surroundings)
        catalogue.withLock { $0 = opened }
    }

    private static func open(_ folder: String, _ surroundings: EmbeddedCollection.Surroundings) throws -> Catalogue {
        var catalogue = Catalogue()
        let parent = "\(folder)/collections"
        for name in try FileManager.default.contentsOfDirectory(atPath: parent).sorted() {
            if name.hasPrefix(".") {  // a creation or a deletion that was cut off
                try FileManager.default.removeItem(atPath: "\(parent)/\(name)")
                continue
            }
            let started = ContinuousClock.now
            let collection = try EmbeddedCollection(folder: "\(parent)/\(name)", surroundings)
            if let other = catalogue.collections.updateValue(collection, forKey: collection.name) {
                throw StoreError.inputOutput(
                    "\(other.folder) and \(collection.folder) are both collection `\(collection.name)`: move one of them away"
                )
            }
            surroundings.log.info(
                "collection.opened",
                [
                    "collection": .string(collection.name), "points": JSONValue(collection.index.pointCount),
                    "ms": .integer((ContinuousClock.now - started).milliseconds),
                ])
        }
        let path = "\(folder)/aliases.json"
        if access(path, F_OK) == 0 {
            let value: JSONValue
            do { value = try JSONReader.parse(StoreFile.content(of: path)) } catch let error as JSONError {
                let problem = StoreError.damaged(file: path, offset: 0, reason: error.message)
                guard surroundings.acceptLoss else { throw problem }
                surroundings.log.error("store.damage_accepted", ["reason": .string("\(problem)")])
                value = [:]
            }
            // One without its collection was left by a deletion that was cut off.
            for (alias, target) in value.object?.members ?? [] {
                if let target = target.string, catalogue.collections[target] != nil {
                    catalogue.aliases[alias] = target
                }
            }
        }
        return catalogue
    }

    /// Changes of the catalogue, one after the other, on the writer's thread: they block on the disk.
    private actor Keeper {
        private nonisolated let executor: BlockingExecutor
        nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
        init(executor: BlockingExecutor) { self.executor = executor }
        func run<R: Sendable>(_ body: @Sendable () throws -> R) throws -> R { try body() }
    }

    // MARK: - Collections and aliases

    func collectionNames() -> [String] { catalogue.withLock { $0.collections.keys.sorted() } }

    /// Throws: `collectionNotFound`.
    func find(_ name: String) throws -> EmbeddedCollection {
        let found = catalogue.withLock { catalogue in
            catalogue.collections[name] ?? catalogue.aliases[name].flatMap { catalogue.collections[$0] }
        }
        guard let found else { throw StoreError.collectionNotFound(name) }
        return found
    }

    func createCollection(_ name: String, _ configuration: CollectionConfiguration) async throws {
        if let reason = Self.fault(in: name) { throw StoreError.wrongInput("collection name: \(reason)") }
        try await dropLost()
        try await keeper.run { [self] in
            try holdFolder()
            let (isTaken, isAlias) = catalogue.withLock { ($0.collections[name] != nil, $0.aliases[name] != nil) }
            if isTaken { throw StoreError.collectionExists(name) }
            if isAlias {
                throw StoreError.wrongInput(
                    "Can't create collection with name \(name). Alias with the same name already exists")
            }
            let collection = try EmbeddedCollection.create(
                name, configuration, in: "\(folder)/collections", surroundings.withLock { $0 })
            catalogue.withLock { $0.collections[name] = collection }
        }
        log.info("collection.created", ["collection": .string(name)])
    }

    private static func fault(in name: String) -> String? {
        if name.isEmpty || name.utf8.count > 255 { return "must have 1 to 255 bytes" }
        if let bad = name.unicodeScalars.first(where: { $0.value < 0x20 || "<>:\"/\\|?*".unicodeScalars.contains($0) })
        {
            return "cannot contain \"\(bad)\""
        }
        return nil
    }

    func updateCollection(_ name: String, _ changes: JSONObject) async throws {
        let collection = try find(name)
        let changes = try CollectionSettings.checked(change: changes)
        try await keeper.run {
            try collection.update { configuration, _ in try configuration.merge(changes) }
        }
    }

    func addVector(_ name: String, _ parameters: JSONObject, to collection: String) async throws -> UInt64 {
        let collection = try find(collection)
        try await collection.changeVectors { try $0.addVector(name, parameters) }
        return collection.index.snapshot.sequence
    }
    func removeVector(_ name: String, from collection: String) async throws -> UInt64 {
        let collection = try find(collection)
        try await collection.changeVectors { try $0.removeVector(name) }
        return collection.index.snapshot.sequence
    }

    /// An index only says how a path's values are read: its column is built here, so that the first filter need not.
    func setPayloadSchema(_ field: String, _ schema: JSONValue?, in collection: String) async throws -> UInt64 {
        let collection = try find(collection)
        if schema?["data_type"] == "text" { _ = try TextRule(schema?["params"] ?? [:], path: "field_schema") }
        try await keeper.run { try collection.update { $1[field] = schema } }
        if schema != nil { try await collection.buildColumn(field) }
        return collection.index.snapshot.sequence
    }

    func deleteCollection(_ name: String) async throws -> Bool {
        let removed: Bool = try await keeper.run { [self] in
            // As in Qdrant, an alias does not name what is to be deleted.
            guard let collection = catalogue.withLock({ $0.collections[name] }) else { return false }
            let parent = "\(folder)/collections"
            let grave = "\(parent)/.deleted-\(collection.incarnation)"
            if rename(collection.folder, grave) != 0 { throw StoreFile.failure("cannot delete", collection.folder) }
            try StoreFile.synchroniseFolder(parent)
            // The files first: on a full disk there may be no room for anything else before.
            let aliases = forget(collection)
            try FileManager.default.removeItem(atPath: grave)
            if let aliases { try save(aliases) }
            return true
        }
        if removed { log.info("collection.deleted", ["collection": .string(name)]) }
        return removed
    }

    /// Answers what aliases are left, where it had one: they are still to be saved.
    private func forget(_ collection: EmbeddedCollection) -> [String: String]? {
        catalogue.withLock { catalogue in
            guard catalogue.collections[collection.name] === collection else { return nil }
            catalogue.collections[collection.name] = nil
            let left = catalogue.aliases.filter { $0.value != collection.name }
            if left.count == catalogue.aliases.count { return nil }
            catalogue.aliases = left
            return left
        }
    }

    /// Throws: `collectionNotFound`, for one whose files were deleted under it too.
    func collection(_ name: String) async throws -> CollectionDescription {
        let collection = try find(name)
        guard await collection.writer.isOnDisk() else { throw StoreError.collectionNotFound(name) }
        return await collection.describe()
    }

    func settings(of collection: String) throws -> CollectionSettings.Current { try find(collection).settings }

    func aliases() -> [(alias: String, collection: String)] {
        catalogue.withLock { $0.aliases.map { (alias: $0.key, collection: $0.value) } }.sorted { $0.alias < $1.alias }
    }

    func changeAliases(_ changes: [AliasChange]) async throws {
        try await keeper.run { [self] in
            let (names, before) = catalogue.withLock { (Set($0.collections.keys), $0.aliases) }
            var aliases = before
            for change in changes {
                switch change {
                case .create(let alias, let collection):
                    guard names.contains(collection) else { throw StoreError.collectionNotFound(collection) }
                    if names.contains(alias) { throw StoreError.collectionExists(alias) }
                    if let reason = Self.fault(in: alias) { throw StoreError.wrongInput("alias name: \(reason)") }
                    aliases[alias] = collection
                case .delete(let alias): aliases[alias] = nil
                case .rename(let from, let to):
                    guard let target = aliases.removeValue(forKey: from) else {
                        throw StoreError.aliasNotFound(from)
                    }
                    if names.contains(to) { throw StoreError.collectionExists(to) }
                    aliases[to] = target
                }
            }
            try save(aliases)
            catalogue.withLock { $0.aliases = aliases }
        }
    }

    private func save(_ aliases: [String: String]) throws {
        let value = JSONValue.object(JSONObject(aliases.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }))
        try StoreFile.replace("\(folder)/aliases.json", with: value.serializedBytes)
    }

    // MARK: - Points

    func apply(_ update: PointsUpdate, to collection: String, wait: Bool) async throws -> WriteOutcome {
        try await find(collection).apply(update, wait: wait)
    }
    func retrieve(_ ids: [PointID], from collection: String, fields: PointFields) async throws -> [StoredPoint] {
        try await find(collection).retrieve(ids, fields: fields)
    }
    func query(_ request: QueryRequest, in collection: String) async throws -> [StoredPoint] {
        try await find(collection).query(request)
    }
    func queryGroups(_ request: GroupsRequest, in collection: String) async throws -> [PointGroup] {
        try await find(collection).groups(request)
    }
    func facet(_ request: FacetRequest, in collection: String) async throws -> [FacetHit] {
        try await find(collection).facet(request)
    }
    func scroll(_ request: ScrollRequest, in collection: String) async throws -> ScrollPage {
        try await find(collection).scroll(request)
    }
    func count(_ filter: Filter?, in collection: String) async throws -> Int {
        try await find(collection).count(filter)
    }
}

// MARK: - Maintenance

extension EmbeddedStore: Service {
    /// Checkpoints and compacts, one collection at a time, until shutdown; then everything written is made durable.
    func run(until shutdown: Shutdown) async throws {
        let thread = BlockingExecutor(label: "store-maintenance")
        while !shutdown.isRequested {
            do { try await dropLost() } catch StoreError.inUse(let path) { throw StoreError.inUse(path: path) } catch {
                log.error("store.folder_failed", ["error": .string("\(error)")])
            }
            await withTaskExecutorPreference(thread) { await maintain() }
            await shutdown.sleep(for: .seconds(1))
        }
        for collection in collections { try await collection.writer.synchronise() }
    }

    private var collections: [EmbeddedCollection] {
        catalogue.withLock { $0.collections.values.sorted { $0.name < $1.name } }
    }

    /// A collection whose files were deleted under it is no collection any more: what memory still has of it ends with the process.
    func dropLost() async throws {
        for collection in collections where await !collection.writer.isOnDisk() {
            log.error(
                "collection.lost", ["collection": .string(collection.name), "folder": .string(collection.folder)])
            try await keeper.run { [self] in
                try holdFolder()
                if let aliases = forget(collection) { try save(aliases) }
            }
        }
    }

    /// The folder is there, and ours, also when somebody has deleted it. Throws: `inUse`.
    private func holdFolder() throws {
        try FileManager.default.createDirectory(atPath: "\(folder)/collections", withIntermediateDirectories: true)
        try lock.withLock { if !$0.isHeld { $0 = try FolderLock(folder) } }
    }

    /// One round. `force` makes a checkpoint of every collection that has something in its log.
    func maintain(force: Bool = false) async {
        for collection in collections {
            do {
                guard force || collection.mayMaintain else { continue }
                let repair = await collection.writer.repair
                let compacting = collection.needsCompaction || repair == .rewrite
                let bytes = await collection.writer.logBytes
                let isDue = await collection.writer.isCheckpointDue(
                    logBytes: options.checkpointBytes, interval: options.checkpointInterval)
                guard force || compacting || isDue else { continue }
                let started = ContinuousClock.now
                try await collection.checkpoint(compacting: compacting)
                collection.maintained(nil)
                log.info(
                    "collection.checkpointed",
                    [
                        "collection": .string(collection.name), "compacted": .bool(compacting),
                        "log_bytes": JSONValue(bytes),
                        "ms": .integer((ContinuousClock.now - started).milliseconds),
                    ])
            } catch {
                collection.maintained(error)
                log.error(
                    "collection.checkpoint_failed",
                    ["collection": .string(collection.name), "error": .string("\(error)")])
            }
        }
    }
}

extension Duration {
    var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}

/// Keeps a second process out of the folder. The system gives it back when the process ends, however it ends.
private final class FolderLock: Sendable {
    private let descriptor: Int32
    private let path: String
    init(_ folder: String) throws {
        path = "\(folder)/lock"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        if descriptor < 0 { throw StoreFile.failure("cannot open", path) }
        if flock(descriptor, LOCK_EX | LOCK_NB) != 0 { throw StoreError.inUse(path: folder) }
    }
    deinit { close(descriptor) }

    /// False when the file was deleted: another process could lock a new one.
    var isHeld: Bool {
        var (own, named) = (stat(), stat())
        return fstat(descriptor, &own) == 0 && stat(path, &named) == 0 && own.st_ino == named.st_ino
            && own.st_dev == named.st_dev
    }
}
