import CVectorKernel
import FastJSON
import WireProtocol

/// What the last checkpoint made durable (`manifest.json`): everything else is in the logs from `firstLog` on.
struct Manifest: Equatable {
    /// A part of the segment's files that a checkpoint or a few added, with a CRC-32C for each file, by the file's suffix.
    struct Extent: Equatable {
        var start: SegmentEnd
        var end: SegmentEnd
        var checksums: [String: UInt32]
    }
    var generation = 1
    var end = SegmentEnd()
    var sequence: UInt64 = 0
    var firstLog = 1
    /// Which slots are live: `live-N.bits` of checkpoint N.
    var checkpoint = 0
    var liveChecksum: UInt32 = 0
    var extents: [Extent] = []

    static let fileName = "manifest.json"
    var liveFileName: String { Self.liveFileName(checkpoint) }
    static func liveFileName(_ checkpoint: Int) -> String { "live-\(checkpoint).bits" }

    /// 1: before there were sparse vectors; checksums are a list, in the order of the files.
    private static let format = 2

    func save(in folder: String) throws {
        var object = JSONObject()
        object["format"] = JSONValue(Self.format)
        object["generation"] = JSONValue(generation)
        object["end"] = Self.json(end)
        object["sequence"] = .integer(Int64(sequence))
        object["first_log"] = JSONValue(firstLog)
        object["checkpoint"] = JSONValue(checkpoint)
        object["live_crc32c"] = JSONValue(Int(liveChecksum))
        object["extents"] = .array(
            extents.map { extent in
                let checksums = extent.checksums.sorted { $0.key < $1.key }.map { ($0.key, JSONValue(Int($0.value))) }
                return [
                    "start": Self.json(extent.start), "end": Self.json(extent.end),
                    "crc32c": .object(JSONObject(checksums)),
                ]
            })
        try StoreFile.replace("\(folder)/\(Self.fileName)", with: JSONValue.object(object).serializedBytes)
    }
    private static func json(_ end: SegmentEnd) -> JSONValue {
        let sparse = end.sparse.sorted { $0.key < $1.key }.map { (String($0.key), JSONValue($0.value)) }
        return [
            "slots": JSONValue(end.slots), "payload": JSONValue(end.payload), "sparse": .object(JSONObject(sparse)),
        ]
    }

    init() {}
    init(in folder: String) throws {
        let path = "\(folder)/\(Self.fileName)"
        let value: JSONValue
        do { value = try JSONReader.parse(StoreFile.content(of: path)) } catch let error as JSONError {
            throw StoreError.unreadable(file: path, reason: error.message)
        }
        let reader = ManifestReader(path: path)
        let format = try reader.number(value, "format")
        guard (1...Self.format).contains(format) else {
            throw StoreError.inputOutput("\(path) was written by a newer version of the indexer")
        }
        generation = try reader.number(value, "generation")
        sequence = UInt64(try reader.number(value, "sequence"))
        firstLog = try reader.number(value, "first_log")
        checkpoint = try reader.number(value, "checkpoint")
        liveChecksum = UInt32(try reader.number(value, "live_crc32c"))
        if format == 1 {
            end.slots = try reader.number(value, "slots")
            end.payload = try reader.number(value, "payload_end")
            extents = try (value["extents"]?.array ?? []).map(reader.extentOfFormat1)
        } else {
            end = try reader.end(value["end"])
            extents = try (value["extents"]?.array ?? []).map(reader.extent)
        }
    }
}

private struct ManifestReader {
    let path: String

    private func damage(_ reason: String) -> StoreError { .unreadable(file: path, reason: reason) }

    func number(_ value: JSONValue?, _ name: String) throws -> Int {
        guard let number = value?[name]?.integer, number >= 0 else { throw damage("\(name) is missing") }
        return Int(number)
    }

    func end(_ value: JSONValue?) throws -> SegmentEnd {
        var end = SegmentEnd(slots: try number(value, "slots"), payload: try number(value, "payload"))
        for (position, bytes) in value?["sparse"]?.object?.members ?? [] {
            guard let position = Int(position), let bytes = bytes.integer, bytes >= 0 else {
                throw damage("sparse cannot be read")
            }
            end.sparse[position] = Int(bytes)
        }
        return end
    }

    private func checksum(_ value: JSONValue) throws -> UInt32 {
        guard let checksum = value.integer.flatMap(UInt32.init(exactly:)) else { throw damage("a checksum is missing") }
        return checksum
    }

    func extent(_ value: JSONValue) throws -> Manifest.Extent {
        var checksums: [String: UInt32] = [:]
        for (suffix, value) in value["crc32c"]?.object?.members ?? [] { checksums[suffix] = try checksum(value) }
        return Manifest.Extent(start: try end(value["start"]), end: try end(value["end"]), checksums: checksums)
    }

    func extentOfFormat1(_ value: JSONValue) throws -> Manifest.Extent {
        func range(_ name: String) throws -> (Int, Int) {
            guard let pair = value[name]?.array, pair.count == 2, let low = pair[0].integer, let high = pair[1].integer,
                low <= high
            else { throw damage("extents cannot be read") }
            return (Int(low), Int(high))
        }
        let (slots, payload) = (try range("slots"), try range("payload"))
        var checksums: [String: UInt32] = [:]
        for (index, value) in (value["crc32c"]?.array ?? []).enumerated() {
            let suffix = index < 2 ? ["slots", "pay"][index] : "\(index - 2).vec"
            checksums[suffix] = try checksum(value)
        }
        return Manifest.Extent(
            start: SegmentEnd(slots: slots.0, payload: payload.0), end: SegmentEnd(slots: slots.1, payload: payload.1),
            checksums: checksums)
    }
}
