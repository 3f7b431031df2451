import CVectorKernel
import FastJSON
import WireProtocol

/// What the last checkpoint made durable (`manifest.json`): everything else is in the logs from `firstLog` on.
struct Manifest: Equatable {
    /// A part of the segment's files that one checkpoint added, with a CRC-32C for each file.
    struct Extent: Equatable {
        var slots: Range<Int>
        var payload: Range<Int>
        var checksums: [UInt32]
    }
    var generation = 1
    var slots = 0
    var payloadEnd = 0
    var sequence: UInt64 = 0
    var firstLog = 1
    /// Which slots are live: `live-N.bits` of checkpoint N.
    var checkpoint = 0
    var liveChecksum: UInt32 = 0
    var extents: [Extent] = []

    static let fileName = "manifest.json"
    var liveFileName: String { "live-\(checkpoint).bits" }

    func save(in folder: String) throws {
        var object = JSONObject()
        object["format"] = 1
        object["generation"] = JSONValue(generation)
        object["slots"] = JSONValue(slots)
        object["payload_end"] = JSONValue(payloadEnd)
        object["sequence"] = .integer(Int64(sequence))
        object["first_log"] = JSONValue(firstLog)
        object["checkpoint"] = JSONValue(checkpoint)
        object["live_crc32c"] = JSONValue(Int(liveChecksum))
        object["extents"] = .array(
            extents.map { extent in
                [
                    "slots": [JSONValue(extent.slots.lowerBound), JSONValue(extent.slots.upperBound)],
                    "payload": [JSONValue(extent.payload.lowerBound), JSONValue(extent.payload.upperBound)],
                    "crc32c": .array(extent.checksums.map { JSONValue(Int($0)) }),
                ]
            })
        try StoreFile.replace("\(folder)/\(Self.fileName)", with: JSONValue.object(object).serializedBytes)
    }

    init() {}
    init(in folder: String) throws {
        let path = "\(folder)/\(Self.fileName)"
        let value: JSONValue
        do { value = try JSONReader.parse(StoreFile.content(of: path)) } catch let error as JSONError {
            throw StoreError.damaged(file: path, offset: 0, reason: error.message)
        }
        func number(_ name: String) throws -> Int {
            guard let number = value[name]?.integer, number >= 0 else {
                throw StoreError.damaged(file: path, offset: 0, reason: "\(name) is missing")
            }
            return Int(number)
        }
        func range(_ value: JSONValue?) throws -> Range<Int> {
            guard let pair = value?.array, pair.count == 2, let low = pair[0].integer, let high = pair[1].integer,
                low <= high
            else { throw StoreError.damaged(file: path, offset: 0, reason: "extents cannot be read") }
            return Int(low)..<Int(high)
        }
        guard try number("format") == 1 else {
            throw StoreError.inputOutput("\(path) was written by a newer version of the indexer")
        }
        generation = try number("generation")
        slots = try number("slots")
        payloadEnd = try number("payload_end")
        sequence = UInt64(try number("sequence"))
        firstLog = try number("first_log")
        checkpoint = try number("checkpoint")
        liveChecksum = UInt32(try number("live_crc32c"))
        extents = try (value["extents"]?.array ?? []).map {
            Extent(
                slots: try range($0["slots"]), payload: try range($0["payload"]),
                checksums: ($0["crc32c"]?.array ?? []).compactMap { $0.integer.flatMap(UInt32.init(exactly:)) })
        }
    }
}
