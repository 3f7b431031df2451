import CVectorKernel
import Foundation
import ServiceRuntime

/// A collection as the last process left it: the last checkpoint, then the logs behind it.
struct OpenedCollection {
    var segment: Segment
    var log: WriteAheadLog
    var manifest: Manifest
    var sequence: UInt64
    /// What keeps the next start from meeting a damage again that was accepted: something acknowledged is lost.
    var repair: Repair?
    enum Repair { case checkpoint, rewrite }

    /// A new, empty collection in `folder`, which exists.
    static func create(in folder: String, columns: [VectorColumn]) throws {
        _ = try Segment(folder: folder, generation: 1, columns: columns, create: true)
        _ = try WriteAheadLog(1, in: folder)
        let manifest = Manifest()
        try StoreFile.replace("\(folder)/\(manifest.liveFileName)", with: [])
        try manifest.save(in: folder)
    }

    /// Throws: `damaged` with the file and the place, unless `acceptLoss`.
    init(folder: String, columns: [VectorColumn], index: PointIndex, acceptLoss: Bool, log: Log) throws {
        let manifest = try Manifest(in: folder)
        let segment = try Segment(folder: folder, generation: manifest.generation, columns: columns, create: false)
        var repair: Repair?
        func accept(_ problem: StoreError, _ means: Repair) throws {
            guard acceptLoss else { throw problem }
            log.error("store.damage_accepted", ["reason": .string("\(problem)")])
            if repair != .rewrite { repair = means }
        }
        for extent in manifest.extents {
            // A vector that came after this extent has no checksum in it.
            for file in segment.files where extent.checksums[file.suffix] != nil {
                do throws(StoreError) {
                    try file.check(extent)
                } catch {
                    try accept(error, .rewrite)
                }
            }
        }
        var live: Bitmap
        do throws(StoreError) {
            live = try Self.live(manifest, in: folder)
        } catch {
            try accept(error, .rewrite)
            live = Bitmap(count: manifest.end.slots, filled: true)
        }
        if repair == .rewrite { try segment.fillUp(to: manifest.end) }
        try segment.load(manifest.end, skippingDamage: repair == .rewrite)
        if repair == .rewrite { segment.salvage(&live, writtenUpTo: manifest.sequence) }
        Self.fill(index, from: segment, live: live, sequence: manifest.sequence)

        var replay = LogReplay(folder: folder, after: manifest.sequence, acceptLoss: acceptLoss, log: log)
        var numbers = try WriteAheadLog.numbers(in: folder).filter { $0 >= manifest.firstLog }
        let last = numbers.last ?? manifest.firstLog
        if let missing = (manifest.firstLog...last).first(where: { !numbers.contains($0) }) {
            try accept(
                .damaged(file: WriteAheadLog.path(missing, in: folder), offset: 0, reason: "the log is missing"),
                .checkpoint)
            if numbers.isEmpty {
                _ = try WriteAheadLog(last, in: folder)
                numbers = [last]
            }
        }
        // The next log is made before the writer turns to it, and stays empty until then.
        let used = try numbers.last { try WriteAheadLog.size($0, in: folder) > 0 } ?? numbers[0]
        for number in numbers where number > used { unlink(WriteAheadLog.path(number, in: folder)) }
        var length = 0
        for number in numbers where number <= used {
            length = try replay.run(number, isLast: number == used) { sequence, changes in
                var points = PendingPoints(index)
                try PointApplier.reserve(changes, in: segment, points: points)
                _ = try PointApplier.apply(changes, sequence: sequence, to: segment, points: &points)
                points.publish(segment, sequence: sequence)
            }
        }
        self.segment = segment
        self.manifest = manifest
        self.log = try WriteAheadLog(used, in: folder, length: length)
        sequence = replay.sequence
        self.repair = repair ?? (replay.lostRecords ? .checkpoint : nil)
        try Self.removeStrays(folder, manifest: manifest, columns: columns)
    }

    private static func live(_ manifest: Manifest, in folder: String) throws(StoreError) -> Bitmap {
        let path = "\(folder)/\(manifest.liveFileName)"
        let bytes: [UInt8]
        do { bytes = try StoreFile.content(of: path) } catch {
            throw .damaged(file: path, offset: 0, reason: "\(error)")
        }
        let crc = bytes.withUnsafeBytes { vector_crc32c(0, $0.baseAddress, $0.count) }
        guard crc == manifest.liveChecksum, bytes.count == (manifest.end.slots + 63) / 64 * 8 else {
            throw .damaged(file: path, offset: 0, reason: "the checksum does not match")
        }
        let words = bytes.withUnsafeBytes { raw in
            (0..<(bytes.count / 8)).map { raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
        }
        return Bitmap(count: manifest.end.slots, words: words)
    }

    private static func fill(_ index: PointIndex, from segment: Segment, live: Bitmap, sequence: UInt64) {
        var snapshot = index.snapshot
        snapshot.view = segment.view
        snapshot.count = segment.count
        snapshot.sequence = sequence
        snapshot.live = Bitmap(count: segment.count)
        snapshot.present = snapshot.present.map { _ in Bitmap(count: segment.count) }
        var slots = [PointID: UInt32](minimumCapacity: live.population)
        live.forEachSlot { slot in
            let record = segment.view.slot(slot)
            slots[PointID(record)] = UInt32(slot)
            snapshot.show(slot, vectors: record.vectors)
        }
        index.replace(snapshot, slots: slots)
    }

    /// What an interrupted checkpoint or compaction left.
    private static func removeStrays(_ folder: String, manifest: Manifest, columns: [VectorColumn]) throws {
        let kept = Set(Segment.names(generation: manifest.generation, columns: columns) + [manifest.liveFileName])
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            let isOldLog = name.hasPrefix("wal-") && (Int(name.dropFirst(4).dropLast(4)) ?? .max) < manifest.firstLog
            let isPart = name.hasPrefix("seg-") || name.hasPrefix("live-") || name.hasSuffix(".tmp")
            if isOldLog || (isPart && !kept.contains(name)) { unlink("\(folder)/\(name)") }
        }
    }
}
